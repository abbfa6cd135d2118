"""Commercial terms on invoices: a minimum, a discount, invoices of 0; the same won on every estimate, in books that balance."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from uuid import uuid4

import pytest
import time_machine
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEntry
from accounts.profiles import update_profile
from accounts.tenancy import tenant_scope
from billing import cycle, documents, invoicing
from billing.corrections.credit_proposals import propose_credit_note
from billing.estimates import open_periods
from billing.models import BillingTerms, Invoice
from billing.papers import evidence_files
from billing.replay.simulation import simulate_period
from billing.sellers import set_seller
from billing.terms import InvalidTerms, MonthClosed, set_terms
from catalog.hypothetical_prices import Hypothesis
from ledger.models import Account, Balance, BillingPeriod, LedgerEntry
from pricing.tokens import TokenUsage
from tests import stories
from tests.billing.papers import pages, squeezed
from tests.stories import SELLER, Company, use

OPENED = datetime(2026, 9, 10, tzinfo=UTC)
OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
AFTER = datetime(2026, 11, 2, 0, tzinfo=UTC)
MILLION = TokenUsage(input_tokens=500_000, output_tokens=500_000)
"""₩66."""
MANY = TokenUsage(input_tokens=100_000_000)
"""₩6,600."""
WITH_USAGE, ALWAYS, NEVER = BillingTerms.ZeroInvoices


@pytest.fixture
def cast(db: None) -> stories.Cast:
    cast = stories.meet_the_cast(now=OPENED)
    set_seller(now=OPENED, **SELLER)
    return cast


def agree(
    company: Company,
    *,
    month: date = date(2026, 10, 1),
    minimum: int | str = 0,
    discount: str = "0",
    zero: str = WITH_USAGE,
    reviewed: bool = False,
    now: datetime = OPENED,
) -> BillingTerms:
    return set_terms(
        organization=company.organization,
        month=month,
        minimum_fee=Decimal(minimum),
        discount=Decimal(discount),
        zero_invoices=zero,
        reviewed=reviewed,
        reason="Contract 7",
        actor=None,
        now=now,
    )


def october(company: Company) -> BillingPeriod:
    with tenant_scope([company.organization.pk]):
        made = BillingPeriod.objects.filter(starts_at__lte=OCTOBER, ends_at__gt=OCTOBER).first()
        return made or stories.period_of(company.organization, OCTOBER)


def close(company: Company, *, now: datetime = AFTER) -> Invoice | None:
    return invoicing.close_period(organization_id=company.organization.pk, period_id=october(company).pk, now=now)


def closed(company: Company) -> Invoice:
    invoice = close(company)
    assert invoice is not None
    return invoice


def lines_of(invoice: Invoice) -> list[tuple[str, Decimal, int]]:
    with tenant_scope([invoice.organization_id]):
        rows = invoice.lines.order_by("position").values_list("kind", "exact_amount", "amount")
        return [(kind, exact.normalize(), int(amount)) for kind, exact, amount in rows]


def booked(company: Company) -> dict[str, Decimal]:
    """What stands on each account; below 0 is a credit."""
    sums: dict[str, Decimal] = {}
    with tenant_scope([company.organization.pk]):
        for account, amount in LedgerEntry.objects.values_list("account", "amount"):
            sums[account] = sums.get(account, Decimal(0)) + amount
    return {account: amount.normalize() for account, amount in sums.items() if amount}


def test_a_minimum_fee_alone(cast: stories.Cast) -> None:
    agree(cast.acme, minimum=50_000)
    [due] = [due for due in cycle.due_periods(now=AFTER) if due.organization_slug == "acme"]
    invoice = invoicing.close_period(organization_id=due.organization_id, period_id=due.period_id, now=AFTER)
    assert invoice is not None
    assert lines_of(invoice) == [("minimum_fee", 50_000, 50_000)]
    assert (invoice.subtotal, invoice.tax, invoice.total) == (50_000, 5_000, 55_000)
    assert booked(cast.acme)[Account.REVENUE] == -50_000
    call_command("audit")


def test_discount_then_minimum(cast: stories.Cast) -> None:
    agree(cast.acme, minimum=10_000, discount="0.125")
    use(cast.acme.organization, at=OCTOBER, usage=MANY)
    invoice = closed(cast.acme)
    assert lines_of(invoice) == [("usage", 6600, 6600), ("discount", -825, -825), ("minimum_fee", 4225, 4225)]
    assert (invoice.subtotal, invoice.total) == (10_000, 11_000)
    books = booked(cast.acme)
    assert (books[Account.DISCOUNT], books[Account.REVENUE]) == (825, -6600 - 4225)
    assert Account.UNBILLED not in books
    call_command("audit")


def test_above_the_minimum_there_is_no_fee(cast: stories.Cast) -> None:
    agree(cast.acme, minimum=6_000, discount="0.05")
    use(cast.acme.organization, at=OCTOBER, usage=MANY)
    assert lines_of(closed(cast.acme)) == [("usage", 6600, 6600), ("discount", -330, -330)]


def test_credit_pays_the_fee_too(cast: stories.Cast) -> None:
    agree(cast.acme, minimum=4_000)
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    invoice = closed(cast.acme)
    assert (invoice.total, invoice.credit_applied, invoice.amount_due, invoice.status) == (4400, 4400, 0, "paid")
    call_command("audit")


def test_a_void_invoice_gives_all_of_it_back_and_is_issued_anew(cast: stories.Cast) -> None:
    agree(cast.acme, minimum=10_000, discount="0.125")
    use(cast.acme.organization, at=OCTOBER, usage=MANY)
    first, organization_id = closed(cast.acme), cast.acme.organization.pk
    invoicing.void_invoice(organization_id=organization_id, invoice_id=first.pk, reason="x", now=AFTER, actor=None)
    books = booked(cast.acme)
    assert books[Account.WITHDRAWN] == 6600 and books[Account.REVENUE] == -6600
    assert not {Account.DISCOUNT, Account.RECEIVABLE, Account.ROUNDING} & books.keys()
    call_command("audit")
    second = invoicing.reissue_invoice(
        organization_id=organization_id, period_id=first.period_id, now=AFTER, actor=None
    )
    assert lines_of(second) == lines_of(first)
    call_command("audit")


def test_the_terms_at_the_start_of_the_month_hold_for_all_of_it(cast: stories.Cast) -> None:
    agree(cast.acme, month=date(2026, 9, 1), discount="0.1")
    agree(cast.acme, month=date(2026, 11, 1), discount="0.5")
    use(cast.acme.organization, at=OCTOBER, usage=MANY)
    invoice = closed(cast.acme)
    assert invoice.subtotal == 5940
    assert invoice.terms is not None and invoice.terms.discount == Decimal("0.1")


def test_late_usage_is_an_adjustment_under_the_terms_of_the_month_that_bills_it(cast: stories.Cast) -> None:
    agree(cast.acme, discount="0.1")
    agree(cast.acme, month=date(2026, 11, 1), discount="0.5")
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    closed(cast.acme)
    use(cast.acme.organization, at=OCTOBER, usage=MANY, now=AFTER)
    with tenant_scope([cast.acme.organization.pk]):
        november = BillingPeriod.objects.get(status=BillingPeriod.Status.OPEN)
    december = datetime(2026, 12, 2, tzinfo=UTC)
    invoice = invoicing.close_period(organization_id=november.organization_id, period_id=november.pk, now=december)
    assert invoice is not None and lines_of(invoice) == [("usage", 6600, 6600), ("discount", -3300, -3300)]
    with tenant_scope([cast.acme.organization.pk]):
        [usage] = invoice.lines.filter(kind="usage")
    assert usage.service_month == date(2026, 10, 1)
    call_command("audit")


def test_the_first_month_has_its_days_of_the_minimum(cast: stories.Cast) -> None:
    """Opened on 10 September in Seoul: 21 of 30 days."""
    agree(cast.acme, month=date(2026, 9, 1), minimum=30_000)
    now = datetime(2026, 10, 5, tzinfo=UTC)
    [due] = [due for due in cycle.due_periods(now=now) if due.organization_slug == "acme"]
    invoice = invoicing.close_period(organization_id=due.organization_id, period_id=due.period_id, now=now)
    assert invoice is not None and invoice.subtotal == 21_000
    call_command("audit")


def test_a_quiet_month_is_made_for_who_pays_for_it_and_for_nobody_else(cast: stories.Cast) -> None:
    agree(cast.acme, month=date(2026, 9, 1), minimum=1000)
    agree(cast.acme, month=date(2026, 11, 1))
    january = datetime(2027, 1, 10, tzinfo=UTC)
    due = [(due.organization_slug, f"{due.starts_at:%Y-%m}") for due in cycle.due_periods(now=january)]
    assert due == [("acme", "2026-09"), ("acme", "2026-10")]
    assert len(cycle.due_periods(now=january)) == 2, "looking again makes no more"
    assert [due.organization_slug for due in cycle.periods_of_month("2026-10", now=january)] == ["acme"]


def test_a_dry_run_shows_a_quiet_month_and_makes_none(cast: stories.Cast) -> None:
    agree(cast.acme, month=date(2026, 10, 1), minimum=1000)
    told = StringIO()
    with time_machine.travel(AFTER):
        call_command("close_period", "--period", "2026-10", "--dry-run", stdout=told)
    assert [line.split()[:4] for line in told.getvalue().splitlines()[:-1]] == [["acme", "1", "lines", "supply"]]
    assert not BillingPeriod.objects.using("system").exists()


@pytest.mark.parametrize(("zero", "is_invoiced"), [(WITH_USAGE, False), (ALWAYS, True), (NEVER, False)])
def test_a_month_without_usage(cast: stories.Cast, zero: str, is_invoiced: bool) -> None:
    agree(cast.acme, zero=zero)
    assert bool(cycle.due_periods(now=AFTER)) == is_invoiced
    invoice = close(cast.acme)
    assert (invoice is not None) == is_invoiced
    if invoice is not None:
        assert (invoice.total, invoice.status, invoice.number) == (0, "paid", "INV-000001")
        assert lines_of(invoice) == []
        said = " ".join(pages(documents.open_document(invoice, now=AFTER)))
        assert squeezed("합계금액이 0이므로 납부하실 금액이 없습니다.") in said
        evidence_files.write_evidence(organization_id=invoice.organization_id, invoice_id=invoice.pk, now=AFTER)
    call_command("audit")


@pytest.mark.parametrize(("zero", "is_invoiced"), [(WITH_USAGE, True), (ALWAYS, True), (NEVER, False)])
def test_a_month_that_comes_to_nothing(cast: stories.Cast, zero: str, is_invoiced: bool) -> None:
    agree(cast.acme, discount="1", zero=zero)
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    invoice = close(cast.acme)
    assert (invoice is not None) == is_invoiced
    if invoice is not None:
        assert (invoice.total, invoice.status) == (0, "paid")
    assert Account.UNBILLED not in booked(cast.acme)
    with tenant_scope([cast.acme.organization.pk]):
        balance = Balance.objects.get(pk=cast.acme.organization.pk)
    assert (balance.unbilled, balance.receivable) == (0, 0)
    assert close(cast.acme) == invoice, "closed is closed"
    call_command("audit")


def test_terms_cannot_reach_into_a_closed_month(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    closed(cast.acme)
    for month in (date(2026, 10, 1), date(2026, 9, 1)):
        with pytest.raises(MonthClosed):
            agree(cast.acme, month=month, discount="0.1")
    assert agree(cast.acme, month=date(2026, 11, 1), discount="0.1").pk


@pytest.mark.parametrize(
    ("minimum", "discount"), [("0.5", "0"), ("-1", "0"), ("0", "0.12345"), ("0", "1.1"), ("0", "-0.1")]
)
def test_what_are_no_terms(cast: stories.Cast, minimum: str, discount: str) -> None:
    with pytest.raises(InvalidTerms):
        agree(cast.acme, minimum=minimum, discount=discount)


def test_terms_are_history_with_an_entry_each(cast: stories.Cast) -> None:
    first = agree(cast.acme, minimum=1000)
    assert agree(cast.acme, minimum=1000).pk == first.pk, "the same again changes nothing"
    second = agree(cast.acme, minimum=2000)
    assert (second.effective_from, second.revision) == (first.effective_from, 2)
    entries = AuditEntry.objects.using("system").filter(action="terms.set").order_by("pk")
    assert [entry.detail["minimum_fee"] for entry in entries] == ["1000", "2000"]
    assert entries[0].detail["reason"] == "Contract 7"
    for alias in ("system", "default"):
        for statement in ("UPDATE billing_billingterms SET discount = 1", "DELETE FROM billing_billingterms"):
            with (
                pytest.raises(DatabaseError, match=r"history|permission"),
                tenant_scope([cast.acme.organization.pk], using=alias),
                connections[alias].cursor() as cursor,
            ):
                cursor.execute(statement)


def test_the_po_number_is_the_customers_and_stays_on_the_invoice(cast: stories.Cast) -> None:
    acme = cast.acme
    update_profile(organization=acme.organization, changes={"po_number": "PO-7"}, actor=acme.owner, now=OPENED)
    use(acme.organization, at=OCTOBER, usage=MILLION)
    invoice = closed(acme)
    update_profile(organization=acme.organization, changes={"po_number": "PO-8"}, actor=acme.owner, now=AFTER)
    with tenant_scope([acme.organization.pk]):
        assert Invoice.objects.get(pk=invoice.pk).po_number == "PO-7"


def test_a_correction_that_the_minimum_swallows_gives_nothing_back(cast: stories.Cast) -> None:
    """A proposal asks what the invoice would have been, terms and all."""
    agree(cast.acme, minimum=10_000)
    use(cast.acme.organization, at=OCTOBER, usage=MANY)
    invoice = closed(cast.acme)
    stories.publish_cost_price(
        cost_table=stories.CostTable.objects.get(slug="openrouter"),
        language_model=stories.LanguageModel.objects.get(slug=stories.DEVSTRAL),
        sheet=stories.parse_openrouter_pricing({"prompt": "0.00000002", "completion": "0.00000004"}),
        effective_from=OCTOBER - timedelta(days=1),
        raw={},
        origin="test",
        now=AFTER,
    )
    stories.forget_what_processes_remember()
    outcome, proposal = propose_credit_note(
        organization=cast.acme.organization, period_id=invoice.period_id, reason="x", actor=None, now=AFTER
    )
    assert outcome.corrected == 1 and proposal is not None
    assert (proposal.exact_change, proposal.total_change) == (-3300, 0)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.integers(1, 300_000_000), max_size=4),
    minimum=st.integers(0, 40_000),
    discount=st.decimals(0, 1, places=4),
)
def test_estimate_preview_and_simulation_are_the_invoice(
    cast: stories.Cast, counts: list[int], minimum: int, discount: Decimal
) -> None:
    company = stories.make_company(f"company-{uuid4().hex}", now=OPENED)
    agree(company, minimum=minimum, discount=str(discount), zero=ALWAYS)
    for count in counts:
        use(company.organization, at=OCTOBER, usage=TokenUsage(input_tokens=count))
    ids = {"organization_id": company.organization.pk, "period_id": october(company).pk}
    with tenant_scope([company.organization.pk]):
        [estimate] = open_periods(organization=company.organization, now=OCTOBER)
    preview = invoicing.preview(**ids).charged
    simulated = simulate_period(**ids, hypothesis=Hypothesis()).charged_after
    invoice = closed(company)
    shown = (invoice.subtotal, invoice.tax, invoice.total)
    for totals in (estimate.totals, preview.totals, simulated.totals):
        assert (totals.subtotal, totals.tax, totals.total) == shown
    assert [int(line.rounded) for line in estimate.agreed] == [
        amount for kind, _exact, amount in lines_of(invoice) if kind != "usage"
    ]
    assert sum(amount for _kind, _exact, amount in lines_of(invoice)) == invoice.subtotal
    assert simulate_period(**ids, hypothesis=Hypothesis()).after.total == invoice.total, "closed, too"


def test_a_volume_that_is_asked_about_costs_what_its_invoice_says(cast: stories.Cast) -> None:
    """With the discount of the month; a minimum fee is told, as it is of all of a month's usage. Strangers see list prices."""
    agree(cast.acme, discount="0.125", minimum=1000)
    asked = {"model": stories.DEVSTRAL, "input_tokens": 100_000_000, "output_tokens": 0, "requests": 0}
    browser = Client()
    browser.force_login(cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    with time_machine.travel(OCTOBER):
        own = Client().post("/api/v1/estimates", asked, content_type="application/json", headers=cast.acme.headers)
        strangers = Client().post("/api/v1/estimates", asked, content_type="application/json")
        query = f"model={stories.DEVSTRAL}&input_tokens=100000000&output_tokens=0"
        [what_if] = Client().get(f"/api/v1/estimates/what-if?{query}", headers=cast.acme.headers).json()["data"]
        pages_of_it = [
            squeezed(browser.get(f"/models/{path}").content.decode())
            for path in (f"{stories.DEVSTRAL.replace('/', '-')}?{query}", f"compare?{query}")
        ]
    use(cast.acme.organization, at=OCTOBER, usage=MANY)
    invoice = closed(cast.acme)
    for answer in (own.json(), what_if):
        assert (answer["supply_value"], answer["tax"], answer["total"]) == ("5775", "577", "6352")
        assert [(line["kind"], line["rounded"]) for line in answer["agreed"]] == [("discount", "-825")]
    assert (invoice.subtotal, invoice.tax, invoice.total) == (5775, 577, 6352)
    assert own.json()["minimum_fee"] == "1000"
    assert (strangers.json()["supply_value"], strangers.json()["agreed"]) == ("6600", [])
    for page in pages_of_it:
        assert "₩6,352" in page and squeezed("할인 12.5%") in page and squeezed("최소 ₩1,000") in page


@pytest.fixture
def invoice_on_paper(cast: stories.Cast) -> Invoice:
    """₩6,600 less 12.5 %, brought to ₩10,000, of order PO-7."""
    acme = cast.acme
    agree(acme, minimum=10_000, discount="0.125")
    update_profile(organization=acme.organization, changes={"po_number": "PO-7"}, actor=acme.owner, now=OPENED)
    use(acme.organization, at=OCTOBER, usage=MANY)
    return closed(acme)


def test_the_paper_says_what_was_agreed(invoice_on_paper: Invoice) -> None:
    said = " ".join(pages(documents.open_document(invoice_on_paper, now=AFTER)))
    for words in ("발주번호", "PO-7", "사용량 할인", "12.5%", "−₩825", "최소 요금", "₩10,000", "₩4,225"):
        assert squeezed(words) in said


def test_the_api_shows_lines_that_anybody_can_work_out(cast: stories.Cast, invoice_on_paper: Invoice) -> None:
    address = f"/api/v1/invoices/{invoice_on_paper.pk}"
    answer = Client().get(address, headers=cast.acme.headers).json()
    assert answer["po_number"] == "PO-7"
    assert (answer["exact_usage"], answer["exact_supply_value"]) == ("6600", "10000")
    assert [(line["kind"], line["applied_rate_id"] is None, line["formula"]) for line in answer["lines"][1:]] == [
        ("discount", True, "-6600 × 0.125"),
        ("minimum_fee", True, "10000 − 5775"),
    ]
    assert sum(int(line["amount"]) for line in answer["lines"]) == int(answer["supply_value"])
    assert [answer["lines"][1][name] for name in ("model", "token_class", "quantity", "unit_price")] == [
        None,
        None,
        1,
        "-825",
    ]
    assert Client().get(f"{address}/lines/1/events", headers=cast.acme.headers).status_code == 200
    assert Client().get(f"{address}/lines/2/events", headers=cast.acme.headers).status_code == 404


def test_the_running_month_is_estimated_under_its_terms(cast: stories.Cast) -> None:
    agree(cast.acme, minimum=10_000, discount="0.125")
    with time_machine.travel(OCTOBER):
        use(cast.acme.organization, at=OCTOBER, usage=MANY)
        current = Client().get("/api/v1/estimates/current", headers=cast.acme.headers).json()["current"]
    assert current["supply_value"] == "10000"
    assert [(line["kind"], line["rounded"]) for line in current["agreed"]] == [
        ("discount", "-825"),
        ("minimum_fee", "4225"),
    ]
