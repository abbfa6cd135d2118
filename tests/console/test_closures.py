"""Closures on the console: an operator closes for a reason, typed and audited, and takes it back while that can be done."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Alarm, Organization
from accounts.tenancy import tenant_scope
from billing.closures import afterwards, asking, finishing
from billing.models import Closure, CreditPayout, Invoice
from billing.sellers import set_seller
from console.read_only import address_of
from ledger.credits import grant_credit
from tests.console.conftest import audited, carry_out, refused
from tests.stories import SELLER, Cast


def form(cast: Cast, **values: str) -> dict[str, str]:
    return {"when": "month_end", "slug": cast.acme.organization.slug, "reason": "Fraud"} | values


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_operator_closes_and_takes_it_back(operator: Client, cast: Cast, now: datetime, language: str) -> None:
    key = cast.acme.organization.pk
    carry_out(operator, reverse("admin:close_organization", args=[key]), form(cast), language=language)
    closure = Closure.objects.get()
    assert (closure.status, closure.by_operator, closure.reason) == ("asked", True, "Fraud")
    assert audited("closure.asked", cast).detail["reason"] == "Fraud"
    page = operator.get(reverse("admin:accounts_organization_change", args=[key]))
    assert {"ko": "해지 예정", "en": "To be closed"}[language] in page.content.decode()
    carry_out(operator, reverse("admin:take_closure_back", args=[key]), {"reason": "A mistake"}, language=language)
    assert Closure.objects.get().status == "withdrawn"
    assert Organization.objects.get(pk=key).closes_at is None


def test_at_once_shows_what_is_left(operator: Client, cast: Cast, now: datetime) -> None:
    key = cast.acme.organization.pk
    carry_out(operator, reverse("admin:close_organization", args=[key]), form(cast, when="at_once"))
    page = operator.get(reverse("admin:accounts_organization_change", args=[key])).content.decode()
    assert "Being closed" in page
    assert "months not invoiced" in page
    assert reverse("admin:close_organization", args=[key]) not in page


def test_a_mistyped_organization_is_not_closed(operator: Client, cast: Cast, now: datetime) -> None:
    address = reverse("admin:close_organization", args=[cast.acme.organization.pk])
    assert "slug" in refused(operator, address, form(cast, slug="globex"))
    assert not Closure.objects.exists()


def closed(cast: Cast, now: datetime) -> Organization:
    """Acme, of which nothing is left."""
    set_seller(now=now - timedelta(days=1), **SELLER)
    key = cast.acme.organization.pk
    asking.ask_for_closure(organization_id=key, at_once=True, now=now - timedelta(minutes=5), actor=None)
    finishing.finish_all(now=now)
    organization = Organization.objects.get(pk=key)
    assert organization.status == "closed"
    return organization


@pytest.mark.parametrize("language", ["ko", "en"])
def test_money_of_a_closed_organization_is_listed_and_sent_back_by_the_deed_of_any_other(
    operator: Client, cast: Cast, now: datetime, language: str
) -> None:
    organization = closed(cast, now)
    page = reverse("admin:closures")
    assert operator.get(page).content.decode().count("<tr>") == 2, "a head, and that there is none"
    with tenant_scope([organization.pk]):
        grant_credit(
            organization=organization, amount=Decimal(30_000), currency="KRW", kind="paid", reason="x", key="t", now=now
        )
    afterwards.watch_closed(now=now)
    operator.cookies["invoicedream_language"] = language
    home = operator.get(reverse("admin:index")).content.decode()
    assert {"ko": "해지된 조직", "en": "A closed organization holds or owes money."}[language] in home
    deed = reverse("admin:refund_credit", args=[organization.pk])
    text = operator.get(page).content.decode()
    assert "Acme" in text and "₩30,000" in text and deed in text
    carry_out(operator, deed, {"token": str(uuid4()), "reason": "Came late"}, language=language)
    text = operator.get(page).content.decode()
    assert deed not in text and address_of(CreditPayout.objects.get()) in text
    assert operator.get(address_of(Alarm.objects.get(kind="closed_money"))).status_code == 200


def test_a_closed_organization_is_given_no_gifts(operator: Client, cast: Cast, now: datetime) -> None:
    address = reverse("admin:give_credit", args=[closed(cast, now).pk])
    values = {"token": str(uuid4()), "amount": "1000", "kind": "promotional", "reason": "Sorry"}
    assert "lapse" in refused(operator, address, values)
    carry_out(operator, address, values | {"kind": "paid"})


def test_who_is_being_closed_is_listed_with_what_is_left(operator: Client, cast: Cast, invoice: Invoice) -> None:
    now = timezone.now()
    operator.cookies["invoicedream_language"] = "en"
    asking.ask_for_closure(organization_id=invoice.organization_id, at_once=True, now=now, actor=None)
    text = operator.get(reverse("admin:closures")).content.decode()
    assert invoice.number in text and "₩2,986" in text
    assert "Monthly" in operator.get(address_of(invoice)).content.decode()
