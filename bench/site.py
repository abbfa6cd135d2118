"""The site's process for a benchmark: the command of `docker-compose.yml`, on a port of 127.0.0.1."""

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from config.launch import ports
from config.launch.places import CHECKOUT
from config.launch.processes import signal_group, spawn


def production_command(port: int) -> list[str]:
    """What production runs, its workers and threads included; only the address is ours."""
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    program, *arguments = compose["services"]["site"]["command"]
    for option, value in (("--host", "127.0.0.1"), ("--port", str(port))):
        arguments[arguments.index(option) + 1] = value
    return [sys.executable, "-m", program, *arguments]


@contextmanager
def site() -> Iterator[tuple[int, int]]:
    """The running site, with our environment; yields its port and its process id."""
    port = ports.free_port()
    log = Path(os.environ["VAR_DIR"]) / "site.log"
    process = spawn(production_command(port), log=log, environment=os.environ, folder=CHECKOUT)
    try:
        deadline = time.monotonic() + 60
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the site did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield port, process.pid
    finally:
        signal_group(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
