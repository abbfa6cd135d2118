"""Settings of the operator's console: the site's, with an address, a cookie and a database role of its own."""

from config.settings import *  # noqa: F403  (the console differs in these few lines only)
from config.settings import BASE_DIR, DATABASES, INSTALLED_APPS, MIDDLEWARE, TEMPLATES, env
from console.face import UNFOLD  # noqa: F401  (read by the admin's theme)

INSTALLED_APPS = ["unfold", "unfold.contrib.filters", *INSTALLED_APPS]
MIDDLEWARE = [*MIDDLEWARE, "console.access.OperatorOnlyMiddleware"]
ROOT_URLCONF = "config.console_urls"
WSGI_APPLICATION = "config.console_wsgi.application"
DATABASES = DATABASES | {"default": DATABASES["system"]}
TEMPLATES = [TEMPLATES[0] | {"DIRS": [BASE_DIR / "templates" / "console" / "overrides", BASE_DIR / "templates"]}]

AUTHENTICATION_BACKENDS = ["console.access.OperatorBackend"]
ACCOUNT_ADAPTER = "console.access.ConsoleAccountAdapter"
ACCOUNT_LOGOUT_REDIRECT_URL = LOGIN_URL = "account_login"
ACCOUNT_RATE_LIMITS = {"login": "20/m/ip", "login_failed": "10/m/ip,5/5m/key", "reauthenticate": "5/m/user"}
ACCOUNT_SESSION_REMEMBER = False
LOGIN_REDIRECT_URL = "/"
MFA_TOTP_ISSUER = "InvoiceDream console"
MFA_TOTP_TOLERANCE = 1  # half a minute: phones' clocks differ
SIGNUP_IS_OPEN = False

SESSION_COOKIE_NAME = "invoicedream_console"
CSRF_COOKIE_NAME = "invoicedream_console_csrf"
SESSION_COOKIE_AGE = env.int("CONSOLE_SESSION_SECONDS", default=12 * 60 * 60)
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
APPEND_SLASH = True
FORMAT_MODULE_PATH = ["console.formats"]
