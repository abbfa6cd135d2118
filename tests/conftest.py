"""Fixtures for all tests. Ask for `db` and you get a database of your own: real commits, real roles, real row security.

It is cloned from a migrated template (about a tenth of a second) and dropped afterwards; nothing is wrapped in a
transaction and rolled back, because what we test is what happens on commit.
"""

import fcntl
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import redis
from django.conf import settings as django_settings
from django.db import connections
from psycopg import sql
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from accounts import throttling
from catalog import price_book
from config.launch.places import CHECKOUT
from ledger import partitions
from metering import recording_at_once
from tests import environment, keeper

_numbers = itertools.count(1)
STORIES = "tests/scenarios/"
"""A module of these starts a whole system, which its tests share; so they run one after the other, in one worker."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests go to whoever is free; the stories of a module stay together (xdist's own groups do nothing under pytest 9.2)."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.partition("::")[0] if nodeid.startswith(STORIES) else nodeid

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def servers() -> psycopg.Connection[tuple[object, ...]]:
    """The run's PostgreSQL and Redis, started by whoever asks first; an administrator's connection to the former."""
    folder = environment.folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "var").mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / keeper.READY).exists() and not (folder / keeper.FAILED).exists():
            _start_keeper()
    if (folder / keeper.FAILED).exists():
        pytest.fail(f"The servers of the tests did not start: {(folder / keeper.FAILED).read_text()}", pytrace=False)
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


def _start_keeper() -> None:
    folder = environment.folder()
    with open(folder / "keeper.log", "wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.keeper"],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while not (folder / keeper.READY).exists() and not (folder / keeper.FAILED).exists():
        if child.poll() is not None:
            pytest.fail(f"The keeper of the tests' servers died: {keeper.tail(folder / 'keeper.log')}", pytrace=False)
        time.sleep(0.02)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The run's first process tells the keeper that it is over; should it die instead, the keeper notices."""
    folder = environment.folder()
    if os.environ[environment.OWNER] != str(os.getpid()) or not (folder / keeper.READY).exists():
        return
    pid = int((folder / keeper.READY).read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def own_files(settings: Settings) -> Iterator[None]:
    """Documents, exports and archives of this test alone: the first organizations of two tests have the same number."""
    folder = environment.folder() / "var" / f"{environment.worker_number()}-{next(_numbers)}"
    settings.VAR_DIR = folder
    yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def db(
    servers: psycopg.Connection[tuple[object, ...]], django_db_blocker: DjangoDbBlocker, redis_url: str
) -> Iterator[None]:
    """A database of this test's own, under all three of Django's connections."""
    name = f"test_{os.environ[environment.RUN]}_{environment.worker_number()}_{next(_numbers)}"
    # Copying files is twice as fast where nothing is synced, and ten times slower where it is.
    strategy = "file_copy" if "DATABASE_URL" in os.environ[environment.EMBEDDED] else "wal_log"
    clone = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY " + strategy)
    servers.execute(clone.format(sql.Identifier(name), sql.Identifier(environment.template_database())))
    _point_connections_at(name)
    price_book.forget()  # what this process remembers of another test's database
    partitions.forget()
    recording_at_once.forget()
    throttling.counters.cache_clear()
    with django_db_blocker.unblock():
        yield
        _point_connections_at(environment.NO_DATABASE)
    servers.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _point_connections_at(name: str) -> None:
    """In place: new connections of other threads read the same dictionaries."""
    connections.close_all()
    for alias in connections:
        connections[alias].settings_dict["NAME"] = name


@pytest.fixture
def transactional_db(db: None) -> None:
    """pytest-django's `live_server` asks for it; every `db` of ours commits for real."""


@pytest.fixture
def django_db_setup() -> None:
    pytest.fail("This project's tests do not use the mark django_db: ask for the fixture `db`.", pytrace=False)


@pytest.fixture
def redis_url(servers: psycopg.Connection[tuple[object, ...]]) -> str:
    """An empty Redis database of this worker's own; settings.REDIS_URL leads there."""
    url: str = django_settings.REDIS_URL
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def process_environment(db: None, redis_url: str) -> dict[str, str]:
    """The environment in which a child process (gateway, worker, manage.py) works on this test's database."""
    name = connections["default"].settings_dict["NAME"]
    own = {
        "DATABASE_URL": environment.with_path(os.environ["DATABASE_URL"], name),
        "REDIS_URL": redis_url,
        "VAR_DIR": str(django_settings.VAR_DIR),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
    }
    return {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "INVOICEDREAM_TEST_"))
    } | own
