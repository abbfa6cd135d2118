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


def use_up(desk: Desk) -> Invoice:
    """December's usage, which the credit of November pays."""
    acme = desk.cast.acme.organization
    publish_exchange_rate(rate=EXCHANGE_RATE, published_on=date(2026, 11, 30), source="demo", now=on(30))
    price_book.forget()
    use(acme, at=on(20, month=12), usage=TokenUsage(input_tokens=200_000_000, output_tokens=0))
    now = LATER + timedelta(days=31)
    periods = cycle.periods_of_month("2026-12", now=now)
    [period] = [period for period in periods if period.organization_id == acme.pk]
    invoice = invoicing.close_period(organization_id=acme.pk, period_id=period.period_id, now=now)
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
