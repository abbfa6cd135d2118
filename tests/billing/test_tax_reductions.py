"""A month that comes to less than nothing: what it takes back of earlier supplies, their tax invoices take back, too."""

from datetime import date, datetime, timedelta

import pytest
from django.core.management import call_command

from accounts.tenancy import tenant_scope
from billing import cycle, invoicing
from billing.models import Invoice, TaxInvoice
from billing.rest.proof_answers import sheets_of
from billing.tax.tax_withdrawals import cancel_issued, issue_anew
from catalog import price_book
from catalog.exchange_rates import publish_exchange_rate
from pricing.tokens import TokenUsage
from tests.billing.tax_papers import Desk, business_desk, note, on
from tests.sandbox.processes import StandIn
from tests.stories import EXCHANGE_RATE, correct_usage, use

Status = TaxInvoice.Status
LATER = on(2, month=12)


@pytest.fixture
def desk(db: None, popbill: StandIn) -> Desk:
    """October's ₩7,260 have their tax invoice; in November the upstream's mistake is found, and the usage is taken back."""
    desk = business_desk(popbill)
    desk.run()
    return desk


def november(desk: Desk, *, now: datetime = LATER) -> Invoice:
    correct_usage(desk.cast.acme.organization, now=on(20), recharge=False)
    periods = cycle.periods_of_month("2026-11", now=now)
    [period] = [period for period in periods if period.organization_id == desk.organization_id]
    invoice = invoicing.close_period(organization_id=desk.organization_id, period_id=period.period_id, now=now)
    assert invoice is not None
    return invoice


def test_an_invoice_below_zero_takes_back_the_tax_invoice_of_the_month_that_it_corrects(desk: Desk) -> None:
    invoice = november(desk)
    assert (invoice.subtotal, invoice.tax) == (-6600, -660)
    assert desk.run(LATER + timedelta(hours=1)) == 1
    original, change = desk.sheets()
    sheet = change["sheet"]
    assert (sheet["modifyCode"], sheet["totalAmount"], sheet["writeDate"]) == (2, "-7260", "20261130")
    assert sheet["orgNTSConfirmNum"] == original["approval_number"]
    assert "당초 작성일자 2026-10-31" in sheet["remark1"]
    [row] = [row for row in desk.rows() if row.reason]
    assert row.due_on == date(2026, 12, 10)
    with tenant_scope([desk.organization_id]):
        assert (invoice.proof.kind, sheets_of(invoice)) == ("tax_invoice", [row])
    call_command("audit")


def test_what_a_credit_note_took_back_already_is_not_taken_back_again(desk: Desk) -> None:
    note(desk, 1000, now=on(5))
    invoice = november(desk)
    assert desk.run(LATER + timedelta(hours=1)) == 2
    assert [sheet["sheet"]["totalAmount"] for sheet in desk.sheets()] == ["7260", "-1100", "-6160"]
    with tenant_scope([desk.organization_id]):
        assert (invoice.proof.kind, invoice.proof.by_card) == ("tax_invoice", -1100)
    call_command("audit")


def test_a_credit_note_afterwards_finds_nothing_left_to_amend(desk: Desk) -> None:
    november(desk)
    note(desk, 1000, now=on(3, month=12))
    desk.run(on(3, month=12, hour=5))
    assert [sheet["sheet"]["totalAmount"] for sheet in desk.sheets()] == ["7260", "-7260"]
    call_command("audit")


def test_what_a_card_had_paid_is_no_tax_invoices_affair(db: None, popbill: StandIn) -> None:
    desk = business_desk(popbill)
    desk.card_pays(desk.card_attempt())
    invoice = november(desk)
    with tenant_scope([desk.organization_id]):
        assert invoice.proof.kind == "none"
    assert desk.run(LATER + timedelta(hours=1)) == 0 and desk.sheets() == []
    december = use_up(desk)
    with tenant_scope([desk.organization_id]):
        assert december.proof.by_card == 7260, "the slip of October's payment proves what its money pays now"
    call_command("audit")


@pytest.fixture
def mixed(db: None, popbill: StandIn) -> Desk:
    """A card paid October's ₩7,260; November's as much is paid by transfer and has its tax invoice."""
    desk = business_desk(popbill)
    desk.card_pays(desk.card_attempt())
    desk.invoice = use_up(desk, 11)
    assert desk.run(on(5, month=12)) == 1
    desk.transfer(7260, now=on(6, month=12))
    return desk


def test_only_the_months_that_were_wrong_are_taken_back_from(mixed: Desk) -> None:
    """October's usage was wrong, whose proof is a slip: November's tax invoice has nothing to do with it."""
    acme = mixed.cast.acme.organization
    correct_usage(acme, now=on(20, month=12), before=on(1), recharge=False)
    december = close_month(mixed, 12)
    assert december.total == -7260
    assert mixed.run(on(5, month=1, year=2027)) == 0
    assert [sheet["sheet"]["totalAmount"] for sheet in mixed.sheets()] == ["7260"]
    january = use_up(mixed, 1, year=2027)
    assert january.amount_due == 0
    assert mixed.run(on(5, month=2, year=2027)) == 0, "a card had paid what pays for January"
    with tenant_scope([mixed.organization_id]):
        assert (january.proof.kind, january.proof.by_card) == ("card_slip", 7260)
    call_command("audit")


def test_credit_of_a_month_that_mixed_proofs_is_first_the_cards(mixed: Desk) -> None:
    acme = mixed.cast.acme.organization
    correct_usage(acme, now=on(20, month=12), recharge=False)
    correct_usage(acme, now=on(20, month=12, hour=4), recharge=False)
    december = close_month(mixed, 12)
    assert december.total == -14520
    mixed.run(on(5, month=1, year=2027))
    assert [sheet["sheet"]["totalAmount"] for sheet in mixed.sheets()] == ["7260", "-7260"]
    january = use_up(mixed, 1, year=2027, tokens=60_000_000)
    february = use_up(mixed, 2, year=2027)
    march = use_up(mixed, 3, year=2027, tokens=40_000_000)
    with tenant_scope([mixed.organization_id]):
        proofs = [(month.total, month.proof.kind, month.proof.by_card) for month in (january, february, march)]
        assert proofs == [(4356, "card_slip", 4356), (7260, "tax_invoice", 2904), (2904, "tax_invoice", 0)]
    assert mixed.run(on(5, month=4, year=2027)) == 2
    assert [sheet["sheet"]["totalAmount"] for sheet in mixed.sheets()[2:]] == ["4356", "2904"]
    call_command("audit")


def test_what_a_note_gives_back_of_it_is_the_cards_last(mixed: Desk) -> None:
    """As the note's sheet takes back what the tax invoice said first, and what the slip proves last."""
    acme = mixed.cast.acme.organization
    correct_usage(acme, now=on(20, month=12), recharge=False)
    correct_usage(acme, now=on(20, month=12, hour=4), recharge=False)
    close_month(mixed, 12)
    use_up(mixed, 1, year=2027, tokens=60_000_000)
    mixed.invoice = use_up(mixed, 2, year=2027)
    mixed.run(on(6, month=3, year=2027))
    note(mixed, 1000, now=on(7, month=3, year=2027))
    note(mixed, 4000, now=on(8, month=3, year=2027))
    use_up(mixed, 3, year=2027, tokens=40_000_000)
    april, may = (use_up(mixed, month, year=2027, tokens=50_000_000) for month in (4, 5))
    with tenant_scope([mixed.organization_id]):
        assert [(month.credit_applied, month.proof.by_card) for month in (april, may)] == [(3630, 1144), (1870, 0)]
    mixed.run(on(6, month=6, year=2027))
    call_command("audit")


def test_what_a_void_invoice_had_of_the_cards_credit_is_the_cards_again(mixed: Desk) -> None:
    acme = mixed.cast.acme.organization
    correct_usage(acme, now=on(20, month=12), recharge=False)
    correct_usage(acme, now=on(20, month=12, hour=4), recharge=False)
    close_month(mixed, 12)
    january = use_up(mixed, 1, year=2027)
    ids = {"organization_id": mixed.organization_id, "invoice_id": january.pk}
    invoicing.void_invoice(**ids, reason="mistake", now=on(3, month=2, year=2027), actor=None)  # type: ignore[arg-type]
    again = invoicing.reissue_invoice(
        organization_id=mixed.organization_id, period_id=january.period_id, now=on(3, month=2, year=2027), actor=None
    )
    with tenant_scope([mixed.organization_id]):
        assert (again.proof.kind, again.proof.by_card) == ("card_slip", 7260)
    call_command("audit")


def use_up(desk: Desk, month: int = 12, *, year: int = 2026, tokens: int = 100_000_000) -> Invoice:
    """The invoice of a month's usage, ₩7,260 unless told otherwise, which credit pays where there is some."""
    day = on(20, month=month, year=year)
    publish_exchange_rate(rate=EXCHANGE_RATE, published_on=day.date() - timedelta(days=20), source="demo", now=day)
    price_book.forget()
    use(desk.cast.acme.organization, at=day, usage=TokenUsage(input_tokens=tokens, output_tokens=0))
    return close_month(desk, month, year=year)


def close_month(desk: Desk, month: int, *, year: int = 2026) -> Invoice:
    now = on(20, month=month, year=year) + timedelta(days=14)
    periods = cycle.periods_of_month(f"{year}-{month:02}", now=now)
    [period] = [period for period in periods if period.organization_id == desk.organization_id]
    invoice = invoicing.close_period(organization_id=desk.organization_id, period_id=period.period_id, now=now)
    assert invoice is not None
    return invoice


def test_a_void_one_gives_back_what_was_asked_for(desk: Desk) -> None:
    invoice = november(desk)
    desk.run(LATER + timedelta(hours=1))
    void(desk, invoice)
    assert desk.run(LATER + timedelta(hours=3)) == 1
    assert [sheet["sheet"]["totalAmount"] for sheet in desk.sheets()] == ["7260", "-7260", "7260"]
    call_command("audit")


def test_a_void_one_drops_what_nobody_has(desk: Desk) -> None:
    void(desk, november(desk))
    assert desk.run(LATER + timedelta(hours=3)) == 0
    assert {row.status for row in desk.rows()} == {Status.ISSUED, Status.DROPPED}
    call_command("audit")


def test_it_can_be_taken_back_and_said_anew(desk: Desk) -> None:
    november(desk)
    desk.run(LATER + timedelta(hours=1))
    [row] = [row for row in desk.rows() if row.reason]
    ids = {"organization_id": desk.organization_id, "tax_invoice_id": row.pk}
    cancel_issued(**ids, why="wrong", now=LATER + timedelta(hours=2), actor=None)  # type: ignore[arg-type]
    issue_anew(**ids, now=LATER + timedelta(hours=2), actor=None)  # type: ignore[arg-type]
    assert desk.run(LATER + timedelta(hours=3)) == 1
    call_command("audit")


def void(desk: Desk, invoice: Invoice) -> None:
    invoicing.void_invoice(
        organization_id=desk.organization_id,
        invoice_id=invoice.pk,
        reason="mistake",
        now=LATER + timedelta(hours=2),
        actor=None,
    )
