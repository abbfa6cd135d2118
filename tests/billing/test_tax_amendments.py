"""An invoice is corrected after its tax invoice: by notes before and after the deadline, whole and by line, by voiding and anew."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime

import pytest
from django.core.management import call_command

from accounts.models import AuditEntry, User
from accounts.profiles import update_profile
from accounts.tenancy import tenant_scope
from billing.invoicing import reissue_invoice, void_invoice
from billing.models import Invoice, TaxInvoice
from billing.tax.tax_amendments import correct_entries, take_back_second
from billing.tax.tax_invoices import NotPossible, plan_again
from billing.tax.tax_prospects import Prospect, if_issued_anew, if_voided
from tests.billing.tax_papers import Desk, business_desk, note, on
from tests.billing.test_guards import closing_connections, wait_until_somebody_waits_for_a_lock
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


def void(desk: Desk, *, now: datetime) -> None:
    ids = {"organization_id": desk.organization_id, "invoice_id": desk.invoice.pk}
    void_invoice(**ids, reason="mistake", now=now, actor=None)  # type: ignore[arg-type]


def prospects(desk: Desk, *, now: datetime) -> tuple[Prospect, Prospect]:
    with tenant_scope([desk.organization_id]):
        total = desk.invoice.total
        return if_voided(desk.invoice, now=now), if_issued_anew(desk.invoice, total=total, now=now)


def reissue(desk: Desk, *, now: datetime) -> Invoice:
    ids = {"organization_id": desk.organization_id, "period_id": desk.invoice.period_id}
    return reissue_invoice(**ids, now=now, actor=None)  # type: ignore[arg-type]


def test_after_the_deadline_the_one_that_stands_is_corrected_and_none_is_late(desk: Desk) -> None:
    desk.run()
    assert prospects(desk, now=on(15, month=12))[0] == Prospect.CORRECTED
    void(desk, now=on(15, month=12))
    assert desk.run(on(15, month=12, hour=4)) == 0, "its cancellation leaves time to issue the invoice anew"
    assert prospects(desk, now=on(16, month=12))[1] == Prospect.CORRECTED
    desk.invoice = reissue(desk, now=on(16, month=12))
    assert desk.run(on(16, month=12, hour=4)) == 2
    assert told(desk) == [(None, "20261031", "7260"), (1, "20261031", "-7260"), (1, "20261031", "7260")]
    first, *corrections = desk.sheets()
    assert {entry["sheet"]["orgNTSConfirmNum"] for entry in corrections} == {first["approval_number"]}
    call_command("audit")
    note(desk, 1000, now=on(17, month=12))
    desk.run(on(17, month=12, hour=4))
    assert told(desk)[3:] == [(2, "20261217", "-1100")]
    assert desk.sheets()[3]["sheet"]["orgNTSConfirmNum"] == corrections[1]["approval_number"]
    call_command("audit")


def test_what_is_issued_anew_after_its_cancellation_went_out_is_late_and_says_so(desk: Desk) -> None:
    desk.run()
    void(desk, now=on(15, month=12))
    assert desk.run(on(18, month=12)) == 1
    assert prospects(desk, now=on(19, month=12))[1] == Prospect.LATE
    reissue(desk, now=on(19, month=12))
    desk.run(on(19, month=12, hour=4))
    assert [code for code, _date, _total in told(desk)] == [None, 4, None]
    call_command("audit")


def test_where_none_was_issued_in_time_the_next_one_is_late(desk: Desk) -> None:
    assert prospects(desk, now=on(5)) == (Prospect.IN_TIME, Prospect.IN_TIME)
    assert prospects(desk, now=on(15, month=12)) == (Prospect.LATE, Prospect.LATE)


def test_what_a_card_pays_has_no_prospect(desk: Desk) -> None:
    desk.card_pays(desk.card_attempt())
    assert prospects(desk, now=on(15, month=12))[0] == Prospect.NONE
    update_profile(
        organization=desk.cast.acme.organization, changes={"pays_by": "card"}, actor=desk.cast.acme.owner, now=on(5)
    )
    assert prospects(desk, now=on(15, month=12))[1] == Prospect.NONE


def test_what_nobody_has_heard_of_is_not_taken_back(desk: Desk) -> None:
    with pytest.raises(NotPossible, match="is planned"):
        take_back_second(organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, now=on(1), actor=None)
    assert len(desk.rows()) == 1


def test_who_amends_waits_for_whoever_is_at_the_invoice(desk: Desk) -> None:
    """Else both would take back what stands."""
    desk.run()
    original = desk.original()

    @closing_connections
    def take_back() -> TaxInvoice:
        return take_back_second(
            organization_id=desk.organization_id, tax_invoice_id=original.pk, now=on(5, hour=4), actor=None
        )

    with ThreadPoolExecutor(1) as threads:
        with tenant_scope([desk.organization_id]):
            Invoice.objects.select_for_update(no_key=True).get(pk=original.invoice_id)
            taking = threads.submit(take_back)
            wait_until_somebody_waits_for_a_lock()
            note(desk, None, now=on(5))
        with pytest.raises(NotPossible, match="nothing"):
            taking.result(timeout=60)
    desk.run(on(5, hour=4))
    assert [total for _code, _date, total in told(desk)] == ["7260", "-7260"]
    call_command("audit")


# Whom it names

ACME, HOLDING, THIRD = "1208147521", "1248100998", "2208162517"


def name_another(desk: Desk, number: str, *, now: datetime, actor: User | None = None) -> None:
    buyer = desk.original().buyer | {"registration_number": number, "name": "에이크미 홀딩스"}
    correct_entries(
        organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, buyer=buyer, now=now, actor=actor
    )


def by_buyer(desk: Desk) -> dict[str, int]:
    """What the sheets at the provider say of each, added up."""
    sums: dict[str, int] = {}
    for sheet in (entry["sheet"] for entry in desk.sheets()):
        sums[sheet["invoiceeCorpNum"]] = sums.get(sheet["invoiceeCorpNum"], 0) + int(sheet["totalAmount"])
    return sums


@pytest.fixture
def corrected(desk: Desk) -> Desk:
    """Its tax invoice named the wrong company, and names the right one now."""
    desk.run()
    name_another(desk, "124-81-00998", now=on(5))
    assert desk.run(on(5, hour=4)) == 2
    assert by_buyer(desk) == {ACME: 0, HOLDING: 7260}
    return desk


def test_a_note_after_the_buyer_was_corrected_amends_the_right_ones_sheet(corrected: Desk) -> None:
    note(corrected, 1000, now=on(20))
    corrected.run(on(20, hour=4))
    assert by_buyer(corrected) == {ACME: 0, HOLDING: 6160}
    change, plus = corrected.rows()[-1], next(row for row in corrected.rows() if row.occasion.endswith(":plus"))
    assert (change.amends_id, change.buyer["registration_number"]) == (plus.pk, "124-81-00998")
    call_command("audit")


def test_voided_after_the_buyer_was_corrected_nothing_stands_of_anybody(corrected: Desk) -> None:
    void_invoice(
        organization_id=corrected.organization_id,
        invoice_id=corrected.invoice.pk,
        reason="not theirs",
        now=on(6),
        actor=None,
    )
    corrected.run(on(6, hour=4))
    assert by_buyer(corrected) == {ACME: 0, HOLDING: 0}
    call_command("audit")


def test_voided_and_issued_anew_too_late_after_the_buyer_was_corrected(corrected: Desk) -> None:
    void_invoice(
        organization_id=corrected.organization_id,
        invoice_id=corrected.invoice.pk,
        reason="not theirs",
        now=on(15),
        actor=None,
    )
    reissue_invoice(
        organization_id=corrected.organization_id, period_id=corrected.invoice.period_id, now=on(16), actor=None
    )
    for hour in (4, 5):
        corrected.run(on(16, hour=hour))
    assert by_buyer(corrected) == {ACME: 7260, HOLDING: 0}, "the second invoice is of today's buyer"
    call_command("audit")


def test_the_buyer_is_corrected_again(corrected: Desk) -> None:
    name_another(corrected, "220-81-62517", now=on(6))
    corrected.run(on(6, hour=4))
    assert by_buyer(corrected) == {ACME: 0, HOLDING: 0, THIRD: 7260}
    call_command("audit")


def test_two_clicks_correct_the_buyer_once(desk: Desk) -> None:
    desk.run()
    name_another(desk, "124-81-00998", now=on(5))
    with pytest.raises(NotPossible, match="already"):
        name_another(desk, "124-81-00998", now=on(5))
    desk.run(on(5, hour=4))
    assert by_buyer(desk) == {ACME: 0, HOLDING: 7260}


def test_who_corrects_or_takes_back_stands_in_the_audit_log(desk: Desk) -> None:
    desk.run()
    operator = desk.cast.acme.owner
    name_another(desk, "124-81-00998", now=on(5), actor=operator)
    take_back_second(organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, now=on(6), actor=operator)
    entries = AuditEntry.objects.using("system").filter(action__startswith="tax_invoice.", actor=operator)
    assert set(entries.values_list("action", flat=True)) == {"tax_invoice.corrected", "tax_invoice.taken_back"}
