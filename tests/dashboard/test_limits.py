"""The page of spend limits: set, seen, changed and lifted for the organization, members and keys; stopped keys are let go again."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from accounts.models import Role
from ledger.models import Balance, KeyStop, SpendLimit, VelocityCap
from ledger.velocity import stop_key
from pricing.tokens import TokenUsage
from tests import stories
from tests.dashboard.conftest import Browse, text_of

MILLION = TokenUsage(input_tokens=500_000, output_tokens=500_000)
LIMITS = "/o/acme/limits"


@pytest.fixture
def owner(cast: stories.Cast, browse: Browse) -> Client:
    return browse(cast.acme.owner, language="en")


def put(client: Client, amount: str = "10,000", **options: str) -> Any:
    given = {"subject": "organization", "window": "month", "hard": "hard", "amount": amount}
    return client.post(f"{LIMITS}/new", given | options)


def only() -> SpendLimit:
    return SpendLimit.objects.using("system").get()


def test_a_limit_is_set_seen_changed_and_lifted(cast: stories.Cast, owner: Client) -> None:
    stories.use(cast.acme.organization, at=stories.NOON, usage=MILLION, api_key_id=cast.acme.key.pk)
    assert "No limit yet" in text_of(owner.get(LIMITS))
    assert put(owner)["Location"] == LIMITS
    page = text_of(owner.get(LIMITS))
    assert "Spent ₩72 Held ₩0 Left ₩9,928 Limit ₩10,000" in page, "₩66 and ₩6 of tax, as an invoice cuts it"
    assert "VAT (10%) ₩6 Total ₩72" in text_of(owner.get("/o/acme/invoices"))
    assert "Begins anew on" in page
    change = f"{LIMITS}/{only().pk}"
    assert "10,000" in owner.get(change).content.decode()
    assert owner.post(change, {"amount": "₩70"})["Location"] == LIMITS
    assert (only().amount, only().hard, only().spent) == (70, True, 66)
    owner.post(change, {"action": "remove"})
    assert not SpendLimit.objects.using("system").exists()
    assert Balance.objects.using("system").get(organization__slug="acme").limited is False


def test_a_soft_daily_limit_of_a_member(cast: stories.Cast, owner: Client) -> None:
    put(owner, subject=f"member:{cast.acme.owner.pk}", window="day", hard="soft")
    limit = only()
    assert (limit.member, limit.window, limit.hard) == (cast.acme.owner, "day", False)
    page = text_of(owner.get(LIMITS))
    assert "Daily soft" in page
    assert "refuses nothing" in page


@pytest.mark.parametrize("amount", ["", "-1", "many", "NaN", "1e999", "0.5", "99999999999999"])
def test_an_amount_that_is_none_is_refused(owner: Client, amount: str) -> None:
    assert put(owner, amount).status_code == 422
    put(owner)
    assert owner.post(f"{LIMITS}/{only().pk}", {"amount": amount}).status_code == 422
    assert only().amount == 10_000


def test_the_most_that_can_be_written_is_said_in_groups(owner: Client) -> None:
    assert "Write at most 1,000,000,000,000." in text_of(put(owner, "1000000000001"))


def test_a_limit_of_nothing_says_that_it_refuses_every_call(owner: Client) -> None:
    assert "A hard limit of 0 refuses every call" in text_of(owner.get(f"{LIMITS}/new"))
    put(owner, "0")
    assert "Every call that costs something is refused from now on." in text_of(owner.get(LIMITS))
    change = f"{LIMITS}/{only().pk}"
    assert "0 refuses every call" in text_of(owner.get(change))
    owner.post(change, {"amount": "5"})
    assert "It holds from the next call on." in text_of(owner.get(LIMITS))


def test_the_amount_of_a_choice_is_not_called_optional(owner: Client) -> None:
    page = text_of(owner.get(f"{LIMITS}/breaker"))
    assert "Needed for an amount of your own" in page
    assert "(optional)" not in page


@pytest.mark.parametrize(
    "wish",
    [{"subject": "key:1000000"}, {"subject": "member:1000000"}, {"subject": ""}, {"window": "year"}, {"hard": "x"}],
    ids=["strange key", "strange member", "nobody", "a year", "neither"],
)
def test_what_cannot_be_limited_is_refused(owner: Client, wish: dict[str, str]) -> None:
    assert put(owner, **wish).status_code == 422
    assert not SpendLimit.objects.using("system").exists()


def test_the_neighbours_key_is_no_choice(cast: stories.Cast, owner: Client) -> None:
    assert put(owner, subject=f"key:{cast.globex.key.pk}").status_code == 422
    assert put(owner, subject=f"member:{cast.globex.owner.pk}").status_code == 422


def test_a_key_has_a_limit_of_its_own(cast: stories.Cast, owner: Client, browse: Browse) -> None:
    page = f"/o/acme/keys/{cast.acme.key.pk}"
    assert "No limit of its own" in text_of(owner.get(page))
    assert f"{LIMITS}/new?of=key:{cast.acme.key.pk}" in owner.get(page).content.decode()
    put(owner, "500", subject=f"key:{cast.acme.key.pk}")
    assert "Limit ₩500" in text_of(owner.get(page))
    assert "limit ₩500" in text_of(owner.get("/o/acme/keys"))
    assert only().amount == Decimal(500)
    developer = stories.make_member(cast.acme.organization, Role.DEVELOPER, now=stories.NOON)
    looking = browse(developer, language="en")
    assert "Limit ₩500" in text_of(looking.get(page))
    assert "Owners and admins can change this." in text_of(looking.get(LIMITS))
    assert put(looking).status_code == 403
    assert looking.post(f"{LIMITS}/{only().pk}", {"action": "remove"}).status_code == 403


def test_a_stopped_key_is_shown_and_let_go(cast: stories.Cast, owner: Client, browse: Browse) -> None:
    stop_key(
        organization_id=cast.acme.organization.pk,
        api_key_id=cast.acme.key.pk,
        cause=KeyStop.Cause.CAP,
        seconds=600,
        spent=Decimal(700_000),
        allowed=Decimal(500_000),
        now=stories.NOON,
    )
    for page in (LIMITS, f"/o/acme/keys/{cast.acme.key.pk}"):
        assert "it had spent ₩700,000 within a few minutes" in text_of(owner.get(page))
    assert "was stopped It spent far more than usual" in text_of(owner.get("/o/acme/")), "also where people look first"
    lift = f"{LIMITS}/stopped/{cast.acme.key.pk}/lift"
    viewer = browse(stories.make_member(cast.acme.organization, Role.VIEWER, now=stories.NOON), language="en")
    assert "Owners and admins can lift this." in text_of(viewer.get(LIMITS))
    assert viewer.post(lift).status_code == 403
    assert owner.post(lift)["Location"] == LIMITS
    assert "₩700,000" not in text_of(owner.get(LIMITS))
    assert "was stopped" not in text_of(owner.get("/o/acme/"))
    assert KeyStop.objects.using("system").get().lifted_at - stories.NOON < timedelta(seconds=1)


def test_when_keys_are_stopped_can_be_said(cast: stories.Cast, owner: Client) -> None:
    assert "more than ₩500,000 within 10 minutes" in text_of(owner.get(LIMITS))
    page = f"{LIMITS}/breaker"
    assert owner.post(page, {"choice": "own", "amount": ""}).status_code == 422
    owner.post(page, {"choice": "own", "amount": "20,000"})
    owner.post(f"{page}/{cast.acme.key.pk}", {"choice": "off"})
    shown = text_of(owner.get(LIMITS))
    assert "more than ₩20,000 within 10 minutes" in shown
    assert "never stopped" in shown
    assert owner.get(f"{page}/{cast.acme.key.pk}").status_code == 200
    owner.post(page, {"choice": "default", "amount": ""})
    assert VelocityCap.objects.using("system").get().api_key == cast.acme.key


@pytest.mark.parametrize("subject", ["organization", "member", "key"])
def test_what_was_spent_opens_to_its_usage(cast: stories.Cast, owner: Client, subject: str) -> None:
    stories.use(cast.acme.organization, at=stories.NOON, usage=MILLION, api_key_id=cast.acme.key.pk)
    stories.use(cast.acme.organization, at=stories.NOON - timedelta(days=1), usage=MILLION)
    whose = {"organization": "", "member": f":{cast.acme.owner.pk}", "key": f":{cast.acme.key.pk}"}
    put(owner, subject=subject + whose[subject], window="day")
    [address] = re.findall(r"<dt>Spent</dt><dd[^>]*><a href=\"([^\"]+)", owner.get(LIMITS).content.decode())
    opened = owner.get(unescape(address))
    day = stories.NOON.astimezone(ZoneInfo("Asia/Seoul")).date()
    assert (opened.context["span"].first, opened.context["span"].last) == (day, day)
    assert "₩66" in text_of(opened), "the one call of the day, before tax"
