"""Stories are told on the whole system: what `make run` starts, with demo data, on ports and data of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, sync_playwright

from config.launch import plan, ports
from config.launch.places import CHECKOUT, LaunchError, remove_servers_home
from tests.scenarios import chromium as browsers

PORTS = ("SITE_PORT", "GATEWAY_PORT", "CONSOLE_PORT", "MAILBOX_PORT")
SECONDS_TO_START = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running system: what var/demo.json says of it, and a shell in which `manage.py` works on it."""

    demo: dict[str, str]
    environment: dict[str, str]

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`python manage.py …` as a person in another terminal would type it."""
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(
            command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )

    def mail_to(self, address: str, *, subject_has: str = "", seconds: float = 60.0) -> dict[str, Any]:
        """The newest mail to `address`, waited for."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = requests.get(f"{self.demo['mailbox']}/api/messages", params={"to": address}, timeout=5).json()
            for message in found["messages"]:
                if subject_has in message["subject"]:
                    answer = requests.get(f"{self.demo['mailbox']}/api/messages/{message['id']}", timeout=5)
                    return dict(answer.json())
            time.sleep(0.2)
        raise AssertionError(f"no mail to {address} with {subject_has!r} came within {seconds} s")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Starts the supervisor and waits for its last word; stops it as Ctrl-C would."""
    var = tmp_path_factory.mktemp("system") / "var"
    ours = {"SECRET_KEY", "DEMO", "DJANGO_SETTINGS_MODULE", "SITE_URL", "GATEWAY_URL", "CONSOLE_URL", "MAILBOX_URL"}
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ours | set(plan.REAL_SERVICES) and not name.startswith(("PYTEST", "INVOICEDREAM_TEST"))
    }
    environment = clean | {"VAR_DIR": str(var)} | {name: str(ports.free_port()) for name in PORTS}
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "config.launch.supervisor"],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _wait_for_last_word(supervisor)
        yield System(demo=json.loads((var / "demo.json").read_text()), environment=environment)
    finally:
        supervisor.terminate()
        supervisor.communicate(timeout=60)
        remove_servers_home(var=var)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser, the machine's or a fetched one; where there can be none, the test fails and says what to do."""
    try:
        found = browsers.find()
    except LaunchError as error:
        pytest.fail(str(error), pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.program, args=["--no-sandbox"], env=os.environ | found.environment
        )
        yield browser
        browser.close()


def _wait_for_last_word(supervisor: "subprocess.Popen[str]") -> None:
    heard = ""
    assert supervisor.stdout is not None
    deadline = time.monotonic() + SECONDS_TO_START
    for line in supervisor.stdout:
        heard += line
        if "Ctrl-C stops" in line:
            return
        assert time.monotonic() < deadline, heard
    raise AssertionError(f"the system did not start: {heard}")
