"""The statement of a customer: every movement with its entries, what it posts, page after page; read-only, and nobody else's."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from billing.invoicing import close_period, void_invoice
from billing.sellers import set_seller
from ledger import credit_expiry
from ledger.credits import grant_credit
from ledger.models import Balance, BillingPeriod, CreditGrant
from tests import stories
from tests.stories import Cast, use


@pytest.fixture
def story(cast: Cast, now: datetime) -> Cast:
    """Acme's month was invoiced and the invoice voided, a credit has expired; globex used something too."""
    acme = cast.acme.organization
    set_seller(now=now - timedelta(days=100), **stories.SELLER)
    use(acme, at=now - timedelta(days=32), now=now - timedelta(days=32), usage=stories.TokenUsage(input_tokens=10**7))
    use(cast.globex.organization, at=now)
    period = BillingPeriod.objects.using("system").filter(organization=acme).earliest("starts_at")
    invoice = close_period(organization_id=acme.pk, period_id=period.pk, now=now)
    assert invoice is not None
    void_invoice(organization_id=acme.pk, invoice_id=invoice.pk, reason="test", now=now, actor=cast.operator)
    grant_credit(
        organization=acme, amount=stories.Decimal(10), currency="KRW", kind=CreditGrant.Kind.PAID, reason="Short-lived",
        key="short", now=now, expires_at=now + timedelta(seconds=1),
    )  # fmt: skip
    credit_expiry.expire_due(now=now + timedelta(seconds=1))
    return cast


def statement(client: Client, cast: Cast, query: str = "") -> list[object]:
    address = reverse("admin:ledger_statement", args=[cast.acme.organization.pk])
    movements: list[object] = client.get(address + query).context["movements"]
    return movements


def test_every_movement_is_listed_with_what_it_posts(story: Cast, operator: Client) -> None:
    found = statement(operator, story)
    kinds = [one.transaction.kind for one in found]  # type: ignore[attr-defined]
    assert set(kinds) == {
        "credit_granted", "usage", "invoice", "credit_applied", "void", "credit_returned", "credit_expired",
    }  # fmt: skip
    assert all(sum(amount for _account, amount in one.entries) == 0 for one in found)  # type: ignore[attr-defined]
    assert all(one.about and operator.get(one.url).status_code == 200 for one in found)  # type: ignore[attr-defined]
    [invoice] = statement(operator, story, "?kind=invoice")
    assert invoice.about == "INV-000001"  # type: ignore[attr-defined]


def test_it_goes_on_overleaf(story: Cast, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.paging.PER_PAGE", 5)
    address = reverse("admin:ledger_statement", args=[story.acme.organization.pk])
    first = operator.get(address)
    assert first.context["newest"] is None
    second = operator.get(address + first.context["older"])
    assert second.context["older"] is None and second.context["newest"]
    ids = [one.transaction.id for page in (first, second) for one in page.context["movements"]]
    assert ids == sorted(set(ids), reverse=True) and len(ids) == 8


def test_nothing_can_be_changed_there(story: Cast, operator: Client) -> None:
    address = reverse("admin:ledger_statement", args=[story.acme.organization.pk])
    assert operator.post(address, {"x": "1"}).status_code == 405
    assert Client().get(address).status_code in (302, 404)


def test_credits_show_what_is_left(story: Cast, operator: Client) -> None:
    page = operator.get(reverse("admin:ledger_creditgrant_changelist"))
    left = {
        one.reason: one.left for one in page.context["cl"].result_list if one.organization == story.acme.organization
    }
    assert left == {"Short-lived": 0, "Trial credit": 5000}
    assert Balance.objects.get(pk=story.acme.organization.pk).prepaid == 5000
