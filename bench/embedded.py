"""A PostgreSQL and a Valkey for one benchmark run, with commits that reach the disk, thrown away afterwards.

`settings_for` must run before Django is set up: it puts the addresses into the environment.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config.launch import places, ports, servers
from config.launch.processes import signal_group

ROOMY = servers.MODEST | {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
"""As `make run`, with memory and checkpoints sized for load; fsync and synchronous_commit stay on."""


@contextmanager
def system() -> Iterator[None]:
    """Servers, roles and a migrated database, named in `os.environ` while the block runs."""
    home = places.temporary_home()
    children: list[subprocess.Popen[bytes]] = []
    log = Path(home) / "servers.log"
    postgres = servers.Postgres(
        home=home, port=ports.free_port(), password=secrets.token_urlsafe(16), log=log, tuning=ROOMY
    )
    valkey = servers.Valkey(port=ports.free_port(), password=secrets.token_urlsafe(16), log=log)
    os.environ.update(
        DATABASE_URL=postgres.url("bench"),
        REDIS_URL=valkey.url(),
        SECRET_KEY=secrets.token_hex(16),
        DATABASE_ROLE_PREFIX="bench",
        DJANGO_SETTINGS_MODULE="config.settings",
        DEMO="1",
        LOG_LEVEL="WARNING",
        LOG_FORMAT="console",
        VAR_DIR=str(home),
    )
    try:
        postgres.create()
        children.append(postgres.start())
        children.append(valkey.start())
        _wait_until(postgres.is_ready)
        _wait_until(lambda: ports.answers(valkey.port))
        subprocess.run(
            [sys.executable, "manage.py", "setup_database"], cwd=places.CHECKOUT, check=True, stdout=subprocess.DEVNULL
        )
        yield
    finally:
        for child in children:
            signal_group(child.pid, signal.SIGINT)
            child.wait(timeout=60)
        shutil.rmtree(home, ignore_errors=True)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("a server of the benchmark did not start")
        time.sleep(0.02)
