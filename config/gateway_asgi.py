"""The gateway's process: Starlette under ASGI (`python -m gateway.server config.gateway_asgi:app`)."""

import logging
import os
import resource

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from config.garbage import collect_rarely  # noqa: E402
from gateway.app import create_app  # noqa: E402  (Django must be set up before the gateway imports its models)

MOST_FILES = 65_536


def allow_many_connections() -> None:
    """Each call takes two sockets, and many a login allows a process 1,024 files unless it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def log_cheaply() -> None:
    """Log lines tell neither threads nor places."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # type: ignore[attr-defined]  # as logging's HOWTO says


allow_many_connections()
app = create_app()
log_cheaply()
collect_rarely()
