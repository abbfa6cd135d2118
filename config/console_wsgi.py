"""The operator's console: a process, address and cookie of its own. `config.console_asgi` serves it."""

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "config.console_settings"

application = get_wsgi_application()
