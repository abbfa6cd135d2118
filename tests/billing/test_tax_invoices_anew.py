"""What was taken back before it was sent: issued anew once, under a key of its own, and the alarm ends with it."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from accounts.models import Alarm, AuditEntry
from accounts.profiles import update_profile
from accounts.tenancy import tenant_scope
from billing.models import TaxInvoice
from billing.tax import tax_invoices
from billing.tax.providers.interface import ProviderUnreachable
from billing.tax.tax_withdrawals import HasAmendments, cancel_issued, issue_anew
from tests.billing.tax_papers import LATER, Desk, business_desk, note, on
from tests.sandbox.processes import StandIn

Status = TaxInvoice.Status


@pytest.fixture
def desk(db: None, popbill: StandIn) -> Desk:
    """Its tax invoice is issued."""
    desk = business_desk(popbill)
    desk.run()
    return desk


def take_back(desk: Desk, row: TaxInvoice | None = None, *, day: int = 3) -> TaxInvoice:
    row = row or desk.original()
    return cancel_issued(
        organization_id=desk.organization_id, tax_invoice_id=row.pk, why="wrong", now=on(day), actor=desk.cast.operator
    )


def anew(desk: Desk, row: TaxInvoice, *, day: int = 4) -> TaxInvoice:
    return issue_anew(
        organization_id=desk.organization_id, tax_invoice_id=row.pk, now=on(day), actor=desk.cast.operator
    )


def alarms() -> Any:
    return Alarm.objects.using("system").filter(kind="tax_invoice", cleared_at=None)


def test_an_original_that_was_taken_back_is_issued_anew_under_another_key(desk: Desk) -> None:
    first = take_back(desk)
    desk.run(on(3, hour=4))
    assert desk.invoice.number in alarms().get().summary
    second = anew(desk, first)
    assert second.mgt_key != first.mgt_key and second.occasion == "original:2"
    assert desk.run(on(4, hour=4)) == 1
    assert not alarms().exists()
    old, new = desk.sheets()
    assert (old["state"], new["state"]) == (600, 300)
    assert (new["mgt_key"], new["sheet"]["totalAmount"]) == (second.mgt_key, "7260")
    assert [row.status for row in desk.rows()] == [Status.CANCELED, Status.ISSUED]
    with tenant_scope([desk.organization_id]):
        entry = AuditEntry.objects.get(action="tax_invoice.issued_anew")
    assert (entry.actor, entry.target) == (desk.cast.operator, desk.invoice.number)
    call_command("audit")


def test_it_can_be_taken_back_and_issued_anew_again(desk: Desk) -> None:
    for day, occasion in ((4, "original:2"), (6, "original:3")):
        row = anew(desk, take_back(desk, newest(desk), day=day - 1), day=day)
        assert row.occasion == occasion
        desk.run(on(day, hour=4))
    assert [sheet["state"] for sheet in desk.sheets()] == [600, 600, 300]
    call_command("audit")


def newest(desk: Desk) -> TaxInvoice:
    return desk.rows()[-1]


def test_what_stands_is_not_issued_anew(desk: Desk) -> None:
    with pytest.raises(tax_invoices.NotPossible):
        anew(desk, desk.original())


def test_two_operators_at_once_issue_one(desk: Desk) -> None:
    row, outcomes = take_back(desk), list[Any]()

    def operator() -> None:
        try:
            outcomes.append(anew(desk, row))
        except Exception as error:
            outcomes.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=operator) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(one) for one in outcomes].count(TaxInvoice) == 1
    assert {type(one) for one in outcomes} == {TaxInvoice, tax_invoices.NotPossible}
    desk.run(on(4, hour=4))
    assert [sheet["state"] for sheet in desk.sheets()] == [600, 300]


def test_a_lost_answer_to_the_second_issues_it_once(desk: Desk) -> None:
    anew(desk, take_back(desk))
    desk.provider.order({"fault": "accept-then-drop", "where": "POST /Taxinvoice"})
    assert desk.run(on(4, hour=4)) == 0 and newest(desk).status == Status.REQUESTED
    assert desk.run(on(4, hour=5)) == 1
    _old, new = desk.sheets()
    assert (new["attempts"], newest(desk).approval_number) == (1, new["approval_number"])


def test_a_lost_answer_to_the_taking_back_is_learned_by_asking_again(desk: Desk) -> None:
    desk.provider.order({"fault": "accept-then-drop", "where": "POST /Taxinvoice/SELL"})
    with pytest.raises(ProviderUnreachable):
        take_back(desk)
    assert desk.original().status == Status.ISSUED, "nobody knows yet"
    with tenant_scope([desk.organization_id]):
        asked = AuditEntry.objects.get(action="tax_invoice.cancel_asked")
    assert (asked.actor, asked.detail["reason"]) == (desk.cast.operator, "wrong")
    with pytest.raises(tax_invoices.NotPossible):
        anew(desk, desk.original())
    assert take_back(desk).status == Status.CANCELED
    anew(desk, desk.original())


def test_it_says_what_is_left_of_the_invoice_and_todays_buyer(desk: Desk) -> None:
    row = take_back(desk)
    note(desk, 1000, now=on(3, hour=1))
    acme = desk.cast.acme
    update_profile(organization=acme.organization, changes={"legal_name": "새 이름"}, actor=acme.owner, now=on(4))
    second = anew(desk, row)
    assert (second.supply, second.tax, second.buyer["name"]) == (5600, 560, "새 이름")
    assert desk.run(on(4, hour=4)) == 1
    call_command("audit")


def test_amendments_are_taken_back_first(desk: Desk) -> None:
    note(desk, 1000, now=on(3, hour=1))
    desk.run(on(3))
    with pytest.raises(HasAmendments):
        take_back(desk)
    [_original, change] = sorted(desk.rows(), key=lambda row: -row.total)
    take_back(desk, change)
    row = take_back(desk)
    assert anew(desk, row).total == 6160
    desk.run(on(4, hour=4))
    call_command("audit")


def test_an_amendment_that_was_taken_back_is_missing_and_said_again(desk: Desk) -> None:
    note(desk, 1000, now=on(3, hour=1))
    desk.run(on(3))
    change = take_back(desk, next(row for row in desk.rows() if row.reason), day=3)
    desk.run(on(3, hour=5))
    assert alarms().exists()
    again = anew(desk, change)
    assert (again.total, again.amends, again.reason) == (-1100, desk.original(), "02")
    assert desk.run(on(4, hour=4)) == 1
    assert not alarms().exists()
    assert [sheet["sheet"]["totalAmount"] for sheet in desk.sheets()] == ["7260", "-1100", "-1100"]
    call_command("audit")


def test_of_a_voided_invoice_or_one_that_a_card_paid_nothing_is_missing(desk: Desk) -> None:
    row = take_back(desk)
    desk.card_pays(desk.card_attempt(now=on(3)), now=on(3))
    assert desk.proof() == "card_slip"
    desk.run(on(4))
    assert not alarms().exists()
    with pytest.raises(tax_invoices.NotPossible):
        anew(desk, row)


def test_taken_back_after_a_card_paid_late_the_slip_is_the_proof_and_both_alarms_end(desk: Desk) -> None:
    desk.card_pays(desk.card_attempt(now=on(2)), now=on(2))
    doubled = Alarm.objects.using("system").filter(kind="supply_proof", cleared_at=None)
    desk.run(on(2, hour=5))
    assert desk.proof() == "tax_invoice" and doubled.exists()
    row = take_back(desk)
    desk.run(on(3, hour=5))
    assert desk.proof() == "card_slip"
    assert not doubled.exists() and not alarms().exists()
    with pytest.raises(tax_invoices.NotPossible):
        anew(desk, row)
    call_command("audit")


def test_a_card_that_pays_while_the_second_is_only_planned_drops_it(desk: Desk) -> None:
    anew(desk, take_back(desk))
    desk.card_pays(desk.card_attempt(now=on(4)), now=on(4))
    assert desk.run(on(4, hour=5)) == 0
    assert (desk.proof(), newest(desk).status) == ("card_slip", Status.DROPPED)
    call_command("audit")


def test_what_the_tax_office_did_not_take_over_is_an_alarm(desk: Desk) -> None:
    desk.provider.call("POST", "/sandbox/transmit", {"fail": True})
    desk.run(LATER + timedelta(hours=2))
    assert desk.invoice.number in alarms().get().summary
