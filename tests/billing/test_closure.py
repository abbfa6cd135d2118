"""An organization is closed: asked for, ended, invoiced for the last time, settled; nothing is used or left open afterwards."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client

from accounts.api_keys import InvalidKey, identify_api_key
from accounts.models import AuditEntry, Organization
from accounts.organizations import HasEnded, NotPossible
from accounts.tenancy import tenant_scope
from billing import cycle, invoicing
from billing.closures import asking, ending, finishing
from billing.closures.remaining import Step, remaining
from billing.models import Closure, Invoice, Notice, OutboxMail
from billing.sellers import set_seller
from billing.terms import set_terms
from ledger.models import Balance, BillingPeriod
from metering.models import UsageEvent
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import SELLER, Company, use

OPENED = datetime(2026, 9, 10, tzinfo=UTC)
USED = datetime(2026, 10, 20, 3, tzinfo=UTC)
ASKED = datetime(2026, 10, 20, 5, 30, tzinfo=UTC)
"""A Tuesday afternoon in Seoul."""
SOON = ASKED + timedelta(minutes=1)
MONTH_END = datetime(2026, 10, 31, 15, tzinfo=UTC)
MANY = TokenUsage(input_tokens=100_000_000)
"""₩6,600 and ₩660 VAT, of which the trial credit pays ₩5,000."""


@pytest.fixture
def cast(db: None) -> stories.Cast:
    cast = stories.meet_the_cast(now=OPENED)
    set_seller(now=OPENED, **SELLER)
    return cast


def ask(company: Company, *, at_once: bool = True, now: datetime = ASKED) -> Closure:
    return asking.ask_for_closure(
        organization_id=company.organization.pk, at_once=at_once, now=now, actor=company.owner
    )


def sweep(now: datetime) -> list[Invoice]:
    ending.end_due(now=now)
    return finishing.finish_all(now=now)


def invoices(company: Company) -> list[Invoice]:
    with tenant_scope([company.organization.pk]):
        return list(Invoice.objects.select_related("period").order_by("sequence"))


def periods(company: Company) -> list[BillingPeriod]:
    with tenant_scope([company.organization.pk]):
        return list(BillingPeriod.objects.order_by("starts_at"))


def organization(company: Company) -> Organization:
    return Organization.objects.using("system").get(pk=company.organization.pk)


def notices(company: Company) -> list[str]:
    with tenant_scope([company.organization.pk]):
        return list(Notice.objects.order_by("created_at").values_list("kind", flat=True))


def left(company: Company, *, now: datetime) -> set[Step]:
    with tenant_scope([company.organization.pk]):
        return {row.step for row in remaining(organization(company), now=now)}


def test_closing_at_once_ends_keys_and_month_and_invoices_the_days_that_were(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=USED, usage=MANY)
    closure = ask(cast.acme)
    with pytest.raises(InvalidKey):
        identify_api_key(cast.acme.secret, now=ASKED)
    with pytest.raises(HasEnded):
        stories.make_key(organization(cast.acme), now=ASKED)
    assert organization(cast.acme).status == Organization.Status.CLOSING
    [final] = sweep(SOON)
    assert (final.kind, final.amount_due) == ("final", 2260)
    [period] = periods(cast.acme)
    assert (period.ends_at, final.written_on.isoformat()) == (closure.closes_at, "2026-10-20")
    assert sweep(SOON + timedelta(minutes=1)) == []
    assert left(cast.acme, now=SOON) == {Step.PAYMENT}
    call_command("audit")


def test_the_neighbour_goes_on(cast: stories.Cast) -> None:
    ask(cast.acme)
    sweep(SOON)
    identify_api_key(cast.globex.secret, now=SOON)
    assert organization(cast.globex).closes_at is None


def test_who_owes_nothing_is_closed_and_its_promotional_credit_lapses(cast: stories.Cast) -> None:
    ask(cast.acme)
    assert sweep(SOON) == []
    closed = organization(cast.acme)
    assert closed.status == Organization.Status.CLOSED
    assert closed.readable_until == SOON + timedelta(days=90)
    with tenant_scope([closed.pk]):
        assert Balance.objects.get().prepaid == 0
    assert notices(cast.acme) == ["account.closing", "account.closed"]
    with tenant_scope([closed.pk]):
        assert OutboxMail.objects.filter(kind="notice").count() == 2
    call_command("audit")
