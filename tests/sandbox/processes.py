"""Starts a stand-in as the process that it is in use, and talks to it over HTTP with the standard library."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class StandIn:
    """A running stand-in: where it listens, and its control endpoints."""

    def __init__(self, process: subprocess.Popen[str], started: dict[str, Any]) -> None:
        self.process = process
        self.started = started
        self.url = f"http://127.0.0.1:{started['port']}"

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, Any]:
        """Status, headers, and the body: decoded when it is JSON, else bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, head, raw = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, head, raw = error.code, error.headers, error.read()
        try:
            return status, head, json.loads(raw)
        except ValueError:
            return status, head, raw

    def get(self, path: str) -> Any:
        return self.call("GET", path)[2]

    def order(self, *faults: Any) -> None:
        status, _, answer = self.call("POST", "/sandbox/faults", list(faults))
        assert status == 200, answer

    def stop(self) -> int:
        """End it as a supervisor would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=5)


@contextmanager
def stand_in(name: str, *arguments: str) -> Iterator[StandIn]:
    command = [sys.executable, "-m", f"sandbox.{name}", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield StandIn(process, json.loads(process.stdout.readline()))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
