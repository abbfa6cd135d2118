"""The console's process, as `config.site_asgi` is the site's (`granian --interface asgi config.console_asgi:app`)."""

from config.buffered_wsgi import BufferedWsgi
from config.console_wsgi import application

THREADS = 4

app = BufferedWsgi(application, threads=THREADS)
