"""The site's process: `config.wsgi` in threads that take complete requests (`granian --interface asgi config.site_asgi:app`)."""

from config.buffered_wsgi import BufferedWsgi
from config.garbage import collect_rarely
from config.wsgi import application

THREADS = 16

app = BufferedWsgi(application, threads=THREADS)
collect_rarely()
