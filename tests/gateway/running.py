"""Starts the gateway as the process that it is in use, and looks into the database behind it."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import psycopg
from django.db import connections
from psycopg.rows import dict_row

from config.launch import services
from config.launch.ports import free_port
from tests import stories
from tests.sandbox.processes import ROOT, StandIn

SECONDS_TO_START = 60.0
OPEN, CAPTURED, RELEASED, QUESTIONED = 1, 2, 3, 4


class RunningGateway:
    """A gateway's process group, its address and its log."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.log = log

    def client(self, secret: str, **options: Any) -> openai.OpenAI:
        """OpenAI's own client; unless said otherwise it does not retry, so that a test sees the first answer."""
        given: dict[str, Any] = {"max_retries": 0, "timeout": 20.0}
        return openai.OpenAI(api_key=secret, base_url=f"{self.url}/v1", **(given | options))

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, Any]:
        """Status, headers and body (decoded if JSON) of a plain HTTP call."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, head, raw = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, head, raw = error.code, error.headers, error.read()
        try:
            return status, head, json.loads(raw)
        except ValueError:
            return status, head, raw

    def log_lines(self, message: str) -> list[dict[str, Any]]:
        """The structured lines with that message."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == message]

    def kill(self) -> None:
        """What a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def stop(self, *, timeout: float = 30) -> int:
        """What a supervisor does."""
        self.process.terminate()
        return self.process.wait(timeout=timeout)


@contextmanager
def running_gateway(environment: Mapping[str, str], *words: str, log: Path) -> Iterator[RunningGateway]:
    """A gateway that is ready, started as the launcher does. `environment` is the whole of it; `words` outdo the launcher's."""
    port = free_port()
    command = [*services.gateway(port=port).command, *words]
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=output, stderr=output, start_new_session=True
        )
    gateway = RunningGateway(process, port, log)
    try:
        wait_until(lambda: _is_ready(gateway), seconds=SECONDS_TO_START, what=log.read_text)
        yield gateway
    finally:
        try:
            gateway.kill()
        except ProcessLookupError:
            process.wait()


def _is_ready(gateway: RunningGateway) -> bool:
    assert gateway.process.poll() is None, gateway.log.read_text()
    try:
        return gateway.call("GET", "/readyz")[0] == 200
    except OSError:
        return False


def wait_until(condition: Callable[[], Any], *, seconds: float = 5.0, what: Callable[[], object] = lambda: "") -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still waiting after {seconds} s: {what()}"
        time.sleep(0.01)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A gateway before a stand-in upstream, the cast, and a look at the database behind it."""

    gateway: RunningGateway
    llm: StandIn
    cast: stories.Cast
    database: psycopg.Connection[dict[str, Any]]
    environment: Mapping[str, str]

    @property
    def acme(self) -> openai.OpenAI:
        """OpenAI's client with acme's key."""
        return self.gateway.client(self.cast.acme.secret)

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        return self.database.execute(query, parameters).fetchall()  # type: ignore[arg-type]

    def hold_of(self, request_id: str) -> dict[str, Any]:
        [hold] = self.rows("SELECT * FROM ledger_hold WHERE request_id = %s", request_id)
        return hold

    def event_of(self, request_id: str) -> dict[str, Any] | None:
        found = self.rows("SELECT * FROM metering_usageevent WHERE request_id = %s", request_id)
        assert len(found) < 2
        return found[0] if found else None

    def newest_hold(self) -> dict[str, Any]:
        return self.rows("SELECT * FROM ledger_hold ORDER BY id DESC LIMIT 1")[0]

    def balance(self) -> dict[str, Any]:
        organization_id = self.cast.acme.organization.pk
        return self.rows("SELECT * FROM ledger_balance WHERE organization_id = %s", organization_id)[0]

    def charges(self) -> int:
        return int(self.rows("SELECT count(*) AS number FROM metering_usageevent")[0]["number"])


def look_into_database() -> psycopg.Connection[dict[str, Any]]:
    """A connection of its own, outside Django, as the role that sees all rows."""
    login = connections["system"].settings_dict
    return psycopg.connect(
        host=login["HOST"],
        port=login["PORT"],
        dbname=login["NAME"],
        user=login["USER"],
        password=login["PASSWORD"],
        autocommit=True,
        row_factory=dict_row,
    )
