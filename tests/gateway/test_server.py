"""The gateway in several processes under one supervisor, as containers run it: who gets which connection, who dies, who stops."""

import http.client
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from config.launch import services
from config.launch.ports import answers, free_port
from tests import stories
from tests.gateway.running import SECONDS_TO_START, House, RunningGateway, running_gateway, wait_until
from tests.sandbox.processes import ROOT

LONG: Any = [{"role": "user", "content": "Please review my code"}]
PAIR = ("--workers", "2")


@pytest.fixture
def gateway(house: House, tmp_path: Path) -> Iterator[RunningGateway]:
    """Two workers. The first readiness may be one worker's; these tests want both."""
    with running_gateway(house.environment, *PAIR, log=tmp_path / "gateway.log") as running:
        wait_until(lambda: len(listeners(running)) == 2, seconds=SECONDS_TO_START)
        yield running


def sockets_of(process: int) -> set[str]:
    """Inodes of the sockets that the process has open."""
    found = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        try:
            kind, _, rest = os.readlink(entry).partition(":[")
        except OSError:
            continue
        if kind == "socket":
            found.add(rest.rstrip("]"))
    return found


def connections(gateway: RunningGateway, *, state: str) -> dict[int, int]:
    """How many sockets each process of the gateway has on its port in that state (0A listens, 01 is connected)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    wanted = {row[9] for row in rows if row[3] == state and int(row[1].partition(":")[2], 16) == gateway.port}
    family = [int(child) for child in children(gateway.process.pid)]
    counts = {process: len(wanted & sockets_of(process)) for process in family if Path(f"/proc/{process}/fd").exists()}
    return {process: count for process, count in counts.items() if count}


def children(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []


def listeners(gateway: RunningGateway) -> list[int]:
    return sorted(connections(gateway, state="0A"))


def chat(gateway: RunningGateway, house: House, **options: Any) -> Any:
    return gateway.client(house.cast.acme.secret, timeout=60).chat.completions.create(
        model=stories.DEVSTRAL, messages=LONG, **options
    )


def test_connections_are_dealt_out_to_all_workers(gateway: RunningGateway) -> None:
    with ExitStack() as stack:
        for _number in range(64):
            kept = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
            stack.callback(kept.close)
            kept.request("GET", "/healthz")
            assert kept.getresponse().read()
        counts = connections(gateway, state="01")
    assert len(counts) == 2
    assert min(counts.values()) > 11  # by chance less once in ten million


@pytest.mark.parametrize("workers", [1, 2])
def test_whoever_is_let_in_is_served_from_the_first_connection_on(house: House, tmp_path: Path, workers: int) -> None:
    port, log = free_port(), tmp_path / "gateway.log"
    with started(house.environment, port=port, log=log, workers=workers) as process:
        deadline = time.monotonic() + SECONDS_TO_START
        statuses = []
        seen: set[int] = set()
        gateway = RunningGateway(process, port, log)
        while len(seen) < workers or len(statuses) < 50:
            assert time.monotonic() < deadline, log.read_text()
            if answers(port):
                statuses.append(gateway.call("GET", "/v1/models", headers=_key(house))[0])
                seen |= {process.pid} if workers == 1 else set(listeners(gateway))
        assert statuses == [200] * len(statuses)


def _key(house: House) -> dict[str, str]:
    return {"Authorization": f"Bearer {house.cast.acme.secret}"}


def test_a_worker_that_was_killed_is_replaced_and_the_other_goes_on(gateway: RunningGateway, house: House) -> None:
    first, second = listeners(gateway)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: listeners(gateway) == [second])
    for _call in range(10):
        assert chat(gateway, house).choices
    wait_until(lambda: len(listeners(gateway)) == 2, seconds=SECONDS_TO_START)
    assert second in listeners(gateway)
    assert "died" in gateway.log.read_text()


def test_streams_of_all_workers_end_before_the_gateway_does(gateway: RunningGateway, house: House) -> None:
    house.llm.order({"fault": "slow:0.1", "times": 12})
    with ThreadPoolExecutor(13) as threads:
        streams = [chat(gateway, house, stream=True) for _stream in range(12)]
        for stream in streams:
            next(iter(stream))
        assert len(connections(gateway, state="01")) == 2
        stopping = threads.submit(gateway.stop)
        wait_until(lambda: not listeners(gateway))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gateway.port), timeout=5)
        reading = [threads.submit(lambda stream=stream: [chunk.choices for chunk in stream][-1]) for stream in streams]
        assert [read.result(timeout=60)[0].finish_reason for read in reading] == ["stop"] * 12
        assert stopping.result(timeout=30) == 0


def test_workers_do_not_outlive_their_supervisor(gateway: RunningGateway) -> None:
    workers = listeners(gateway)
    gateway.process.kill()
    gateway.process.wait()
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), seconds=20)
    assert not answers(gateway.port)


@pytest.mark.parametrize("words", [(), PAIR], ids=["one", "two"])
def test_ctrl_c_ends_it_quietly(house: House, tmp_path: Path, words: tuple[str, ...]) -> None:
    with running_gateway(house.environment, *words, log=tmp_path / "gateway.log") as gateway:
        os.killpg(gateway.process.pid, signal.SIGINT)
        assert gateway.process.wait(timeout=20) == 0
        assert "Traceback" not in gateway.log.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_that_fails_ends_the_gateway_and_says_why(house: House, tmp_path: Path, workers: int) -> None:
    log = tmp_path / "gateway.log"
    without = dict(house.environment) | {"UPSTREAM_BASE_URL": "", "OPENROUTER_BASE_URL": "", "OPENROUTER_API_KEY": ""}
    with started(without, port=free_port(), log=log, workers=workers) as process:
        assert process.wait(timeout=SECONDS_TO_START) == 3
    assert "ImproperlyConfigured" in log.read_text()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        started(house.environment, port=taken.getsockname()[1], log=log, workers=workers) as process,
    ):
        assert process.wait(timeout=SECONDS_TO_START) == 3
    assert "ddress already in use" in log.read_text()


@contextmanager
def started(environment: Any, *, port: int, log: Path, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway for whose readiness nobody waited."""
    command = [*services.gateway(port=port).command, "--workers", str(workers)]
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_nothing_tells_which_server_it_is(house: House) -> None:
    with urllib.request.urlopen(f"{house.gateway.url}/healthz", timeout=20) as answer:
        assert "server" not in answer.headers
