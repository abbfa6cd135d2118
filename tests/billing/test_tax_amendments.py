"""An invoice is corrected after its tax invoice: by notes before and after the deadline, whole and by line, by voiding and anew."""

from datetime import date

import pytest
from django.core.management import call_command

from accounts.profiles import update_profile
from billing.invoicing import reissue_invoice, void_invoice
from billing.models import TaxInvoice
from billing.tax.tax_invoices import plan_again
from tests.billing.tax_papers import Desk, business_desk, note, on
from tests.sandbox.processes import StandIn

Status = TaxInvoice.Status


@pytest.fixture
def desk(db: None, popbill: StandIn) -> Desk:
    return business_desk(popbill)


def told(desk: Desk) -> list[tuple[int | None, str, str]]:
    """Reason, date and total of each sheet at the provider."""
    sheets = [entry["sheet"] for entry in desk.sheets()]
    return [(sheet.get("modifyCode"), sheet["writeDate"], sheet["totalAmount"]) for sheet in sheets]


@pytest.mark.parametrize("code", ["02", "03", "04"])
def test_a_whole_note_takes_all_of_it_back_under_its_own_reason(desk: Desk, code: str) -> None:
    desk.run()
    note(desk, None, code=code, now=on(5))
    desk.run(on(5, hour=4))
    assert told(desk) == [(None, "20261031", "7260"), (int(code), "20261105", "-7260")]
    call_command("audit")


def test_a_note_after_the_deadline_is_dated_its_own_day_and_due_in_its_own_month(desk: Desk) -> None:
    desk.run()
    note(desk, 1000, now=on(15, month=12))
    desk.run(on(15, month=12, hour=4))
    assert told(desk)[1] == (2, "20261215", "-1100")
    [change] = [row for row in desk.rows() if row.reason]
    assert change.due_on == date(2027, 1, 11)
    call_command("audit")


def test_notes_by_line_add_up_to_the_whole(desk: Desk) -> None:
    desk.run()
    note(desk, 1000, now=on(5))
    note(desk, 2005, now=on(6))
    note(desk, None, now=on(7))
    desk.run(on(7, hour=4))
    assert sum(int(total) for _code, _date, total in told(desk)) == 0
    call_command("audit")


def test_a_note_while_the_answer_is_missing_waits_for_it(desk: Desk) -> None:
    desk.provider.order({"fault": "accept-then-500", "where": "POST /Taxinvoice"})
    desk.run()
    note(desk, None, now=on(2, hour=4))
    assert desk.original().status == Status.REQUESTED
    desk.run(on(2, hour=5))
    assert [total for _code, _date, total in told(desk)] == ["7260", "-7260"]
    call_command("audit")


def test_a_note_while_it_cannot_be_issued_waits_for_the_second_try(db: None, popbill: StandIn) -> None:
    desk = business_desk(popbill, representative="")
    desk.run()
    note(desk, 1000, now=on(3))
    desk.run(on(3, hour=4))
    assert desk.sheets() == [] and desk.original().status == Status.FAILED
    acme = desk.cast.acme
    update_profile(organization=acme.organization, changes={"representative": "김가상"}, actor=acme.owner, now=on(3))
    plan_again(organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, now=on(4), actor=None)
    assert desk.run(on(4, hour=4)) == 2
    assert [total for _code, _date, total in told(desk)] == ["7260", "-1100"]
    call_command("audit")


def test_voided_and_issued_anew_the_first_is_canceled_and_the_second_has_its_own(desk: Desk) -> None:
    desk.run()
    void_invoice(
        organization_id=desk.organization_id, invoice_id=desk.invoice.pk, reason="mistake", now=on(5), actor=None
    )
    again = reissue_invoice(
        organization_id=desk.organization_id, period_id=desk.invoice.period_id, now=on(5, hour=4), actor=None
    )
    desk.run(on(5, hour=5))
    assert sorted(told(desk), key=str) == [
        (4, "20261105", "-7260"),
        (None, "20261031", "7260"),
        (None, "20261031", "7260"),
    ]
    assert {entry["sheet"]["remark1"].partition(" ")[0] for entry in desk.sheets()} == {
        desk.invoice.number,
        again.number,
    }
    call_command("audit")
