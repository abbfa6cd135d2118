"""Settings of the tests: the real ones, in an environment that `tests.environment` made up before they were read."""

from tests import environment

environment.prepare()

from config.settings import *  # noqa: E402, F403  (reads the environment made just above)
from config.settings import DATABASES, STORAGES  # noqa: E402

for connection in DATABASES.values():
    connection["NAME"] = environment.NO_DATABASE
    connection["CONN_MAX_AGE"] = 0

# The real hasher is slow on purpose; tests of the login itself choose it themselves.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# `make run` collects static files under hashed names before it starts; tests read them where they are.
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}

# Stories stand at fixed dates, and many leave their mails waiting.
MAIL_OVERDUE_HOURS = 24 * 366 * 100
USAGE_KEY_DAYS = 365 * 50
