"""The console in the tests' own process: its settings over those of the tests, and the `system` role as its default."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client, override_settings
from django.utils import timezone

from accounts.models import AuditEntry, User
from billing.invoicing import close_period
from billing.models import Invoice
from billing.sellers import set_seller
from config import console_settings
from console.months import ZONE
from ledger.models import BillingPeriod
from tests import stories
from tests.stories import PASSWORD, Cast, code_of, give_second_factor, meet_the_cast, use

SAME = {"DATABASES", "STORAGES", "PASSWORD_HASHERS"}
"""Of these the tests have their own; the role of the default connection is changed by hand."""
DIFFERENT = {
    name: getattr(console_settings, name)
    for name in dir(console_settings)
    if name.isupper() and name not in SAME and getattr(settings, name, None) != getattr(console_settings, name)
}


@pytest.fixture
def console(db: None) -> Iterator[None]:
    """This process is a console until the test ends."""
    default, system = (connections[alias].settings_dict for alias in ("default", "system"))
    before = {name: default[name] for name in ("USER", "PASSWORD")}
    connections["default"].close()
    default.update({name: system[name] for name in before})
    with override_settings(**DIFFERENT):
        yield
    connections["default"].close()
    default.update(before)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def cast(db: None, now: datetime) -> Cast:
    """Acme, globex and an operator, brought on stage before the curtain of the console rises."""
    return meet_the_cast(now=now)


def sign_in(client: Client, user: User, *, secret: str | None = None) -> None:
    """By password and, where there is one, the app's code."""
    response = client.post("/sign-in/", {"login": user.email, "password": PASSWORD})
    assert response.status_code == 302, response.content.decode()
    if secret:
        response = client.post("/second-factor/sign-in/", {"code": code_of(secret)})
        assert response.status_code == 302, response.content.decode()


@pytest.fixture
def operator(cast: Cast, console: None) -> Client:
    """A browser in which the operator is signed in, with the second factor."""
    client = Client()
    sign_in(client, cast.operator, secret=give_second_factor(cast.operator))
    return client


@pytest.fixture
def invoice(cast: Cast, now: datetime) -> Invoice:
    """Acme's for last month, open, of which the trial credit paid ₩5,000."""
    acme = cast.acme.organization
    set_seller(now=now - timedelta(days=100), **stories.SELLER)
    usage = stories.TokenUsage(input_tokens=100_000_000, output_tokens=10_000_000)
    use(acme, at=last_month(now), usage=usage)
    period = BillingPeriod.objects.using("system").get(organization=acme)
    invoice = close_period(organization_id=acme.pk, period_id=period.pk, now=now)
    assert invoice is not None and invoice.status == "open" and invoice.credit_applied == 5000
    return invoice


def last_month(now: datetime) -> datetime:
    """A moment of it."""
    return now.astimezone(ZONE).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)


def audited(action: str, cast: Cast) -> AuditEntry:
    """The operator's entry of that kind."""
    return AuditEntry.objects.filter(action=action, actor=cast.operator).latest("at")


def carry_out(client: Client, address: str, values: dict[str, Any], *, language: str = "en") -> Any:
    """Fill in the form, read what will happen, confirm."""
    client.cookies["invoicedream_language"] = language
    assert client.get(address).status_code == 200
    review = client.post(address, values)
    assert review.status_code == 200, review.context["form"].errors
    assert review.context["review"], "it says what will happen"
    answer = client.post(address, values | {"confirm": "1"})
    assert answer.status_code == 302, answer.context["form"].errors
    return review


def refused(client: Client, address: str, values: dict[str, Any], *, steps: int = 2) -> str:
    """What a form that is not accepted says, neither when it is read nor when it is confirmed (or only at the latter)."""
    client.cookies["invoicedream_language"] = "en"
    for step in ({}, {"confirm": "1"})[-steps:]:
        answer = client.post(address, values | step)
        assert answer.status_code == 422
    return " ".join(message for messages in answer.context["form"].errors.values() for message in messages)


def picked(at: datetime) -> str:
    """A moment as the browser's picker sends it."""
    return f"{at.astimezone(ZONE):%Y-%m-%dT%H:%M}"
