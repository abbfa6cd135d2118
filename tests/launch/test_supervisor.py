"""The whole of `make run` without installation and demo data: up, killed, up again, stopped; nothing is left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.launch import plan, ports
from config.launch.places import CHECKOUT, remove_servers_home

PORTS = ("SITE_PORT", "GATEWAY_PORT", "CONSOLE_PORT", "MAILBOX_PORT")


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """As if nothing were set but a folder and ports; and no data is left on the machine afterwards."""
    ours = (
        "SITE_URL",
        "GATEWAY_URL",
        "CONSOLE_URL",
        "MAILBOX_URL",
        "SECRET_KEY",
        "VAR_DIR",
        "DEMO",
        "DJANGO_SETTINGS_MODULE",
        *plan.REAL_SERVICES,
    )
    clean = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("PYTEST")}
    var = tmp_path / "var"
    yield clean | {"VAR_DIR": str(var), "DEMO": "0"} | {name: str(ports.free_port()) for name in PORTS}
    remove_servers_home(var=var)


def start(surroundings: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "config.launch.supervisor"]
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout
    heard = ""
    for line in process.stdout:
        heard += line
        if re.search(pattern, line):
            return heard
    pytest.fail(f"it ended with {process.wait()} and never said {pattern!r}: {heard}")


def children_of(var: Path) -> list[int]:
    return [int(pid) for pid in json.loads((var / "processes.json").read_text())]


def are_gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() and "Z" not in state(pid) for pid in pids)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_up_killed_up_again_and_stopped(surroundings: dict[str, str]) -> None:
    var = Path(surroundings["VAR_DIR"])
    first = start(surroundings)
    read_until(first, "Ctrl-C stops")
    for name in ("SITE_PORT", "GATEWAY_PORT", "CONSOLE_PORT"):
        with urllib.request.urlopen(f"http://127.0.0.1:{surroundings[name]}/readyz", timeout=5) as answer:
            assert answer.status == 200
    written = (var / "embedded.env").read_text().splitlines()
    assert f"SITE_URL=http://127.0.0.1:{surroundings['SITE_PORT']}" in written
    assert f"GATEWAY_URL=http://127.0.0.1:{surroundings['GATEWAY_PORT']}/v1" in written
    second = subprocess.run(
        [sys.executable, "-m", "config.launch.supervisor"],
        cwd=CHECKOUT,
        env=surroundings,
        capture_output=True,
        text=True,
    )
    assert second.returncode == 1
    assert f"already running in this checkout (process {first.pid})" in second.stderr
    assert second.stderr.count("\n") == 1

    children = children_of(var)
    assert len(children) == 11  # PostgreSQL, Valkey, four stand-ins, site, gateway, console, worker, beat
    first.send_signal(signal.SIGKILL)
    first.wait()
    deadline = time.monotonic() + 15
    while not are_gone(children):
        assert time.monotonic() < deadline, "children outlive their killed supervisor"
        time.sleep(0.1)

    again = start(surroundings)
    read_until(again, "Ctrl-C stops")
    children = children_of(var)
    again.send_signal(signal.SIGTERM)
    assert "Stopped" in read_until(again, "Stopped")
    assert again.wait(timeout=10) == 0
    assert are_gone(children)
    assert not (var / "embedded.env").exists()
