"""Credit is bought once: on the page or with a card on file, however often it is clicked and whatever becomes of the answers."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing.mail.mail_texts import compose
from billing.models import OutboxMail, Payment, PaymentMethod, ProcessorEvent
from billing.payments import starting, top_ups, unresolved, webhooks
from billing.processors.selection import NoCardProcessor
from ledger.models import CreditGrant, LedgerEntry, LedgerTransaction
from tests.billing.collecting import DUE, House, at_once, deliver, moment, type_card
from tests.billing.keeping import leave_card

Status = Payment.Status
AMOUNT = Decimal(50_000)


def top_up(
    house: House, *, amount: Decimal = AMOUNT, key: UUID | None = None, method: PaymentMethod | None = None
) -> Payment:
    return top_ups.start_top_up(
        organization=house.invoice.organization,
        amount=amount,
        request_key=key or uuid4(),
        user=house.owner,
        method_id=method.pk if method else None,
        now=moment(),
    )


def bought(house: House) -> list[tuple[Decimal, str, str]]:
    with tenant_scope([house.organization_id]):
        grants = CreditGrant.objects.filter(key__startswith="top-up:").order_by("pk")
        return [(grant.amount, grant.kind, grant.key) for grant in grants]


def look(house: House) -> Payment | None:
    return top_ups.look_again(organization_id=house.organization_id, now=moment())


def test_credit_is_bought_on_the_page(house: House) -> None:
    payment = top_up(house)
    assert (payment.status, payment.invoice_id) == (Status.REQUIRES_ACTION, None)
    _status, back = type_card(payment.action_url)
    assert back == "http://127.0.0.1:8000/o/acme/credit?payment=done"
    after = look(house)
    assert after is not None and after.status == Status.SUCCEEDED
    assert bought(house) == [(AMOUNT, "paid", f"top-up:{payment.pk}")]
    assert (house.balance().prepaid, house.balance().receivable, house.taken()) == (AMOUNT, DUE, AMOUNT)
    assert house.mails() == ["top_up"]
    assert look(house) is None
    call_command("audit")


def test_the_money_is_posted_from_the_processor_to_the_credit(house: House) -> None:
    type_card(top_up(house).action_url)
    look(house)
    with tenant_scope([house.organization_id]):
        grant = CreditGrant.objects.get(key__startswith="top-up:")
        posted = LedgerTransaction.objects.get(kind="credit_granted", key=str(grant.pk))
        entries = LedgerEntry.objects.filter(transaction_id=posted.id)
        assert {entry.account: entry.amount for entry in entries} == {"clearing": AMOUNT, "prepaid": -AMOUNT}
    actions = AuditEntry.objects.using("system").filter(action__in=("payment.succeeded", "credit.granted"))
    assert {(entry.action, entry.actor_id) for entry in actions if entry.target != "trial"} == {
        ("payment.succeeded", house.owner.pk),
        ("credit.granted", house.owner.pk),
    }


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_receipt_says_what_was_bought(house: House, language: str) -> None:
    type_card(top_up(house).action_url)
    look(house)
    with tenant_scope([house.organization_id]):
        mail = OutboxMail.objects.select_related("organization").get(kind="top_up")
        mail.language = language
        letter = compose(mail)
    assert mail.recipient == house.owner.email
    assert "₩50,000" in letter.text and "/o/acme/credit" in letter.text
    assert ("크레딧 충전 영수증" if language == "ko" else "Top-up receipt") in letter.subject


def test_the_webhook_before_the_return_and_again_counts_once(house: House) -> None:
    type_card(top_up(house).action_url)
    for event in house.events("checkout.session.completed") * 2 + house.events("payment_intent.succeeded"):
        deliver(event)

    def work_off() -> None:
        for event in ProcessorEvent.objects.order_by("pk"):
            webhooks.process_event(event_id=event.pk, now=moment())

    at_once(work_off, times=3)
    assert (len(bought(house)), house.mails(), look(house)) == (1, ["top_up"], None)
    call_command("audit")


def test_a_card_on_file_pays_at_once(house: House) -> None:
    method = leave_card(house)
    payment = top_up(house, method=method)
    assert (payment.status, house.taken(), len(bought(house))) == (Status.SUCCEEDED, AMOUNT, 1)
    call_command("audit")


def test_a_card_that_is_refused_buys_nothing_and_the_page_is_next(house: House) -> None:
    method = leave_card(house, "authenticates")
    payment = top_up(house, method=method)
    assert (payment.status, payment.failure) == (Status.FAILED, "authentication_required")
    assert (bought(house), house.mails()) == ([], []), "who clicked sees it on the page"
    type_card(top_up(house).action_url)
    look(house)
    assert (house.taken(), len(bought(house))) == (AMOUNT, 1)
    call_command("audit")


# Clicks and answers


def test_a_form_that_is_sent_twice_buys_once(house: House) -> None:
    method, key = leave_card(house), uuid4()
    first, second = top_up(house, key=key, method=method), top_up(house, key=key, method=method)
    assert (first.pk, second.status, house.taken()) == (second.pk, Status.SUCCEEDED, AMOUNT)
    assert len(at_once(lambda: top_up(house, key=key, method=method), times=4)) == 4
    assert (house.taken(), len(bought(house)), len(house.payments())) == (AMOUNT, 1, 1)


def test_clicks_at_once_make_one_page(house: House) -> None:
    house.processor.order({"fault": "slow:0.5", "where": "POST /v1/checkout/sessions"})
    payments = at_once(lambda: top_up(house), times=5)
    assert {payment.action_url for payment in payments} == {house.payment().action_url}


def test_another_amount_closes_the_page_of_the_first(house: House) -> None:
    first = top_up(house)
    assert top_up(house).pk == first.pk
    second = top_up(house, amount=Decimal(70_000))
    assert second.pk != first.pk
    type_card(first.action_url)
    type_card(second.action_url)
    look(house)
    assert ([amount for amount, *_rest in bought(house)], house.taken()) == ([70_000], 70_000)
    assert [payment.status for payment in house.payments()] == [Status.CANCELED, Status.SUCCEEDED]


@pytest.mark.parametrize("fault", ["accept-then-drop", "sticky-500-committed", "status-500"])
def test_a_charge_whose_answer_is_lost_blocks_the_next_and_counts_once(house: House, fault: str) -> None:
    method = leave_card(house)
    house.processor.order({"fault": fault, "where": "POST /v1/payment_intents"})
    payment = top_up(house, method=method)
    assert payment.status == Status.UNKNOWN
    assert top_up(house, method=method).pk == payment.pk
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.taken(), len(bought(house)), house.payment().status) == (AMOUNT, 1, Status.SUCCEEDED)
    call_command("audit")


def test_a_page_whose_answer_is_lost_is_found_by_the_next_click(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "OTHER_CLICK_SECONDS", 0.1)
    house.processor.order({"fault": "accept-then-drop", "where": "POST /v1/checkout"})
    first = top_up(house)
    second = top_up(house)
    assert (first.status, second.pk, second.status) == (Status.UNKNOWN, first.pk, Status.REQUIRES_ACTION)


def test_a_500_that_sticks_ends_and_makes_room(house: House) -> None:
    house.processor.order({"fault": "sticky-500", "where": "POST /v1/checkout"})
    top_up(house)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=3))
    assert house.payment().status == Status.FAILED
    assert top_up(house).status == Status.REQUIRES_ACTION
    assert (bought(house), house.mails()) == ([], [])


def test_money_for_a_top_up_that_was_given_up_is_credit_after_all(house: House) -> None:
    first = top_up(house)
    with tenant_scope([house.organization_id]):
        Payment.objects.filter(pk=first.pk).update(status=Status.CANCELED)
    type_card(first.action_url)
    deliver(house.events("checkout.session.completed")[0])
    for event in ProcessorEvent.objects.order_by("pk"):
        webhooks.process_event(event_id=event.pk, now=moment())
    late = house.payments()[1]
    assert (bought(house), house.taken()) == ([(AMOUNT, "paid", f"top-up:{late.pk}")], AMOUNT)
    call_command("audit")


def test_late_money_of_a_card_on_file_names_the_card(house: House) -> None:
    method = leave_card(house)
    house.processor.order({"fault": "accept-then-drop", "where": "POST /v1/payment_intents"})
    first = top_up(house, method=method)
    with tenant_scope([house.organization_id]):
        Payment.objects.filter(pk=first.pk).update(status=Status.CANCELED)
    deliver(house.events("payment_intent.succeeded")[0])
    for event in ProcessorEvent.objects.order_by("pk"):
        webhooks.process_event(event_id=event.pk, now=moment())
    late = house.payments()[1]
    assert (late.method_id, late.status, len(bought(house))) == (method.pk, Status.SUCCEEDED, 1)
    call_command("audit")


def test_a_top_up_and_an_invoice_are_paid_side_by_side(house: House) -> None:
    page, paid = top_up(house), house.pay()
    type_card(page.action_url)
    type_card(paid.action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.status(), house.taken(), house.balance().prepaid) == ("paid", AMOUNT + DUE, AMOUNT)
    assert sorted(house.mails()) == ["receipt", "top_up"]
    call_command("audit")


# What cannot be bought


@pytest.mark.parametrize("amount", ["4999", "10000001", "5000.5", "-50000", "0"])
def test_amounts_out_of_bounds_are_refused(house: House, amount: str) -> None:
    with pytest.raises(top_ups.TopUpNotPossible):
        top_up(house, amount=Decimal(amount))
    assert house.payments() == []


def test_the_processor_narrows_the_bounds(house: House, settings: Settings) -> None:
    settings.TOP_UP_MINIMUM = {"KRW": Decimal(1)}
    settings.TOP_UP_MAXIMUM = {"KRW": Decimal(10) ** 12}
    assert top_ups.bounds_of("KRW") == top_ups.Bounds(Decimal(100), Decimal(99_999_999))
    settings.STRIPE_SECRET_KEY = ""
    with pytest.raises(NoCardProcessor):
        top_up(house)


def test_a_neighbours_card_buys_nothing(house: House) -> None:
    method = leave_card(house)
    with pytest.raises(PaymentMethod.DoesNotExist):
        top_ups.start_top_up(
            organization=house.cast.globex.organization,
            amount=AMOUNT,
            request_key=uuid4(),
            user=house.cast.globex.owner,
            method_id=method.pk,
            now=moment(),
        )
    assert house.taken() == 0
