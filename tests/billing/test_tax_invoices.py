"""세금계산서: which proof an invoice gets, that exactly one tax invoice is issued, and never for what a card paid."""

import threading
import time
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.models import Alarm, AuditEntry
from accounts.profiles import update_profile
from accounts.tenancy import tenant_scope
from billing import collection
from billing.delivery import deliver
from billing.invoicing import reissue_invoice, void_invoice
from billing.mail.mail_texts import compose
from billing.models import CollectionSetting, OutboxMail, Payment, PaymentMethod, SupplyProof, TaxInvoice
from billing.payments.attempts import new_attempt
from billing.processors.interface import Answer
from billing.processors.interface import Status as ProcessorStatus
from billing.settlement import record_answer
from billing.tax import proofs, tax_invoice_run, tax_invoices
from billing.tax.card_windows import CardWindow, card_window
from billing.tax.korean_calendar import issue_deadline
from billing.tax.providers.interface import ProviderUnreachable
from billing.tax.providers.popbill import Popbill
from billing.tax.tax_amendments import correct_entries, take_back_second
from billing.tax.tax_withdrawals import cancel_issued
from tests.billing.collecting import AFTER, DUE, meet_the_debtors, moment, open_invoice
from tests.billing.depositing import next_invoice
from tests.billing.tax_papers import ACME_NUMBER, DETAILS, LATER, Desk, business_desk, note, on
from tests.sandbox.processes import StandIn
from tests.stories import Cast

Status = TaxInvoice.Status


@pytest.fixture
def desk(db: None, popbill: StandIn) -> Desk:
    return business_desk(popbill)


def test_a_business_gets_its_tax_invoice_as_soon_as_the_month_is_invoiced(desk: Desk) -> None:
    planned = desk.original()
    assert (desk.proof(), planned.status, planned.due_on) == ("tax_invoice", Status.PLANNED, date(2026, 11, 10))
    assert desk.run() == 1
    [kept], row = desk.sheets(), desk.original()
    assert (row.status, row.approval_number, len(row.approval_number)) == (Status.ISSUED, kept["approval_number"], 24)
    sheet = kept["sheet"]
    assert (sheet["writeDate"], sheet["purposeType"], sheet["taxType"]) == ("20261031", "청구", "과세")
    assert (sheet["supplyCostTotal"], sheet["taxTotal"], sheet["totalAmount"]) == ("6600", "660", "7260")
    assert (sheet["invoiceeCorpNum"], sheet["invoiceeEmail1"]) == ("1208147521", "tax@acme.example")
    assert desk.run(LATER + timedelta(minutes=5)) == 0 and len(desk.sheets()) == 1
    desk.provider.call("POST", "/sandbox/transmit")
    desk.run(LATER + timedelta(hours=2))
    assert desk.original().status == Status.SENT


def test_what_is_paid_before_it_is_issued_says_received(desk: Desk) -> None:
    desk.transfer()
    desk.run()
    assert desk.sheets()[0]["sheet"]["purposeType"] == "영수"


@pytest.mark.parametrize(
    ("written_on", "deadline"),
    [
        (date(2026, 10, 31), date(2026, 11, 10)),
        (date(2026, 9, 30), date(2026, 10, 12)),  # the 10th is a Saturday
        (date(2026, 4, 30), date(2026, 5, 11)),  # … a Sunday
        (date(2027, 9, 30), date(2027, 10, 12)),  # … a Sunday, and Monday stands in for Hangeul Day
        (date(2025, 12, 31), date(2026, 1, 12)),
    ],
    ids=str,
)
def test_the_deadline_is_the_tenth_or_the_next_business_day(written_on: date, deadline: date) -> None:
    assert issue_deadline(written_on) == deadline


def test_an_operator_names_further_holidays(settings: Settings) -> None:
    settings.PUBLIC_HOLIDAYS = frozenset({"2026-11-10"})
    assert issue_deadline(date(2026, 10, 31)) == date(2026, 11, 11)


def test_a_policy_day_leaves_time_for_cards(db: None, popbill: StandIn, settings: Settings) -> None:
    settings.TAX_INVOICE_DAY = 8
    desk = business_desk(popbill)
    assert desk.run(on(7)) == 0
    assert desk.run(on(8)) == 1


def test_a_lost_answer_is_looked_up_and_issues_once(desk: Desk) -> None:
    desk.provider.order({"fault": "accept-then-drop", "where": "POST /Taxinvoice"})
    assert desk.run() == 0
    assert desk.original().status == Status.REQUESTED
    assert desk.run(LATER + timedelta(seconds=1)) == 0, "the first call may still be under way"
    assert desk.run(LATER + timedelta(minutes=2)) == 1
    [kept] = desk.sheets()
    assert (kept["attempts"], desk.original().approval_number) == (1, kept["approval_number"])


def test_a_call_that_never_arrived_is_made_again_under_its_key(desk: Desk) -> None:
    desk.provider.order({"fault": "drop", "where": "POST /Taxinvoice"})
    assert desk.run() == 0 and desk.sheets() == []
    key = desk.original().mgt_key
    assert desk.run(LATER + timedelta(minutes=2)) == 1
    assert [sheet["mgt_key"] for sheet in desk.sheets()] == [key]


def test_a_repetition_that_the_provider_refuses_finds_the_first_one(desk: Desk) -> None:
    desk.provider.order({"fault": "accept-then-drop", "where": "POST /Taxinvoice"})
    desk.run()
    row = tax_invoices.call(tax_invoices.provider_of(desk.original()), desk.original(), now=LATER)
    [kept] = desk.sheets()
    assert (row.status, row.approval_number, kept["attempts"]) == (Status.ISSUED, kept["approval_number"], 2)


def test_two_rounds_at_once_issue_one(desk: Desk) -> None:
    def round_of_beat() -> None:
        try:
            desk.run()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=round_of_beat) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [kept] = desk.sheets()
    assert (kept["attempts"], desk.original().status) == (1, Status.ISSUED)


def test_one_that_fails_keeps_no_other_from_its_deadline(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    globex, issue_it = desk.cast.globex, tax_invoices.issue
    update_profile(organization=globex.organization, changes=DETAILS, actor=globex.owner, now=AFTER)
    neighbour = Desk(desk.cast, open_invoice(globex), desk.provider)
    first, second = sorted((desk, neighbour), key=lambda one: one.original().created_at)

    def fails_for_the_first(*, organization_id: int, **named: Any) -> TaxInvoice:
        if organization_id == first.organization_id:
            raise RuntimeError("nobody thought of this")
        return issue_it(organization_id=organization_id, **named)

    monkeypatch.setattr(tax_invoice_run, "issue", fails_for_the_first)
    assert desk.run(on(9)) == 1
    assert (first.original().status, second.original().status) == (Status.PLANNED, Status.ISSUED)
    assert Alarm.objects.using("system").filter(kind="tax_invoice", cleared_at=None).exists()


def test_a_provider_that_is_away_is_not_asked_about_each(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tax_invoice_run, "MOST_IN_VAIN", 1)
    globex = desk.cast.globex
    update_profile(organization=globex.organization, changes=DETAILS, actor=globex.owner, now=AFTER)
    open_invoice(globex)
    desk.provider.order({"fault": "drop", "where": "POST /Taxinvoice", "times": 2})
    desk.run()
    desk.run(LATER + timedelta(seconds=1))
    asked: list[str] = []

    def away(_self: Popbill, *, mgt_key: str) -> None:
        asked.append(mgt_key)
        raise ProviderUnreachable("away")

    monkeypatch.setattr(Popbill, "look_up", away)
    tax_invoice_run.ask_unanswered(now=LATER + timedelta(minutes=5))
    assert len(asked) == 1
    monkeypatch.undo()
    assert desk.run(LATER + timedelta(minutes=10)) == 2


def test_a_refused_sheet_waits_for_somebody_with_its_reason(db: None, popbill: StandIn) -> None:
    desk = business_desk(popbill, representative="")
    assert desk.run() == 0
    row = desk.original()
    assert row.status == Status.FAILED and "invoiceeCEOName" in row.failure
    [alarm] = Alarm.objects.using("system").filter(kind="tax_invoice", cleared_at=None)
    assert desk.invoice.number in alarm.summary


def test_a_near_deadline_with_something_unissued_is_an_alarm(desk: Desk, settings: Settings) -> None:
    settings.POPBILL_LINK_ID = ""
    desk.run(on(6))
    alarms = Alarm.objects.using("system").filter(kind="tax_invoice", cleared_at=None)
    assert not alarms.exists()
    desk.run(on(7))
    assert "2026-11-10" in alarms.get().summary
    tax_invoices.note_issued_by_hand(
        organization_id=desk.organization_id,
        tax_invoice_id=desk.original().pk,
        approval_number="2026110741000203abcd0001",
        now=on(7),
        actor=desk.cast.operator,
    )
    desk.run(on(7, hour=5))
    assert not alarms.exists() and desk.original().status == Status.SENT


def test_paying_by_card_before_makes_the_card_slip_the_proof(desk: Desk) -> None:
    desk.card_pays(desk.card_attempt())
    assert (desk.proof(), desk.original().status) == ("card_slip", Status.DROPPED)
    assert desk.run() == 0 and desk.sheets() == []
    with tenant_scope([desk.organization_id]):
        assert AuditEntry.objects.get(action="supply_proof.changed").detail["to"] == "card_slip"


def test_an_open_card_page_keeps_the_tax_invoice_waiting(desk: Desk) -> None:
    attempt = desk.card_attempt()
    assert desk.run() == 0
    desk.card_pays(attempt)
    assert desk.run(LATER + timedelta(minutes=5)) == 0 and desk.sheets() == []


def test_after_it_was_asked_for_cards_are_refused(desk: Desk) -> None:
    with tenant_scope([desk.organization_id]):
        assert proofs.may_pay_by_card(desk.fresh())
    desk.run()
    with tenant_scope([desk.organization_id]):
        assert not proofs.may_pay_by_card(desk.fresh())
        with pytest.raises(proofs.CardRefused):
            proofs.refuse_card_after_tax_invoice(desk.fresh())


def test_a_partial_transfer_keeps_cards_away(desk: Desk) -> None:
    desk.transfer(1000)
    with tenant_scope([desk.organization_id]):
        assert not proofs.may_pay_by_card(desk.fresh())


def test_a_card_that_pays_late_all_the_same_is_an_alarm(desk: Desk) -> None:
    desk.run()
    desk.card_pays(desk.card_attempt())
    assert desk.proof() == "tax_invoice"
    assert Alarm.objects.using("system").filter(kind="supply_proof", subject=desk.invoice.number).exists()


@pytest.fixture
def automatic(db: None, popbill: StandIn) -> Desk:
    """Acme's invoices are charged to its card by themselves."""
    cast = meet_the_debtors()
    organization = cast.acme.organization
    method = PaymentMethod.objects.using("system").create(
        organization=organization, processor="stripe", reference="pm_1", label="Visa", created_at=AFTER
    )
    CollectionSetting.objects.using("system").create(
        organization=organization, default_method=method, is_automatic=True
    )
    update_profile(organization=organization, changes=DETAILS, actor=None, now=AFTER)
    return Desk(cast, open_invoice(cast.acme), popbill)


def test_who_pays_automatically_by_card_gets_no_tax_invoice(automatic: Desk) -> None:
    assert (automatic.proof(), automatic.rows(), automatic.run()) == ("card_slip", [], 0)


def test_a_transfer_in_place_of_the_card_brings_the_tax_invoice(automatic: Desk) -> None:
    automatic.transfer()
    assert automatic.proof() == "tax_invoice"
    assert automatic.run() == 1


def test_what_no_card_has_paid_by_the_last_day_gets_a_tax_invoice(automatic: Desk) -> None:
    assert automatic.run(on(9)) == 0
    assert automatic.run(on(10)) == 1
    assert automatic.proof() == "tax_invoice"


def test_on_the_last_day_a_card_that_is_just_paying_is_waited_for(automatic: Desk) -> None:
    attempt = automatic.card_attempt(now=on(10))
    assert automatic.run(on(10)) == 0
    automatic.card_pays(attempt, now=on(10, hour=4))
    assert (automatic.run(on(10, hour=5)), automatic.proof(), automatic.rows()) == (0, "card_slip", [])


def test_on_the_last_day_what_a_card_has_paid_in_part_stays_its_slips(automatic: Desk) -> None:
    automatic.card_pays(automatic.card_attempt(amount=1000))
    assert automatic.fresh().status == "open"
    assert (automatic.run(on(10)), automatic.proof(), automatic.rows()) == (0, "card_slip", [])


def test_only_what_was_refused_is_planned_again(desk: Desk) -> None:
    desk.run()
    ids = {"organization_id": desk.organization_id, "tax_invoice_id": desk.original().pk}
    with pytest.raises(tax_invoices.NotPossible):
        tax_invoices.plan_again(**ids, now=on(3), actor=None)  # type: ignore[arg-type]
    assert (desk.run(on(4)), len(desk.sheets())) == (0, 1)


def test_who_has_no_registration_number_gets_none_or_a_cash_receipt(db: None, settings: Settings) -> None:
    cast = meet_the_debtors()
    invoice = open_invoice(cast.acme)
    settings.CASH_RECEIPTS = True
    other = open_invoice(cast.globex)
    with tenant_scope([invoice.organization_id, other.organization_id]):
        kinds = [SupplyProof.objects.get(invoice=one).kind for one in (invoice, other)]
    assert kinds == ["none", "cash_receipt"]


def test_what_credit_bought_by_card_has_paid_is_proven_by_its_slip(db: None, popbill: StandIn) -> None:
    desk = business_desk(popbill, before=top_up)
    assert (desk.invoice.total, desk.invoice.amount_due) == (7260, 260)
    row = desk.original()
    assert (row.supply, row.tax, row.total) == (4782, 478, 5260)
    assert desk.run() == 1
    call_command("audit")


def top_up(cast: Cast) -> None:
    """₩2,000 of credit by card."""
    key = "top-up-1"
    payment = Payment.objects.using("system").create(
        organization=cast.acme.organization,
        processor="stripe",
        amount=2000,
        currency="KRW",
        status=Payment.Status.REQUIRES_ACTION,
        idempotency_key=key,
        created_at=AFTER - timedelta(days=20),
    )
    answer = Answer(
        status=ProcessorStatus.SUCCEEDED, reference=key, amount=Decimal(2000), currency="KRW", money_reference="pi_1"
    )
    record_answer(
        organization_id=cast.acme.organization.pk,
        payment_id=payment.pk,
        answer=answer,
        now=AFTER - timedelta(days=20),
    )


def test_what_a_card_has_paid_stays_proven_by_its_slip_when_a_note_gives_it_back_as_credit(
    db: None, popbill: StandIn
) -> None:
    """₩2,000 by a top-up: it paid October, was given back, and pays November."""
    desk = business_desk(popbill, before=top_up)
    note(desk, None, now=on(5))
    november = Desk(desk.cast, next_invoice(desk.cast.acme), popbill)
    assert (november.invoice.total, november.invoice.amount_due) == (7260, 260)
    assert november.original().total == 5260
    call_command("audit")


def test_a_cards_payment_that_became_credit_is_still_proven_by_its_slip(desk: Desk) -> None:
    desk.card_pays(desk.card_attempt())
    note(desk, None, now=on(5))
    november = Desk(desk.cast, next_invoice(desk.cast.acme), desk.provider)
    assert (november.invoice.amount_due, november.original().total) == (0, 7260 - DUE)
    call_command("audit")


def test_a_voided_invoice_cancels_its_issued_tax_invoice(desk: Desk) -> None:
    desk.run()
    void(desk)
    minus = next(row for row in desk.rows() if row.reason == "04")
    assert (minus.supply, minus.tax, minus.write_date) == (-6600, -660, date(2026, 11, 5))
    assert minus.due_on == date(2026, 12, 10)
    assert desk.run(on(5, hour=4)) == 1
    original, cancellation = desk.sheets()
    assert cancellation["sheet"]["modifyCode"] == 4
    assert cancellation["sheet"]["orgNTSConfirmNum"] == original["approval_number"]


def test_a_voided_invoice_drops_what_was_only_planned_and_the_next_one_has_its_own(desk: Desk) -> None:
    void(desk)
    assert [row.status for row in desk.rows()] == [Status.DROPPED]
    again = reissue_invoice(
        organization_id=desk.organization_id, period_id=desk.invoice.period_id, now=on(5, hour=5), actor=None
    )
    assert desk.run(on(5, hour=6)) == 1
    assert desk.sheets()[0]["sheet"]["remark1"] == again.number


def test_an_unanswered_one_of_a_voided_invoice_is_not_asked_for_again(desk: Desk) -> None:
    desk.provider.order({"fault": "drop", "where": "POST /Taxinvoice"})
    desk.run()
    void(desk)
    assert desk.run(on(5, hour=5)) == 0
    assert desk.run(on(5, hour=6)) == 0
    assert desk.sheets() == [] and {row.status for row in desk.rows()} == {Status.DROPPED}


def test_a_credit_note_after_the_tax_invoice_is_a_change_of_the_supply_value(desk: Desk) -> None:
    desk.run()
    note(desk, 1000)
    assert desk.run(on(20, hour=4)) == 1
    _original, change = desk.sheets()
    sheet = change["sheet"]
    assert (sheet["modifyCode"], sheet["writeDate"], sheet["totalAmount"]) == (2, "20261120", "-1100")
    call_command("audit")


def test_a_credit_note_that_corrects_entries_is_two_sheets(desk: Desk) -> None:
    desk.run()
    note(desk, 1000, code="01")
    assert desk.run(on(20, hour=4)) == 2
    told = sorted((int(one["sheet"]["totalAmount"]), one["sheet"]["writeDate"]) for one in desk.sheets()[1:])
    assert told == [(-7260, "20261031"), (6160, "20261031")]
    call_command("audit")


def test_a_credit_note_before_anything_was_issued_follows_its_original(desk: Desk) -> None:
    note(desk, 1000, now=on(2, hour=4))
    assert desk.run(on(2, hour=5)) == 2
    assert [sheet["sheet"]["totalAmount"] for sheet in desk.sheets()] == ["7260", "-1100"]


def test_a_wrong_buyer_is_corrected_by_two_sheets(desk: Desk) -> None:
    desk.run()
    buyer = desk.original().buyer | {"registration_number": "124-81-00998", "name": "에이크미 홀딩스"}
    correct_entries(
        organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, buyer=buyer, now=on(5), actor=None
    )
    assert desk.run(on(5, hour=4)) == 2
    told = {
        (sheet["sheet"].get("modifyCode"), sheet["sheet"]["totalAmount"], sheet["sheet"]["invoiceeCorpNum"])
        for sheet in desk.sheets()
    }
    old = ACME_NUMBER.replace("-", "")
    assert told == {(None, "7260", old), (1, "-7260", old), (1, "7260", "1248100998")}


def test_what_was_issued_elsewhere_too_is_taken_back(desk: Desk) -> None:
    desk.run()
    take_back_second(organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, now=on(5), actor=None)
    desk.run(on(5, hour=4))
    assert desk.sheets()[1]["sheet"]["modifyCode"] == 6
    with pytest.raises(tax_invoices.NotPossible):
        take_back_second(organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, now=on(6), actor=None)


def test_what_is_not_sent_yet_can_be_taken_back_at_the_provider(desk: Desk) -> None:
    desk.run()
    row = cancel_issued(
        organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, why="wrong", now=on(3), actor=None
    )
    assert row.status == Status.CANCELED
    desk.run(on(4))
    [alarm] = Alarm.objects.using("system").filter(kind="tax_invoice", cleared_at=None)
    assert desk.invoice.number in alarm.summary, "nothing proves the supply now"


def test_what_the_tax_office_has_cannot(desk: Desk) -> None:
    desk.run()
    desk.provider.call("POST", "/sandbox/transmit")
    with pytest.raises(tax_invoices.NotPossible):
        cancel_issued(
            organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, why="wrong", now=on(3), actor=None
        )
    assert desk.original().status == Status.SENT


def test_a_zero_rated_business_gets_a_zero_rated_tax_invoice(db: None, popbill: StandIn) -> None:
    desk = business_desk(popbill, treatment="zero_rated")
    desk.run()
    sheet = desk.sheets()[0]["sheet"]
    assert (sheet["taxType"], sheet["taxTotal"], sheet["totalAmount"]) == ("영세", "0", "6600")


def test_what_was_asked_for_is_never_changed(desk: Desk) -> None:
    desk.run()
    for change in ({"total": 1, "supply": 1, "tax": 0}, {"status": "planned"}, {"approval_number": "0" * 24}):
        with pytest.raises(DatabaseError, match=r"kept as it was|stays so"):
            TaxInvoice.objects.using("system").filter(pk=desk.original().pk).update(**change)
    with pytest.raises(DatabaseError, match="kept as it was"):
        TaxInvoice.objects.using("system").filter(pk=desk.original().pk)._raw_delete("system")


def void(desk: Desk, now: datetime | None = None) -> None:
    now = now or on(5)
    void_invoice(
        organization_id=desk.organization_id, invoice_id=desk.invoice.pk, reason="mistake", now=now, actor=None
    )


def test_a_card_payment_that_begins_this_very_moment_keeps_the_tax_invoice_waiting(
    desk: Desk, stripe_settings: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides decide under the invoice's lock: the one that comes second sees what the first has written."""
    began = threading.Event()

    def make_slowly(**fields: Any) -> Payment:
        began.set()
        time.sleep(0.5)
        return new_attempt(**fields)

    monkeypatch.setattr(collection, "new_attempt", make_slowly)

    def pay() -> None:
        try:
            collection.start_payment(
                organization_id=desk.organization_id,
                invoice_id=desk.invoice.pk,
                now=moment(),
                user=desk.cast.acme.owner,
            )
        finally:
            connections.close_all()

    paying = threading.Thread(target=pay)
    paying.start()
    assert began.wait(5)
    assert desk.run() == 0
    paying.join()
    assert desk.sheets() == [] and desk.original().status == Status.PLANNED


def test_a_card_payment_is_refused_while_a_tax_invoice_is_being_asked_for(
    desk: Desk, stripe_settings: StandIn, client: Client
) -> None:
    desk.provider.order({"fault": "drop", "where": "POST /Taxinvoice"})
    desk.run()
    owner, page = desk.cast.acme.owner, f"/o/acme/invoices/{desk.invoice.pk}"
    with pytest.raises(proofs.CardRefused):
        collection.start_payment(
            organization_id=desk.organization_id, invoice_id=desk.invoice.pk, now=moment(), user=owner
        )
    client.force_login(owner)
    client.cookies["invoicedream_language"] = "en"
    answer = client.post(f"{page}/pay", follow=True)
    assert "Please transfer the amount to our bank account." in answer.content.decode()
    told = client.get(f"/api/v1/invoices/{desk.invoice.pk}", headers={"X-Organization": "acme"}).json()
    assert (told["proof"], told["tax_invoices"][0]["status"]) == ("tax_invoice", "requested")
    refused = client.post(f"/api/v1/invoices/{desk.invoice.pk}/pay", headers={"X-Organization": "acme"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "paid_by_transfer")


def page_of(desk: Desk, client: Client) -> str:
    """The invoice's page, as acme's owner reads it."""
    client.force_login(desk.cast.acme.owner)
    client.cookies["invoicedream_language"] = "en"
    return client.get(f"/o/acme/invoices/{desk.invoice.pk}").content.decode()


def test_the_page_says_until_when_a_card_is_possible(
    db: None, popbill: StandIn, settings: Settings, client: Client
) -> None:
    settings.TAX_INVOICE_DAY = 8
    desk = business_desk(popbill)
    with tenant_scope([desk.organization_id]):
        assert card_window(desk.fresh()) == CardWindow(last_day=date(2026, 11, 7))
    with time_machine.travel(on(7), tick=False):
        assert "pay by card until 2026-11-07" in page_of(desk, client)
    desk.run(on(8))
    with tenant_scope([desk.organization_id]):
        assert card_window(desk.fresh()) == CardWindow(ended_at=on(8))
    assert "until the tax invoice was asked for (2026-11-08 12:00)" in page_of(desk, client)


def test_the_page_says_that_a_transfer_ended_it(desk: Desk, client: Client) -> None:
    desk.transfer(1000)
    assert "A transfer has come in for this invoice" in page_of(desk, client)


def test_who_pays_by_card_reads_until_when(automatic: Desk, client: Client) -> None:
    with tenant_scope([automatic.organization_id]):
        assert card_window(automatic.fresh()) == CardWindow(last_day=date(2026, 11, 9))
    with time_machine.travel(on(9), tick=False):
        assert "Please pay by card until 2026-11-09" in page_of(automatic, client)


def test_the_buyer_hears_of_it_once(desk: Desk) -> None:
    desk.provider.order({"fault": "accept-then-duplicate", "where": "POST /Taxinvoice"})
    desk.run()
    desk.run(LATER + timedelta(minutes=5))
    with tenant_scope([desk.organization_id]):
        [mail] = OutboxMail.objects.filter(kind="tax_invoice").select_related("invoice", "organization")
        letter = compose(mail)
    assert mail.recipient == "tax@acme.example"
    assert desk.original().approval_number in letter.text and "hometax.go.kr" in letter.text
    assert "계좌이체로 납부해 주십시오" in letter.text


def test_nobody_hears_of_what_was_taken_back(desk: Desk) -> None:
    desk.run()
    cancel_issued(
        organization_id=desk.organization_id, tax_invoice_id=desk.original().pk, why="wrong", now=on(2), actor=None
    )
    with tenant_scope([desk.organization_id]):
        mail = OutboxMail.objects.get(kind="tax_invoice")
    assert deliver(organization_id=desk.organization_id, mail_id=mail.pk, now=on(3)) == "failed"
