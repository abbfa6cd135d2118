"""One database, one stand-in upstream and one gateway for all tests of a module: real processes, as in use."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connections
from django.utils import timezone
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from tests import environment, stories
from tests.gateway.running import House, look_into_database, running_gateway
from tests.sandbox.processes import ROOT, StandIn, stand_in

_numbers = itertools.count(1)
UPSTREAM_KEY = "sk-upstream-0123456789abcdef"
QUICK = {
    "GATEWAY_CHUNK_SECONDS": "1",
    "GATEWAY_FIRST_BYTE_SECONDS": "2",
    "GATEWAY_TOTAL_SECONDS": "5",
    "GATEWAY_COMMIT_SECONDS": "2",
    "RATE_LIMIT_SECONDS_FOR_REDIS": "2",
    "GATEWAY_ATTEMPTS": "1",
}
"""Patience that a test can wait for; what an upstream answers is shown, not tried again."""


@pytest.fixture(scope="module")
def module_database(
    servers: psycopg.Connection[tuple[object, ...]], django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The URL of a database that all tests of the module share."""
    name = f"test_{os.environ[environment.RUN]}_{environment.worker_number()}_gateway_{next(_numbers)}"
    clone = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    servers.execute(clone.format(sql.Identifier(name), sql.Identifier(environment.template_database())))
    _point_connections_at(name)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()  # organizations of another database have the same numbers
    with django_db_blocker.unblock():
        yield environment.with_path(os.environ["DATABASE_URL"], name)
        _point_connections_at(environment.NO_DATABASE)
    servers.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _point_connections_at(name: str) -> None:
    connections.close_all()
    for alias in connections:
        connections[alias].settings_dict["NAME"] = name


def gateway_environment(database_url: str, llm: StandIn, **own: str) -> dict[str, str]:
    """What a gateway before `llm` is started with."""
    given = {
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(ROOT),
        "LOG_FORMAT": "json",
        "OPENROUTER_BASE_URL": f"{llm.url}/api/v1",
        "UPSTREAM_BASE_URL": f"{llm.url}/v1",
        "UPSTREAM_API_KEY": UPSTREAM_KEY,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return inherited | given | QUICK | own


@contextmanager
def furnished_house(
    database_url: str, folder: Path, *words: str, server: Sequence[str] = (), **own: str
) -> Iterator[House]:
    """A house with its cast; `words` go to the stand-in, `server` to its server, `own` to the gateway's environment."""
    cast = stories.meet_the_cast(now=timezone.now())
    with stand_in("llm", "--api-key", UPSTREAM_KEY, *words) as llm, look_into_database() as database:
        variables = gateway_environment(database_url, llm, **own)
        with running_gateway(variables, *server, log=folder / "gateway.log") as gateway:
            yield House(gateway=gateway, llm=llm, cast=cast, database=database, environment=variables)


@pytest.fixture(scope="module")
def shared_house(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with furnished_house(module_database, tmp_path_factory.mktemp("gateway")) as house:
        yield house


@pytest.fixture
def house(shared_house: House) -> House:
    """The module's house, with nothing ordered upstream and an empty bill."""
    shared_house.llm.call("DELETE", "/sandbox/faults")
    shared_house.llm.call("DELETE", "/sandbox/bill")
    return shared_house
