"""Who owes is told on every page: what is overdue, from when on calls are refused, and what to do when they are."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine

from billing import cycle, invoicing
from billing.bank.bank_transfers import record_transfer
from billing.models import Invoice
from billing.overdue import dunning, suspension
from billing.overdue.dunning_policy import Policies, Policy, set_policy
from billing.sellers import set_seller
from pricing.tokens import TokenUsage
from tests import stories
from tests.dashboard.conftest import Browse, text_of
from tests.stories import NOON, SELLER

PAGES = ("", "/usage", "/invoices", "/keys", "/members")


@pytest.fixture
def invoice(cast: stories.Cast) -> Invoice:
    """Acme's for October, of which ₩2,260 are due 14 days after noon."""
    acme = cast.acme.organization
    set_seller(now=NOON - timedelta(days=60), **SELLER)
    stories.use(acme, at=NOON - timedelta(days=30), usage=TokenUsage(input_tokens=100_000_000, output_tokens=0))
    [period] = [one for one in cycle.periods_of_month("2026-10", now=NOON) if one.organization_id == acme.pk]
    made = invoicing.close_period(organization_id=acme.pk, period_id=period.period_id, now=NOON)
    assert made is not None
    return made


def days_go_by(clock: time_machine.Traveller, invoice: Invoice, last: int) -> None:
    """Noons after the due date, with a sweep each."""
    for number in range(1, last + 1):
        now = NOON + timedelta(days=14 + number)
        clock.move_to(now)
        dunning.dun(organization_id=invoice.organization_id, policies=Policies(now=now), now=now)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_from_overdue_to_suspended_and_back(
    cast: stories.Cast, invoice: Invoice, browse: Browse, clock: time_machine.Traveller, language: str
) -> None:
    title = {"ko": "연체된 청구서가", "en": "An invoice is overdue"}[language]
    suspended = {"ko": "API 키 사용이 정지되었습니다", "en": "Your API keys are suspended"}[language]
    from_when = {"ko": "2027년 1월 5일부터", "en": "From January 5, 2027 on"}[language]
    assert title not in text_of(browse(cast.acme.owner, language=language).get("/o/acme/", follow=True))
    days_go_by(clock, invoice, 1)
    browser = browse(cast.acme.owner, language=language)
    for page in PAGES:
        shown = text_of(browser.get(f"/o/acme{page}", follow=True))
        assert title in shown and from_when in shown and "2,260" in shown, page
    days_go_by(clock, invoice, 30)
    browser = browse(cast.acme.owner, language=language)
    for page in (*PAGES, f"/invoices/{invoice.pk}"):
        shown = text_of(browser.get(f"/o/acme{page}", follow=True))
        assert suspended in shown and "account_suspended" in shown and invoice.number in shown, page
    assert suspended not in text_of(browse(cast.globex.owner, language=language).get("/o/globex/", follow=True))
    record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=Decimal(2000),
        payer_name="x",
        key="1",
        received_at=NOON,
        actor=None,
        now=NOON,
    )
    page = text_of(browser.get(f"/o/acme/invoices/{invoice.pk}"))
    assert "2,000" in page and "260" in page
    suspension.restore(organization_id=invoice.organization_id, reason="x", now=NOON, actor=None)
    assert suspended not in text_of(browser.get("/o/acme/", follow=True))


def test_the_exempt_are_not_threatened(
    cast: stories.Cast, invoice: Invoice, browse: Browse, clock: time_machine.Traveller
) -> None:
    policy = Policy(suspend_after=None)
    set_policy(organization=cast.acme.organization, policy=policy, reason="x", now=NOON, actor=None)
    days_go_by(clock, invoice, 1)
    shown = text_of(browse(cast.acme.owner).get("/o/acme/", follow=True))
    assert "An invoice is overdue" in shown and "will be refused" not in shown


def test_whom_we_suspended_is_told_to_ask_us(cast: stories.Cast, browse: Browse) -> None:
    suspension.suspend(organization_id=cast.acme.organization.pk, reason="Abuse", now=NOON, actor=None)
    shown = text_of(browse(cast.acme.owner).get("/o/acme/", follow=True))
    assert "Please contact us" in shown and "Abuse" not in shown


def test_no_day_is_named_that_is_over(
    cast: stories.Cast, invoice: Invoice, browse: Browse, clock: time_machine.Traveller
) -> None:
    """Nobody was reminded in all that time, so the three days to read a reminder are still to come."""
    clock.move_to(NOON + timedelta(days=14 + 45))
    shown = text_of(browse(cast.acme.owner).get("/o/acme/", follow=True))
    assert "From January 23, 2027 on" in shown
