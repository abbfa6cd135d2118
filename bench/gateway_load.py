"""Load for the gateways: wrk for throughput and latency, open sockets for idle streams and for the first chunk's way."""

import json
import os
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.gateway_subjects import PATH, Subject, body

SCRIPT = """
wrk.method = "POST"
wrk.path = {path}
wrk.body = {body}
{headers}
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('RESULT {{"requests":%d,"microseconds":%d,"wrong":%d,"p50":%d,"p99":%d}}\\n', summary.requests,
    summary.duration, errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one run of wrk: answers a second, milliseconds to their end, and milliseconds of processor that one takes the subject."""

    rate: float
    p50: float
    p99: float
    cpu: float


def drive(subject: Subject, *, connections: int, seconds: float, stream: bool, folder: Path) -> Measured:
    """Keep that many connections busy. Any answer but a 200 ends the benchmark: it would be fast for nothing."""
    headers = {"Content-Type": "application/json", **subject.headers}
    lines = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())
    script = folder / "wrk.lua"
    script.write_text(SCRIPT.format(path=json.dumps(PATH), body=_lua(body(stream=stream)), headers=lines))
    command = [
        "wrk",
        "--threads",
        "1",
        "--connections",
        str(connections),
        "--duration",
        f"{seconds:.0f}s",
        "--timeout",
        "30s",
    ]
    before = cpu_seconds_of(subject)
    done = subprocess.run([*command, "--script", str(script), subject.url], capture_output=True, text=True, check=True)
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))[7:])
    if found["wrong"]:
        raise SystemExit(f"{subject.name}: {found['wrong']} of {found['requests']} answers were errors")
    cpu = (cpu_seconds_of(subject) - before) * 1000 / max(found["requests"], 1)
    return Measured(found["requests"] / found["microseconds"] * 1e6, found["p50"] / 1000, found["p99"] / 1000, cpu)


def _lua(text: str) -> str:
    return f"[==[{text}]==]"


def first_chunk(subject: Subject) -> float:
    """Milliseconds until the first chunk of a stream whose second chunk comes half a second later."""
    began = time.perf_counter()
    with open_stream(subject, model="bench-model-slow") as connection:
        _read_until(connection, b"word0 ")
        took = time.perf_counter() - began
        _read_until(connection, b"[DONE]")
    return took * 1000


def idle_streams(subject: Subject, *, count: int) -> float:
    """MiB by which the subject grows while that many streams have begun and say nothing more."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    before = memory_of(subject)
    with ExitStack() as stack:
        streams = [stack.enter_context(open_stream(subject, model="bench-model-idle")) for _number in range(count)]
        for stream in streams:
            _read_until(stream, b"word0 ")
        time.sleep(1)
        return memory_of(subject) - before


def open_stream(subject: Subject, *, model: str) -> socket.socket:
    """A connection on which a streamed chat has been asked for."""
    address = urlsplit(subject.url)
    connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=30)
    content = body(stream=True, model=model)
    fields = {
        "Host": address.netloc,
        "Content-Type": "application/json",
        "Content-Length": len(content),
        **subject.headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    connection.sendall(f"POST {PATH} HTTP/1.1\r\n{head}\r\n{content}".encode())
    return connection


def _read_until(connection: socket.socket, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        data = connection.recv(65536)
        if not data:
            raise SystemExit(f"a stream ended before {wanted!r}: {seen[:300]!r}")
        seen += data


def memory_of(subject: Subject) -> float:
    """MiB of all its processes: proportional set size, so that shared pages count once."""
    rollups = [(process / "smaps_rollup").read_text() for process in _processes_of(subject)]
    return sum(int(text.partition("\nPss:")[2].split()[0]) for text in rollups) / 1024


def cpu_seconds_of(subject: Subject) -> float:
    """What all its processes have used so far. Unlike the time that passes it hardly depends on what else the machine does."""
    fields = [(process / "stat").read_text().rpartition(")")[2].split() for process in _processes_of(subject)]
    return sum(int(user) + int(system) for user, system in (some[11:13] for some in fields)) / os.sysconf("SC_CLK_TCK")


def _processes_of(subject: Subject) -> Iterator[Path]:
    """The folders in /proc of the subject's process group."""
    for entry in Path("/proc").iterdir():
        with suppress(ProcessLookupError):
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == subject.process.pid:
                yield entry
