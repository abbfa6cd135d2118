"""A card is left once, whoever tells of it: the page's return, the webhook, a sweep; and is removed for good."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry, Organization
from accounts.tenancy import tenant_scope
from billing import collection
from billing.cards import card_setups, payment_methods
from billing.closures import asking, finishing
from billing.models import CardSetup, Payment, PaymentMethod, ProcessorCustomer, ProcessorEvent
from billing.payments import unresolved, webhooks
from billing.processors.interface import ProcessorUnreachable, Setup
from billing.processors.selection import NoCardProcessor
from billing.processors.stripe_processor import StripeProcessor
from tests.billing.collecting import DUE, House, at_once, deliver, moment, open_invoice, submit, type_card
from tests.billing.keeping import leave_card, methods, pay_by_itself, setups, start
from tests.billing.test_bank_transfers import transfer


def work_off() -> None:
    for event in ProcessorEvent.objects.order_by("pk"):
        webhooks.process_event(event_id=event.pk, now=moment())


def default(house: House) -> int | None:
    with tenant_scope([house.organization_id]):
        return payment_methods.setting_of(house.invoice.organization).default_method_id


def listed(house: House, path: str) -> list[dict[str, Any]]:
    """What the processor has of something."""
    found: list[dict[str, Any]] = house.processor.call("GET", path, headers={"Authorization": "Bearer sk_test_x"})[2][
        "data"
    ]
    return found


def actions() -> list[str]:
    entries = AuditEntry.objects.using("system").filter(action__startswith="payment_method.").order_by("pk")
    return list(entries.values_list("action", flat=True))


def test_a_card_is_left_and_becomes_the_one_to_pay_with(house: House) -> None:
    method = leave_card(house)
    assert (method.label, str(method.expires_on), method.added_by) == ("Visa 4242", "2034-12-31", house.owner)
    assert (default(house), setups(house), actions()) == (method.pk, ["succeeded"], ["payment_method.added"])
    second = leave_card(house)
    assert default(house) == method.pk, "a further card changes nothing by itself"
    assert second.customer_reference == method.customer_reference, "the processor's customer is used again"
    assert ProcessorCustomer.objects.using("system").count() == 1
    assert len(listed(house, "/v1/customers")) == 1


def test_a_card_that_wants_its_holder_is_left_after_that(house: House) -> None:
    setup = start(house)
    _status, location = type_card(setup.action_url, "authenticates_once")
    assert card_setups.look_again(organization_id=house.organization_id, now=moment()).status == "open"  # type: ignore[union-attr]
    submit(house.processor.url + location, {"outcome": "passed"})
    card_setups.look_again(organization_id=house.organization_id, now=moment())
    assert [method.label for method in methods(house)] == ["Visa 3155"]


def test_a_customer_who_closes_the_tab_has_the_card_by_the_sweep(house: House) -> None:
    type_card(start(house).action_url)
    assert card_setups.sweep_setups(now=moment()) == 0, "the customer may just be coming back"
    assert card_setups.sweep_setups(now=moment() + timedelta(minutes=1)) == 1
    assert (len(methods(house)), setups(house)) == (1, ["succeeded"])


def test_the_sweep_stops_while_the_processor_is_dead(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    globex = House(house.cast, open_invoice(house.cast.globex), house.processor)
    for customer in (house, globex):
        type_card(start(customer).action_url)

    def dead(*_: object, **__: object) -> Setup:
        raise ProcessorUnreachable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(card_setups, "MOST_IN_VAIN", 1)
        patch.setattr(StripeProcessor, "look_up_setup", dead)
        assert card_setups.sweep_setups(now=moment() + timedelta(minutes=1)) == 1
    assert card_setups.sweep_setups(now=moment() + timedelta(minutes=3)) == 2
    assert (setups(house), setups(globex)) == (["succeeded"], ["succeeded"])


def test_a_page_that_nobody_used_ends_and_leaves_nothing(house: House) -> None:
    setup = start(house)
    house.processor.call(
        "POST", f"/v1/checkout/sessions/{setup.reference}/expire", b"", {"Authorization": "Bearer sk_test_x"}
    )
    card_setups.sweep_setups(now=moment() + timedelta(hours=2))
    assert (methods(house), setups(house), default(house)) == ([], ["ended"], None)
    assert card_setups.sweep_setups(now=moment() + timedelta(days=1)) == 0


def test_the_webhook_twice_before_the_return_keeps_one_card(house: House) -> None:
    type_card(start(house).action_url)
    [event] = house.events("checkout.session.completed")
    for _time in range(2):
        assert deliver(event).status_code == 200
    at_once(work_off, times=3)
    work_off()
    assert (len(methods(house)), actions()) == (1, ["payment_method.added"])
    assert card_setups.look_again(organization_id=house.organization_id, now=moment()) is None
    [kept] = ProcessorEvent.objects.filter(type="checkout.session.completed")
    assert (kept.outcome, kept.payload["payment"]) == ("succeeded", "")


def test_a_webhook_that_comes_before_our_own_answer_finds_the_card(house: House) -> None:
    house.processor.order({"fault": "accept-then-drop", "where": "POST /v1/checkout"})
    setup = start(house)
    assert (setup.status, setup.action_url) == ("unknown", "")
    [session] = listed(house, "/v1/checkout/sessions")
    type_card(session["url"])
    deliver(house.events("checkout.session.completed")[0])
    work_off()
    assert [method.label for method in methods(house)] == ["Visa 4242"]


def test_everybody_at_once_keeps_one_card(house: House) -> None:
    setup = start(house)
    type_card(setup.action_url)
    done = at_once(
        lambda: card_setups.finish_setup(organization_id=house.organization_id, setup_id=setup.pk, now=moment()).status,
        times=5,
    )
    assert (set(done), len(methods(house)), actions()) == ({"succeeded"}, 1, ["payment_method.added"])


def test_an_answer_that_was_overtaken_changes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep asked before the card was left, and writes after the return has told of it."""
    setup, ask = start(house), card_setups._ask

    def slowly(setup: CardSetup, **asked: Any) -> Setup:
        answer = ask(setup, **asked)
        monkeypatch.setattr(card_setups, "_ask", ask)
        type_card(setup.action_url)
        card_setups.look_again(organization_id=house.organization_id, now=moment())
        return answer

    monkeypatch.setattr(card_setups, "_ask", slowly)
    card_setups.sweep_setups(now=moment() + timedelta(minutes=1))
    assert (setups(house), len(methods(house)), setup.status) == (["succeeded"], 1, "open")


def test_a_page_that_is_open_is_shown_again_and_clicks_at_once_make_one(house: House) -> None:
    first = start(house)
    pages = at_once(lambda: start(house).action_url, times=4)
    assert set(pages) == {first.action_url}
    assert setups(house) == ["open"]


def test_a_click_after_a_card_was_left_unnoticed_opens_another_page(house: House) -> None:
    first = start(house)
    type_card(first.action_url)
    second = start(house)
    assert second.pk != first.pk and second.action_url
    assert (len(methods(house)), setups(house)) == (1, ["succeeded", "open"])


@pytest.mark.parametrize("where", ["POST /v1/customers", "POST /v1/checkout"], ids=["the customer", "the page"])
@pytest.mark.parametrize("fault", ["accept-then-drop", "drop", "status-500"])
def test_an_answer_that_is_lost_is_asked_for_again_under_its_key(house: House, fault: str, where: str) -> None:
    house.processor.order({"fault": fault, "where": where})
    assert start(house).status == "unknown"
    again = start(house)
    assert (again.status, len(setups(house))) == ("open", 1)
    assert [len(listed(house, path)) for path in ("/v1/customers", "/v1/checkout/sessions")] == [1, 1]


def test_a_500_that_sticks_to_its_key_ends_with_its_attempt(house: House) -> None:
    house.processor.order({"fault": "sticky-500", "where": "POST /v1/checkout"})
    assert start(house).status == "unknown"
    card_setups.sweep_setups(now=moment() + timedelta(minutes=1))
    assert setups(house) == ["unknown"], "the page might still be on its way"
    card_setups.sweep_setups(now=moment() + timedelta(minutes=3))
    assert setups(house) == ["ended"]
    assert start(house).status == "open"


def test_without_a_card_processor_there_is_no_page(house: House, settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = ""
    with pytest.raises(NoCardProcessor):
        start(house)
    assert setups(house) == []


# Taking a card away


def remove(house: House, method: PaymentMethod) -> PaymentMethod:
    return payment_methods.remove_method(
        organization=house.invoice.organization, method_id=method.pk, actor=house.owner, now=moment()
    )


def at_processor(house: House, method: PaymentMethod) -> str | None:
    path = f"/v1/payment_methods/{method.reference}"
    answer = house.processor.call("GET", path, headers={"Authorization": "Bearer sk_test_x"})[2]
    found: str | None = answer["customer"]
    return found


def test_a_card_that_is_removed_is_forgotten_at_the_processor(house: House) -> None:
    first, second = leave_card(house), leave_card(house)
    remove(house, first)
    assert (at_processor(house, first), default(house)) == (None, second.pk)
    remove(house, second)
    assert (at_processor(house, second), default(house)) == (None, None)
    assert all(method.removed_at and method.detached_at for method in methods(house))
    with pytest.raises(PaymentMethod.DoesNotExist):
        remove(house, first)
    assert actions() == ["payment_method.added"] * 2 + ["payment_method.removed"] * 2


def test_a_processor_that_is_away_is_told_later(house: House) -> None:
    method = leave_card(house)
    house.processor.order({"fault": "drop", "where": "/detach"})
    remove(house, method)
    assert at_processor(house, method) == method.customer_reference
    with pytest.raises(PaymentMethod.DoesNotExist):
        collection.charge_invoice(
            organization_id=house.organization_id, invoice_id=house.invoice.pk, method_id=method.pk, now=moment()
        )
    assert payment_methods.forget_removed(now=moment()) == 1
    assert (at_processor(house, method), payment_methods.forget_removed(now=moment())) == (None, 0)


def test_a_card_that_nobody_can_forget_keeps_no_other_waiting(house: House) -> None:
    PaymentMethod.objects.using("system").create(
        organization=house.invoice.organization,
        processor="closed",
        reference="pm_1",
        label="Visa",
        created_at=moment(),
        removed_at=moment() - timedelta(days=1),
    )
    method = leave_card(house)
    house.processor.order({"fault": "drop", "where": "/detach"})
    remove(house, method)
    assert (payment_methods.forget_removed(now=moment()), at_processor(house, method)) == (1, None)


def test_a_card_that_pays_by_itself_stays_until_another_takes_its_place(house: House) -> None:
    first, second = leave_card(house), leave_card(house)
    pay_by_itself(house)
    with pytest.raises(payment_methods.MethodNeeded):
        remove(house, first)
    payment_methods.choose_default(
        organization=house.invoice.organization, method_id=second.pk, actor=house.owner, now=moment()
    )
    remove(house, first)
    pay_by_itself(house, on=False)
    remove(house, second)
    with pytest.raises(payment_methods.NoMethod):
        pay_by_itself(house)


def test_a_card_with_which_somebody_is_paying_stays_until_that_is_known(house: House) -> None:
    method = leave_card(house)
    house.processor.order({"fault": "accept-then-drop", "where": "POST /v1/payment_intents"})
    payment = collection.charge_invoice(
        organization_id=house.organization_id, invoice_id=house.invoice.pk, method_id=method.pk, now=moment()
    )
    assert payment.status == Payment.Status.UNKNOWN
    with pytest.raises(payment_methods.MethodInUse):
        remove(house, method)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    remove(house, method)
    assert (house.taken(), house.payment().status) == (DUE, Payment.Status.SUCCEEDED)
    call_command("audit")


def test_a_neighbours_card_is_not_there(house: House) -> None:
    method = leave_card(house)
    neighbour = house.cast.globex.organization
    for deed in (payment_methods.remove_method, payment_methods.choose_default):
        with pytest.raises(PaymentMethod.DoesNotExist):
            deed(organization=neighbour, method_id=method.pk, actor=None, now=moment())
    with tenant_scope([neighbour.pk]):
        assert payment_methods.cards_of(neighbour, now=moment()) == []


def test_a_card_that_is_left_after_the_organization_was_closed_is_forgotten(house: House) -> None:
    """Its page was open when the closing removed every card."""
    transfer(house)
    setup, now = start(house), moment()
    asking.ask_for_closure(organization_id=house.organization_id, at_once=True, now=now, actor=house.owner)
    finishing.finish_all(now=now + timedelta(minutes=2))
    assert Organization.objects.using("system").get(pk=house.organization_id).status == Organization.Status.CLOSED
    type_card(setup.action_url)
    card_setups.sweep_setups(now=now + timedelta(minutes=3))
    assert setups(house) == ["succeeded"]
    left = PaymentMethod.objects.using("system").get()
    assert left.removed_at is not None and default(house) is None
    assert payment_methods.forget_removed(now=now + timedelta(minutes=4)) == 1
