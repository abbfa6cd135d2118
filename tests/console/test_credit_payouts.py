"""An operator sends unused paid credit back: what is left is shown, a card is refunded by itself, a transfer noted by hand."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.tenancy import tenant_scope
from billing.models import CreditPayout, Refund
from console.read_only import address_of, list_of
from ledger.credits import grant_credit
from ledger.models import CreditGrant
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast


@pytest.fixture
def bought(cast: Cast, now: datetime) -> CreditGrant:
    """₩30,000 that acme transferred for credit."""
    acme = cast.acme.organization
    with tenant_scope([acme.pk]):
        grant = grant_credit(
            organization=acme, amount=Decimal(30_000), currency="KRW", kind="paid", reason="Transfer", key="t", now=now
        )
    assert grant is not None
    return grant


def address(cast: Cast) -> str:
    return reverse("admin:refund_credit", args=[cast.acme.organization.pk])


@pytest.mark.parametrize("language", ["ko", "en"])
def test_all_of_it_is_set_aside_and_noted_when_it_was_transferred(
    operator: Client, bought: CreditGrant, cast: Cast, now: datetime, language: str
) -> None:
    values = {"token": str(uuid4()), "reason": "Closes the account"}
    review = carry_out(operator, address(cast), values, language=language)
    assert review.content.decode().count("₩30,000") >= 2
    payout = CreditPayout.objects.get()
    assert (payout.to_refund, payout.credit_use.grant, payout.taken_by) == (30_000, bought, cast.operator)
    assert audited("credit.taken_out", cast).detail["reason"] == "Closes the account"
    assert "₩30,000" in operator.get(list_of(CreditPayout, "refund=open")).content.decode()
    by_hand = reverse("admin:record_refund", args=[payout.pk])
    day = (now - timedelta(days=1)).date().isoformat()
    carry_out(operator, by_hand, {"amount": "30000", "sent_on": day, "reference": "7"}, language=language)
    refund = Refund.objects.get()
    assert (refund.amount, refund.payment, refund.credit_payout) == (30_000, None, payout)
    assert b"record-refund" not in operator.get(address_of(payout)).content
    assert operator.get(address_of(refund)).status_code == 200
    statement = operator.get(reverse("admin:ledger_statement", args=[cast.acme.organization.pk]))
    assert statement.content.decode().count("Transfer") >= 2


def test_part_of_one_purchase(operator: Client, bought: CreditGrant, cast: Cast) -> None:
    values = {"token": str(uuid4()), "reason": "x", "purchase": str(bought.pk), "amount": "10000"}
    carry_out(operator, address(cast), values)
    operator.post(address(cast), values | {"confirm": "1"})
    assert [payout.to_refund for payout in CreditPayout.objects.all()] == [10_000]


@pytest.mark.parametrize(
    "wrong",
    [{"amount": "30001"}, {"amount": "0.5"}, {"amount": "1", "purchase": ""}, {"reason": ""}, {"purchase": "999999"}],
    ids=["too much", "half a won", "a part of all", "no reason", "somebody else's"],
)
def test_what_cannot_be_sent_back(operator: Client, bought: CreditGrant, cast: Cast, wrong: dict[str, str]) -> None:
    values = {"token": str(uuid4()), "reason": "x", "purchase": str(bought.pk)}
    refused(operator, address(cast), values | wrong, steps=1)
    assert not CreditPayout.objects.exists()


def test_where_nothing_is_unused(operator: Client, cast: Cast) -> None:
    refused(operator, address(cast), {"token": str(uuid4()), "reason": "x"}, steps=1)
