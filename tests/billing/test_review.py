"""Where a review was agreed a month ends in a draft: only operators see it, it moves no money, and it becomes one invoice."""

import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.test import Client

from accounts.models import Alarm, AuditEntry
from accounts.profiles import update_profile
from accounts.tenancy import tenant_scope
from billing import cycle, review
from billing.estimates import open_periods
from billing.models import Invoice, InvoiceDraft, InvoiceSeries, OutboxMail
from billing.period_charges import lock_period
from billing.terms import MonthClosed
from ledger.balances import available
from ledger.models import Balance, BillingPeriod
from tests import stories
from tests.billing.test_terms import AFTER, MANY, MILLION, OCTOBER, agree, cast, close, lines_of, october
from tests.stories import Company, use

__all__ = ["cast"]
LATER = AFTER + timedelta(hours=3)


@pytest.fixture
def draft(cast: stories.Cast) -> InvoiceDraft:
    """Acme's October: ₩6,600 less a discount of 10 %."""
    agree(cast.acme, discount="0.1", reviewed=True)
    update_profile(
        organization=cast.acme.organization, changes={"po_number": "PO-7"}, actor=cast.acme.owner, now=OCTOBER
    )
    use(cast.acme.organization, at=OCTOBER, usage=MANY)
    assert close(cast.acme) is None
    return InvoiceDraft.objects.using("system").get()


def approve(draft: InvoiceDraft, *, now: datetime = LATER) -> Invoice | None:
    return review.approve_draft(organization_id=draft.organization_id, draft_id=draft.pk, now=now, actor=None)


def remake(draft: InvoiceDraft, *, po_number: str = "PO-8", now: datetime = LATER) -> InvoiceDraft:
    return review.remake_draft(
        organization_id=draft.organization_id,
        draft_id=draft.pk,
        po_number=po_number,
        reason="They asked for it",
        now=now,
        actor=None,
    )


def balance(company: Company) -> Balance:
    with tenant_scope([company.organization.pk]):
        return Balance.objects.get(pk=company.organization.pk)


def test_a_draft_moves_no_money_and_takes_no_number(cast: stories.Cast, draft: InvoiceDraft) -> None:
    assert (draft.total, draft.po_number, len(draft.lines)) == (6534, "PO-7", 2)
    assert balance(cast.acme).unbilled == 6600 and balance(cast.acme).receivable == 0
    assert october(cast.acme).status == BillingPeriod.Status.CLOSING
    assert InvoiceSeries.objects.get().next_number == 1
    assert not Invoice.objects.using("system").exists() and not OutboxMail.objects.using("system").exists()
    assert cycle.due_periods(now=LATER) == [] and close(cast.acme) is None, "it is not due any more"
    assert InvoiceDraft.objects.using("system").count() == 1
    call_command("audit")


def test_meanwhile_available_is_what_it_was(cast: stories.Cast) -> None:
    agree(cast.acme, discount="0.1", minimum=9000, reviewed=True)
    use(cast.acme.organization, at=OCTOBER, usage=MANY)
    before = available(balance(cast.acme))
    close(cast.acme)
    assert available(balance(cast.acme)) == before


def test_the_customer_still_reads_an_estimate(cast: stories.Cast, draft: InvoiceDraft) -> None:
    acme = cast.acme.organization
    with tenant_scope([acme.pk]):
        month, current = open_periods(organization=acme, now=LATER)
    assert (month.totals.total, month.status, current.totals.total) == (draft.total, "closing", 0)
    answer = Client().get("/api/v1/invoices", headers=cast.acme.headers)
    assert answer.json()["data"] == []
    assert Client().get(f"/api/v1/invoices/{draft.pk}", headers=cast.acme.headers).status_code == 404


def test_usage_that_comes_late_is_the_next_months(cast: stories.Cast, draft: InvoiceDraft) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION, now=AFTER + timedelta(hours=1))
    invoice = approve(draft)
    assert invoice is not None and invoice.total == draft.total
    call_command("audit")


def test_approval_issues_the_invoice(cast: stories.Cast, draft: InvoiceDraft) -> None:
    invoice = approve(draft)
    assert invoice is not None
    assert (invoice.number, invoice.total, invoice.po_number, invoice.finalized_at) == (
        "INV-000001",
        draft.total,
        "PO-7",
        LATER,
    )
    assert lines_of(invoice) == [("usage", 6600, 6600), ("discount", -660, -660)]
    assert invoice.credit_applied == 5000
    assert october(cast.acme).status == BillingPeriod.Status.CLOSED
    assert OutboxMail.objects.using("system").get().invoice_id == invoice.pk
    entry = AuditEntry.objects.using("system").get(action="invoice_draft.approved")
    assert entry.target == "INV-000001"
    call_command("audit")


def test_approving_again_gives_the_same_invoice(draft: InvoiceDraft) -> None:
    first, second = approve(draft), approve(draft)
    assert first is not None and first == second
    assert InvoiceSeries.objects.get().next_number == 2


def race(*actions: Callable[[], object]) -> list[object]:
    found: list[object] = []
    ready = threading.Barrier(len(actions))

    def run(action: Callable[[], object]) -> None:
        ready.wait()
        try:
            found.append(action())
        except review.DraftOutdated as error:
            found.append(error)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=run, args=(action,)) for action in actions]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return found


def test_two_operators_who_approve_at_once_issue_one_invoice(draft: InvoiceDraft) -> None:
    found = race(*[lambda: approve(draft)] * 4)
    assert len(found) == 4 and len({getattr(invoice, "number", invoice) for invoice in found}) == 1
    assert Invoice.objects.using("system").count() == 1
    assert OutboxMail.objects.using("system").count() == 1
    call_command("audit")


def test_one_who_approves_while_another_makes_it_anew(draft: InvoiceDraft) -> None:
    found = race(lambda: approve(draft), lambda: remake(draft))
    drafts = InvoiceDraft.objects.using("system")
    assert sum(isinstance(outcome, review.DraftOutdated) for outcome in found) == 1
    assert drafts.exclude(status=InvoiceDraft.Status.SUPERSEDED).count() == 1
    call_command("audit")


def test_made_anew_it_follows_the_terms_and_the_po_number_of_today(cast: stories.Cast, draft: InvoiceDraft) -> None:
    agree(cast.acme, discount="0.25", reviewed=True, now=LATER)
    assert october(cast.acme).status == BillingPeriod.Status.CLOSING, "a month in review is not closed for terms"
    again = remake(draft)
    assert (again.subtotal, again.po_number, again.reason) == (4950, "PO-8", "They asked for it")
    with pytest.raises(review.DraftOutdated):
        approve(draft)
    with pytest.raises(review.DraftOutdated):
        remake(draft)
    invoice = approve(again)
    assert invoice is not None and (invoice.subtotal, invoice.po_number) == (4950, "PO-8")
    assert AuditEntry.objects.using("system").get(action="invoice_draft.made_anew").detail["total"] == {
        "before": "6534",
        "after": "5445",
    }
    call_command("audit")


def test_what_would_come_out_otherwise_is_not_approved(cast: stories.Cast, draft: InvoiceDraft) -> None:
    """Somebody made the customer zero-rated meanwhile: the operator sees the new sum before it is issued."""
    Balance.objects.using("system").filter(pk=draft.organization_id).update(tax_rate=Decimal(0))
    with pytest.raises(review.DraftOutdated):
        approve(draft)
    assert InvoiceSeries.objects.get().next_number == 1
    invoice = approve(remake(draft))
    assert invoice is not None and invoice.total == invoice.subtotal == 5940


def test_a_month_that_comes_to_nothing_needs_no_review(cast: stories.Cast) -> None:
    agree(cast.acme, reviewed=True)
    agree(cast.globex, reviewed=True, zero="always")
    for company in (cast.acme, cast.globex):
        assert close(company) is None
    assert [draft.organization_id for draft in InvoiceDraft.objects.using("system").all()] == [
        cast.globex.organization.pk
    ]
    invoice = approve(InvoiceDraft.objects.using("system").get())
    assert invoice is not None and (invoice.total, invoice.status) == (0, "paid")
    call_command("audit")


def test_a_draft_that_waits_too_long_raises_an_alarm_until_it_is_approved(draft: InvoiceDraft) -> None:
    assert review.watch_drafts(now=AFTER + timedelta(hours=47)) == 0
    again = remake(draft, now=AFTER + timedelta(hours=47))
    assert review.watch_drafts(now=AFTER + timedelta(hours=48)) == 1, "its time began with the first draft"
    alarm = Alarm.objects.using("system").get(kind=review.ALARM)
    assert (alarm.subject, alarm.cleared_at) == ("acme 2026-10", None)
    approve(again, now=AFTER + timedelta(hours=49))
    alarm.refresh_from_db(using="system")
    assert alarm.cleared_at == AFTER + timedelta(hours=49)


@pytest.mark.parametrize("change", ["total = total + 1, subtotal = subtotal + 1", "lines = '[]'", "po_number = 'x'"])
def test_a_draft_is_never_changed(draft: InvoiceDraft, change: str) -> None:
    for alias in ("system", "default"):
        with (
            pytest.raises(DatabaseError, match="history"),
            tenant_scope([draft.organization_id], using=alias),
            connections[alias].cursor() as cursor,
        ):
            cursor.execute(f"UPDATE billing_invoicedraft SET {change}")


def test_terms_of_a_month_in_review_may_be_set_but_not_of_one_that_is_closed(
    cast: stories.Cast, draft: InvoiceDraft
) -> None:
    approve(draft)
    with pytest.raises(Exception, match="closed"):
        agree(cast.acme, month=date(2026, 10, 1), discount="0.5", now=LATER)


def test_terms_wait_for_a_close_that_is_under_way(cast: stories.Cast) -> None:
    """Else a month could be closed by terms that were not those in force at its start any more."""
    use(cast.acme.organization, at=OCTOBER, usage=MANY)
    period, refusals = october(cast.acme), []

    def agree_meanwhile() -> None:
        try:
            agree(cast.acme, discount="0.5")
        except MonthClosed as error:
            refusals.append(error)
        finally:
            connections.close_all()

    worker = threading.Thread(target=agree_meanwhile)
    with tenant_scope([period.organization_id]):
        lock_period(period.organization_id, period.pk)
        worker.start()
        worker.join(timeout=1)
        assert worker.is_alive(), "it waits for the lock"
        invoice = close(cast.acme)
    worker.join()
    assert invoice is not None and len(refusals) == 1
