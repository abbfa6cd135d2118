"""Settings of the operator's console: the site's, with an address, a cookie and a database role of its own."""

from config.settings import *  # noqa: F403  (the console differs in these few lines only)
from config.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = ["unfold", *INSTALLED_APPS]
MIDDLEWARE = [*MIDDLEWARE, "console.access.OperatorOnlyMiddleware"]
ROOT_URLCONF = "config.console_urls"
WSGI_APPLICATION = "config.console_wsgi.application"
DATABASES = DATABASES | {"default": DATABASES["system"]}
SESSION_COOKIE_NAME = "invoicedream_console"
CSRF_COOKIE_NAME = "invoicedream_console_csrf"
SIGNUP_IS_OPEN = False
LOGIN_REDIRECT_URL = "/"
