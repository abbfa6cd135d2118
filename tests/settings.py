"""Settings of the tests: the real ones, in an environment that `tests.environment` made up before they were read."""

from tests import environment

environment.prepare()

from config.settings import *  # noqa: E402, F403  (reads the environment made just above)
from config.settings import DATABASES  # noqa: E402

for connection in DATABASES.values():
    connection["NAME"] = environment.NO_DATABASE
    connection["CONN_MAX_AGE"] = 0

# The real hasher is slow on purpose; tests of the login itself choose it themselves.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
