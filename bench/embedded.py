"""A PostgreSQL and a Valkey for one benchmark run, with commits that reach the disk.

Enter `system` or `servers_in` before Django is set up: they put the addresses into the environment.
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
def system() -> Iterator[servers.Postgres]:
    """Servers, roles and a migrated database, named in `os.environ` while the block runs; thrown away afterwards."""
    home = places.temporary_home()
    try:
        with servers_in(home, secret=secrets.token_hex(16)) as postgres:
            use_database(postgres.url("bench"))
            yield postgres
    finally:
        shutil.rmtree(home, ignore_errors=True)


def use_database(url: str) -> None:
    """Name this database in the environment, and make or mend it: roles, rights, migrations."""
    os.environ["DATABASE_URL"] = url
    subprocess.run(
        [sys.executable, "manage.py", "setup_database"], cwd=places.CHECKOUT, check=True, stdout=subprocess.DEVNULL
    )


@contextmanager
def servers_in(home: Path, *, secret: str) -> Iterator[servers.Postgres]:
    """The servers with their data in `home`, and the environment of our processes except DATABASE_URL.

    Passwords follow from `secret`, so that a cluster that is kept can be entered again.
    """
    children: list[subprocess.Popen[bytes]] = []
    log = home / "servers.log"
    postgres = servers.Postgres(home=home, port=ports.free_port(), password=secret, log=log, tuning=ROOMY)
    valkey = servers.Valkey(port=ports.free_port(), password=secret, log=log)
    os.environ.update(
        REDIS_URL=valkey.url(),
        SECRET_KEY=secret,
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
        yield postgres
    finally:
        for child in children:
            signal_group(child.pid, signal.SIGINT)
            child.wait(timeout=600)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("a server of the benchmark did not start")
        time.sleep(0.02)
