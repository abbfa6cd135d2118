"""A month becomes one invoice: same won as the estimate, gapless numbers, void and reissued without losing a row."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import BillingProfile
from accounts.tenancy import tenant_scope
from billing import cycle, invoicing
from billing.estimates import open_periods
from billing.models import Invoice, InvoiceLine, InvoiceSeries, OutboxMail
from billing.sellers import NoSeller, set_seller
from catalog.markups import set_markup
from ledger.models import Balance, BillingPeriod
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON, SELLER, use

OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
AFTER = datetime(2026, 11, 2, 0, tzinfo=UTC)
MILLION = TokenUsage(input_tokens=500_000, output_tokens=500_000)


@pytest.fixture
def cast(db: None) -> stories.Cast:
    cast = stories.meet_the_cast(now=OCTOBER - timedelta(days=5))
    set_seller(now=OCTOBER - timedelta(days=30), **SELLER)
    return cast


def october(company: stories.Company) -> BillingPeriod:
    with tenant_scope([company.organization.pk]):
        return BillingPeriod.objects.get(starts_at__lte=OCTOBER, ends_at__gt=OCTOBER)


def close(company: stories.Company, *, now: datetime = AFTER) -> Invoice | None:
    return invoicing.close_period(organization_id=company.organization.pk, period_id=october(company).pk, now=now)


def balance(company: stories.Company) -> Balance:
    with tenant_scope([company.organization.pk]):
        return Balance.objects.get(pk=company.organization.pk)


def test_the_classic_million_is_invoiced_at_66_won_and_6_won_vat(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    invoice = close(cast.acme)

    assert invoice is not None
    assert (invoice.subtotal, invoice.tax, invoice.total) == (66, 6, 72)
    assert (invoice.number, invoice.issued_on.isoformat()) == ("INV-000001", "2026-11-02")
    assert (invoice.written_on.isoformat(), invoice.due_on.isoformat()) == ("2026-10-31", "2026-11-16")
    assert invoice.exchange_rates == [
        {"base": "USD", "quote": "KRW", "rate": "1500.0000", "source": "demo", "published_on": "2026-09-30"}
    ]
    assert (invoice.seller["legal_name"], invoice.buyer["legal_name"]) == ("주식회사 인보이스랩", "Acme")
    with tenant_scope([cast.acme.organization.pk]):
        lines = list(InvoiceLine.objects.order_by("position").values_list("token_class", "quantity", "amount"))
    assert lines == [("input", 500_000, 33), ("output", 500_000, 33)]
    call_command("audit")


def test_prepaid_credit_pays_first(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    invoice = close(cast.acme)
    assert invoice is not None
    assert (invoice.credit_applied, invoice.amount_due, invoice.status) == (72, 0, Invoice.Status.PAID)
    assert (balance(cast.acme).prepaid, balance(cast.acme).unbilled, balance(cast.acme).receivable) == (4928, 0, 0)


def test_what_credit_does_not_cover_is_receivable(cast: stories.Cast) -> None:
    many = TokenUsage(input_tokens=100_000_000, output_tokens=0)
    use(cast.acme.organization, at=OCTOBER, usage=many)
    invoice = close(cast.acme)
    assert invoice is not None
    assert (invoice.total, invoice.credit_applied, invoice.amount_due) == (7260, 5000, 2260)
    assert (invoice.status, balance(cast.acme).receivable) == (Invoice.Status.OPEN, 2260)
    call_command("audit")


def test_closing_again_or_at_once_makes_no_second_invoice(cast: stories.Cast) -> None:
    for company in (cast.acme, cast.globex):
        use(company.organization, at=OCTOBER, usage=MILLION)
    numbers: list[str] = []

    def work() -> None:
        for company in (cast.acme, cast.globex):
            invoice = close(company)
            assert invoice is not None
            numbers.append(invoice.number)
        connections.close_all()

    workers = [threading.Thread(target=work) for _number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sorted(numbers) == ["INV-000001"] * 4 + ["INV-000002"] * 4
    assert InvoiceSeries.objects.get().next_number == 3
    assert OutboxMail.objects.using("system").count() == 2
    call_command("audit")


def test_a_close_that_fails_gives_its_number_back(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="broken"):

        def fail(*_arguments: object, **_options: object) -> None:
            raise OSError("broken")

        broken.setattr("billing.finalizing.choose_proof", fail)
        close(cast.acme)
    assert october(cast.acme).status == BillingPeriod.Status.OPEN
    assert InvoiceSeries.objects.get().next_number == 1
    assert close(cast.acme) is not None


def test_a_period_that_has_not_ended_is_refused(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=OCTOBER)
    with pytest.raises(invoicing.PeriodNotEnded):
        close(cast.acme, now=datetime(2026, 10, 31, 14, 59, tzinfo=UTC))
    assert close(cast.acme, now=datetime(2026, 10, 31, 15, tzinfo=UTC)) is not None


def test_without_a_seller_nothing_is_invoiced(db: None) -> None:
    cast = stories.meet_the_cast(now=OCTOBER)
    use(cast.acme.organization, at=OCTOBER)
    with pytest.raises(NoSeller, match="setup_production"):
        close(cast.acme)
    assert october(cast.acme).status == BillingPeriod.Status.OPEN


def test_late_usage_is_an_adjustment_that_names_its_service_month(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    close(cast.acme)
    use(cast.acme.organization, at=OCTOBER, usage=MILLION, now=AFTER)
    december = datetime(2026, 12, 2, tzinfo=UTC)
    with tenant_scope([cast.acme.organization.pk]):
        november = BillingPeriod.objects.get(status=BillingPeriod.Status.OPEN)
    invoice = invoicing.close_period(organization_id=cast.acme.organization.pk, period_id=november.pk, now=december)
    assert invoice is not None
    with tenant_scope([cast.acme.organization.pk]):
        months = {line.service_month.isoformat() for line in invoice.lines.all() if line.service_month}
    assert (months, invoice.total) == ({"2026-10-01"}, 72)
    call_command("audit")


def test_a_price_change_in_mid_month_gives_two_lines_a_class(cast: stories.Cast) -> None:
    set_markup(markup=Decimal("0.20"), effective_from=OCTOBER, now=OCTOBER)
    stories.forget_what_processes_remember()
    use(cast.acme.organization, at=OCTOBER - timedelta(hours=1), usage=MILLION)
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    invoice = close(cast.acme)
    assert invoice is not None
    with tenant_scope([cast.acme.organization.pk]):
        amounts = list(invoice.lines.order_by("position").values_list("token_class", "exact_amount"))
    assert amounts == [("input", 33), ("output", 33), ("input", 36), ("output", 36)]
    assert invoice.subtotal == 138


def test_void_and_reissue_keep_both_rows_and_charge_once(cast: stories.Cast) -> None:
    many = TokenUsage(input_tokens=100_000_000, output_tokens=0)
    use(cast.acme.organization, at=OCTOBER, usage=many)
    first = close(cast.acme)
    assert first is not None
    organization_id = cast.acme.organization.pk
    with pytest.raises(invoicing.StillLive):
        invoicing.reissue_invoice(
            organization_id=organization_id, period_id=first.period_id, now=AFTER, actor=cast.operator
        )
    invoicing.void_invoice(
        organization_id=organization_id, invoice_id=first.pk, reason="wrong name", now=AFTER, actor=cast.operator
    )
    assert (balance(cast.acme).receivable, balance(cast.acme).prepaid) == (0, 5000)
    call_command("audit")
    with tenant_scope([organization_id]):
        BillingProfile.objects.update(legal_name="에이크미 주식회사")

    second = invoicing.reissue_invoice(
        organization_id=organization_id, period_id=first.period_id, now=AFTER, actor=cast.operator
    )
    assert (second.number, second.total, second.amount_due) == ("INV-000002", 7260, 2260)
    assert second.buyer["legal_name"] == "에이크미 주식회사"
    with pytest.raises(invoicing.NotOpen):
        invoicing.void_invoice(
            organization_id=organization_id, invoice_id=first.pk, reason="again", now=AFTER, actor=cast.operator
        )
    call_command("audit")


@pytest.mark.parametrize(
    "change",
    [
        "total = total + 1, subtotal = subtotal + 1",
        "number = 'INV-9'",
        "buyer = '{}'",
        "status = 'open', total = total",
    ],
)
def test_a_final_invoice_refuses_changes(cast: stories.Cast, change: str) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    invoice = close(cast.acme)
    assert invoice is not None
    invoicing.void_invoice(
        organization_id=invoice.organization_id, invoice_id=invoice.pk, reason="test", now=AFTER, actor=None
    )
    for alias in ("system", "default"):
        with (
            pytest.raises(DatabaseError, match=r"final|void"),
            tenant_scope([invoice.organization_id], using=alias),
            connections[alias].cursor() as cursor,
        ):
            cursor.execute(f"UPDATE billing_invoice SET {change}")


def test_the_work_list_is_rows_after_the_grace_time(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=OCTOBER)
    use(cast.globex.organization, at=OCTOBER)
    with tenant_scope([cast.globex.organization.pk]):
        BillingProfile.objects.update(grace_hours=72)
    end = datetime(2026, 10, 31, 15, tzinfo=UTC)
    assert cycle.due_periods(now=end + timedelta(hours=23)) == []
    assert [due.organization_slug for due in cycle.due_periods(now=end + timedelta(hours=24))] == ["acme"]
    assert [due.organization_slug for due in cycle.due_periods(now=end + timedelta(days=70))] == ["acme", "globex"]


@pytest.mark.parametrize("month", ["2026-13", "October", "", "2026-10-01", "2031-01"])
def test_an_unknown_month_is_refused(cast: stories.Cast, month: str) -> None:
    with pytest.raises(cycle.UnknownMonth):
        cycle.periods_of_month(month, now=NOON)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=st.lists(st.tuples(st.integers(1, 3_000_000), st.integers(0, 3_000_000)), min_size=1, max_size=6))
def test_the_estimate_is_the_invoice(cast: stories.Cast, counts: list[tuple[int, int]]) -> None:
    company = stories.make_company(f"company-{uuid4().hex}", now=OCTOBER)
    for given_, taken in counts:
        use(company.organization, at=OCTOBER, usage=TokenUsage(input_tokens=given_, output_tokens=taken))
    with tenant_scope([company.organization.pk]):
        estimate = open_periods(organization=company.organization, now=OCTOBER)[0].totals
    invoice = close(company)
    assert invoice is not None
    assert (estimate.subtotal, estimate.tax, estimate.total) == (invoice.subtotal, invoice.tax, invoice.total)
    with tenant_scope([company.organization.pk]):
        assert sum(line.amount for line in invoice.lines.all()) == invoice.subtotal
    assert invoice.tax == invoice.subtotal // 10
