"""The console as it is served: a process of its own, under its own settings, as the role that sees all organizations."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests
from django.test import override_settings

from config import settings
from config.launch.places import CHECKOUT
from config.launch.ports import free_port
from tests.stories import PASSWORD, Cast, code_of, give_second_factor, use


@pytest.fixture
def address(process_environment: dict[str, str]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port), "--no-ws"]
    child = subprocess.Popen(
        [*command, "config.console_asgi:app"],
        cwd=CHECKOUT,
        env=process_environment | {"DJANGO_SETTINGS_MODULE": "config.console_settings", "DEBUG": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, child)
        yield address
    finally:
        child.terminate()
        child.wait(timeout=15)


def wait_for(address: str, child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        try:
            if requests.get(f"{address}/readyz", timeout=10).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.1)
    pytest.fail("the console did not start")


def test_an_operator_comes_in_and_sees_every_customer(cast: Cast, address: str) -> None:
    use(cast.acme.organization, at=cast.acme.organization.created_at)
    secret = give_second_factor(cast.operator)
    with override_settings(PASSWORD_HASHERS=settings.PASSWORD_HASHERS):  # the other process knows no quick one
        cast.operator.set_password(PASSWORD)
        cast.operator.save()
    with requests.Session() as browser:
        browser.headers["Accept-Language"] = "en"
        assert browser.get(f"{address}/").url.startswith(f"{address}/sign-in/")
        send(browser, f"{address}/sign-in/", login=cast.operator.email, password=PASSWORD)
        send(browser, f"{address}/second-factor/sign-in/", code=code_of(secret))
        assert "invoicedream_console" in browser.cookies and "invoicedream_site" not in browser.cookies
        page = browser.get(f"{address}/accounts/organization/")
        assert page.status_code == 200 and "Acme" in page.text and "Globex" in page.text
        assert "Acme" in browser.get(f"{address}/usage/").text


def send(browser: requests.Session, address: str, **values: str) -> None:
    browser.get(address)
    token = browser.cookies["invoicedream_console_csrf"]
    answer = browser.post(address, values | {"csrfmiddlewaretoken": token}, headers={"Referer": address})
    assert answer.status_code == 200
