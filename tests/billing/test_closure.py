"""An organization is closed: asked for, ended, invoiced for the last time, settled; nothing is used or left open afterwards."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections

from accounts.api_keys import InvalidKey, identify_api_key
from accounts.models import Organization
from accounts.organizations import HasEnded, NotPossible
from accounts.tenancy import tenant_scope
from billing import cycle, tasks
from billing.bank.bank_transfers import record_transfer
from billing.closures import asking, ending, finishing
from billing.closures.remaining import Step, remaining
from billing.mail.mail_texts import compose
from billing.models import Closure, CreditPayout, Invoice, Notice, OutboxMail
from billing.sellers import set_seller
from billing.terms import set_terms
from ledger.credits import grant_credit
from ledger.cutting import cut
from ledger.event_ids import new_id
from ledger.holds import HoldRequest, reserve
from ledger.models import Balance, BillingPeriod
from ledger.questions import question_expired
from metering.recording import record
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import SELLER, Company, use

OPENED = datetime(2026, 9, 10, tzinfo=UTC)
USED = datetime(2026, 10, 20, 3, tzinfo=UTC)
ASKED = datetime(2026, 10, 20, 5, 30, tzinfo=UTC)
"""A Tuesday afternoon in Seoul."""
SOON = ASKED + timedelta(minutes=2)
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


def test_beat_makes_the_final_invoice_and_asks_for_its_papers(
    cast: stories.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str] = []
    monkeypatch.setattr("billing.tasks.ring", lambda task, **_ids: rung.append(task.name))
    use(cast.acme.organization, at=USED, usage=MANY)
    ask(cast.acme)
    tasks.close_organizations()
    [final] = invoices(cast.acme)
    assert final.kind == "final"
    assert "billing.tasks.render_documents" in rung


@pytest.mark.parametrize(
    ("language", "subject"),
    [("ko", "2026년 10월 최종 청구서 (INV-000001)"), ("en", "October 2026 final invoice (INV-000001)")],
)
def test_the_mail_says_that_it_is_the_last_one(cast: stories.Cast, language: str, subject: str) -> None:
    use(cast.acme.organization, at=USED, usage=MANY)
    ask(cast.acme)
    sweep(SOON)
    with tenant_scope([cast.acme.organization.pk]):
        mail = OutboxMail.objects.get(kind="invoice")
        mail.language = language
        letter = compose(mail)
    assert subject in letter.subject
    assert {"ko": "해지", "en": "closing of your organization"}[language] in letter.text


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


def test_closed_too_early_again_or_by_two_at_once_it_is_closed_once(cast: stories.Cast) -> None:
    """At the end of the last calls' time, and no second earlier: one may still reserve what it needs."""
    closure = ask(cast.acme)
    acme = closure.organization_id
    over = closure.closes_at + finishing.LAST_CALLS
    finishing.make_last_invoices(organization_id=acme, now=over)
    assert finishing.close_if_settled(organization_id=acme, now=over - timedelta(seconds=1)) is None

    def close(_number: int) -> bool:
        try:
            return finishing.close_if_settled(organization_id=acme, now=over) is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(close, range(2))) == [False, True]
    assert finishing.close_if_settled(organization_id=acme, now=over + timedelta(days=1)) is None
    assert organization(cast.acme).readable_until == over + timedelta(days=90)
    assert notices(cast.acme) == ["account.closing", "account.closed"]


def test_a_closure_at_the_end_of_the_month_can_be_taken_back_until_then(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=USED, usage=MANY)
    closure = ask(cast.acme, at_once=False)
    assert closure.closes_at == MONTH_END
    identify_api_key(cast.acme.secret, now=MONTH_END - timedelta(seconds=1))
    with pytest.raises(InvalidKey):
        identify_api_key(cast.acme.secret, now=MONTH_END)
    asking.take_back(organization_id=closure.organization_id, now=SOON, actor=cast.acme.owner)
    identify_api_key(cast.acme.secret, now=MONTH_END)
    assert sweep(MONTH_END) == []
    assert notices(cast.acme) == ["closure.asked", "closure.withdrawn"]
    assert ask(cast.acme, at_once=False, now=SOON).status == Closure.Status.ASKED
    with pytest.raises(NotPossible):
        asking.take_back(organization_id=closure.organization_id, now=MONTH_END, actor=None)


def test_closure_and_monthly_run_at_once_make_one_invoice_of_each_month(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=USED, usage=MANY)
    ask(cast.acme, at_once=False)
    later = MONTH_END + timedelta(days=1)
    use(cast.globex.organization, at=USED, usage=MANY)
    ending.end_due(now=MONTH_END)
    barrier = threading.Barrier(2)

    def close(run: Callable[[], object]) -> None:
        barrier.wait(10)
        run()
        connections.close_all()

    def monthly() -> None:
        for period in cycle.due_periods(now=later):
            cycle.close(organization_id=period.organization_id, period_id=period.period_id, now=later)

    call_command("audit")
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(close, [monthly, lambda: finishing.finish_all(now=later)]))
    assert [(one.kind, one.period.ends_at) for one in invoices(cast.acme)] == [("final", MONTH_END)]
    assert [one.kind for one in invoices(cast.globex)] == ["monthly"]
    assert [period.ends_at for period in periods(cast.acme)] == [MONTH_END]


def test_closing_in_the_grace_time_invoices_the_month_before_too(cast: stories.Cast) -> None:
    september_ends = datetime(2026, 9, 30, 15, tzinfo=UTC)
    use(cast.acme.organization, at=september_ends - timedelta(days=3), usage=MANY)
    october = september_ends + timedelta(hours=2)
    use(cast.acme.organization, at=october, usage=MANY)
    closure = ask(cast.acme, now=october + timedelta(hours=1))
    sweep(october + timedelta(hours=2))
    assert [(one.kind, one.period.ends_at) for one in invoices(cast.acme)] == [
        ("monthly", september_ends),
        ("final", closure.closes_at),
    ]


def test_a_call_that_was_admitted_before_and_ends_after_is_on_the_final_invoice(cast: stories.Cast) -> None:
    hold = hold_of(cast.acme, at=ASKED - timedelta(minutes=1))
    ask(cast.acme)
    assert sweep(SOON) == []
    assert left(cast.acme, now=SOON) == {Step.CALLS, Step.INVOICE}
    late = SOON + timedelta(minutes=5)
    outcome = use(cast.acme.organization, at=hold.created_at, now=late, usage=MANY, hold_id=hold.id)
    assert outcome.status == "accepted"
    [final] = sweep(late)
    assert (final.kind, final.total) == ("final", 7260)
    call_command("audit")


def test_a_lost_call_that_the_upstream_is_asked_about_keeps_the_month_open(cast: stories.Cast) -> None:
    hold_of(cast.acme, at=ASKED - timedelta(minutes=1))
    ask(cast.acme)
    late = ASKED + timedelta(hours=1)
    assert question_expired(now=late) == 1
    assert sweep(late) == []
    assert left(cast.acme, now=late) == {Step.CALLS, Step.INVOICE}


def test_usage_that_waits_for_a_price_keeps_the_month_open(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=USED, model="acme/brand-new")
    ask(cast.acme)
    assert sweep(SOON) == []
    assert left(cast.acme, now=SOON) == {Step.PRICES, Step.INVOICE}


def test_what_a_lost_call_cost_after_all_gets_a_further_final_invoice(cast: stories.Cast) -> None:
    hold = hold_of(cast.acme, at=ASKED - timedelta(minutes=1))
    use(cast.acme.organization, at=USED, usage=MANY)
    ask(cast.acme)
    after_grace = ASKED + timedelta(hours=25)
    [first] = sweep(after_grace)
    later = after_grace + timedelta(hours=1)
    use(cast.acme.organization, at=hold.created_at, now=later, usage=MANY, hold_id=hold.id)
    [second] = sweep(later)
    assert [first.kind, second.kind] == ["final", "final"]
    with tenant_scope([second.organization_id]):
        assert second.lines.get(kind="usage").service_month == date(2026, 10, 1)
    assert [period.status for period in periods(cast.acme)] == ["closed", "closed"]
    call_command("audit")


def test_pushed_usage_is_taken_up_to_the_moment_and_refused_from_it_on(cast: stories.Cast) -> None:
    closure = ask(cast.acme)
    before = closure.closes_at - timedelta(microseconds=1)
    assert use(cast.acme.organization, at=before, now=SOON).status == "accepted"
    refused = use(cast.acme.organization, at=closure.closes_at, now=SOON)
    assert (refused.status, refused.reason) == ("rejected", "the organization is closed, or closes before this")
    mixed = [
        stories.usage_report(cast.acme.organization, at=SOON),
        stories.usage_report(cast.globex.organization, at=SOON),
    ]
    assert [one.status for one in record(mixed, now=SOON)] == ["rejected", "accepted"]
    sweep(SOON)
    pay_all(cast.acme, now=SOON)
    sweep(SOON + timedelta(minutes=1))
    assert organization(cast.acme).status == "closed"
    assert use(cast.acme.organization, at=USED, now=SOON + timedelta(minutes=2)).status == "rejected"


def test_usage_that_was_reported_ahead_of_our_clock_is_within_the_month_that_ends(cast: stories.Cast) -> None:
    ahead = ASKED + timedelta(minutes=4)
    use(cast.acme.organization, at=ahead, now=ASKED, usage=MANY)
    closure = ask(cast.acme)
    assert closure.closes_at == ahead + timedelta(seconds=1)
    assert sweep(SOON) == []
    [final] = sweep(closure.closes_at + finishing.LAST_CALLS)
    assert final.total == 7260


def test_the_minimum_fee_of_a_month_that_is_cut_counts_its_days(cast: stories.Cast) -> None:
    set_terms(
        organization=cast.acme.organization,
        month=date(2026, 10, 1),
        minimum_fee=Decimal(31_000),
        discount=Decimal(0),
        zero_invoices="with_usage",
        reviewed=False,
        reason="Contract 7",
        actor=None,
        now=OPENED,
    )
    ask(cast.acme)
    [final] = sweep(SOON)
    assert final.subtotal == 20_000, "20 of 31 days"
    call_command("audit")


def test_paid_credit_goes_back_before_the_organization_is_closed(cast: stories.Cast) -> None:
    buy_credit(cast.acme)
    use(cast.acme.organization, at=USED, usage=MANY)
    ask(cast.acme)
    [final] = sweep(SOON)
    assert (final.status, final.credit_applied) == ("paid", 7260)
    assert left(cast.acme, now=SOON) == {Step.REFUND}
    with tenant_scope([cast.acme.organization.pk]):
        [payout] = CreditPayout.objects.all()
        assert (payout.to_refund, Balance.objects.get().prepaid) == (17_740, 0)
    assert organization(cast.acme).status == "closing"
    call_command("audit")


def test_paid_credit_does_not_go_back_while_a_call_may_still_need_it(cast: stories.Cast) -> None:
    buy_credit(cast.acme)
    hold = hold_of(cast.acme, at=ASKED - timedelta(minutes=1))
    ask(cast.acme)
    assert sweep(SOON) == []
    assert left(cast.acme, now=SOON) == {Step.CALLS, Step.INVOICE, Step.CREDIT}
    late = SOON + timedelta(minutes=5)
    use(cast.acme.organization, at=hold.created_at, now=late, usage=MANY, hold_id=hold.id)
    sweep(late)
    with tenant_scope([cast.acme.organization.pk]):
        assert CreditPayout.objects.get().to_refund == 17_740
    call_command("audit")


def test_the_debt_of_a_closed_month_is_paid_before_the_organization_is_closed(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=USED, usage=MANY)
    ask(cast.acme)
    sweep(SOON)
    assert organization(cast.acme).status == "closing"
    pay_all(cast.acme, now=SOON)
    sweep(SOON + timedelta(minutes=1))
    assert organization(cast.acme).status == "closed"
    with pytest.raises(NotPossible):
        ask(cast.acme, now=SOON + timedelta(days=1))
    call_command("audit")


def test_two_who_ask_at_once_close_once(cast: stories.Cast) -> None:
    def one(_number: int) -> bool:
        try:
            ask(cast.acme)
        except NotPossible:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(one, range(2))) == [False, True]


def test_a_month_that_was_cut_cannot_be_moved_again(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=USED)
    ask(cast.acme)
    sweep(SOON)
    [period] = periods(cast.acme)
    with pytest.raises(DatabaseError), tenant_scope([period.organization_id]):
        cut(period, at=period.ends_at - timedelta(hours=1))
    with pytest.raises(DatabaseError), tenant_scope([period.organization_id]):
        BillingPeriod.objects.filter(pk=period.pk).update(ends_at=MONTH_END)


def buy_credit(company: Company) -> None:
    """₩20,000, as if paid by transfer."""
    with tenant_scope([company.organization.pk]):
        grant_credit(
            organization=company.organization,
            amount=Decimal(20_000),
            currency="KRW",
            kind="paid",
            reason="Top-up",
            key="by hand",
            now=OPENED,
        )


def hold_of(company: Company, *, at: datetime) -> HoldRequest:
    """A call that was admitted then and runs."""
    request = HoldRequest(
        organization_id=company.organization.pk,
        id=new_id(at),
        created_at=at,
        expires_at=at + timedelta(minutes=15),
        api_key_id=company.key.pk,
        model_id=1,
        amount=Decimal(100),
        request_id="req",
        upstream="test",
    )
    assert reserve([request]) == [None]
    return request


def pay_all(company: Company, *, now: datetime) -> None:
    """By bank transfer, as an operator enters it."""
    for invoice in invoices(company):
        if invoice.status == Invoice.Status.OPEN:
            record_transfer(
                organization_id=invoice.organization_id,
                invoice_id=invoice.pk,
                amount=invoice.amount_due,
                key=f"bank-{invoice.number}",
                payer_name="acme",
                received_at=now,
                now=now,
                actor=None,
            )
