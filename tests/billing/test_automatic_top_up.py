"""Credit that runs low is bought by itself: once for a fall, within the month's cap, and not again after a refusal."""

import threading
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing.cards import automatic_top_up, payment_methods
from billing.cards.automatic_top_up import State
from billing.mail.mail_texts import compose
from billing.models import AutomaticTopUp, CollectionSetting, OutboxMail, Payment, PaymentMethod
from billing.overdue import suspension
from billing.payments import top_ups, unresolved
from ledger.credits import grant_credit
from ledger.models import CreditGrant
from pricing.tokens import TokenUsage
from tests.billing.collecting import House, at_once, moment
from tests.billing.keeping import leave_card
from tests.stories import use

Status = Payment.Status
THRESHOLD, AMOUNT, CAP = Decimal(10_000), Decimal(20_000), Decimal(50_000)


def switch(house: House, *, on: bool = True, cap: Decimal = CAP, amount: Decimal = AMOUNT) -> AutomaticTopUp:
    return automatic_top_up.set_automatic_top_up(
        organization=house.invoice.organization,
        on=on,
        threshold=THRESHOLD,
        amount=amount,
        monthly_cap=cap,
        actor=house.owner,
        now=moment(),
    )


def sweep(*, now: datetime | None = None) -> int:
    return automatic_top_up.top_up_all(now=now or moment())


def state(house: House) -> State:
    with tenant_scope([house.organization_id]):
        return automatic_top_up.standing_of(house.invoice.organization, now=moment()).state


def spend(house: House, won: int) -> None:
    """Use so many won, VAT included, in the running month."""
    use(
        house.invoice.organization,
        at=moment(),
        usage=TokenUsage(input_tokens=won * 1_000_000 // 66 * 10 // 11, output_tokens=0),
    )


def prepaid(house: House) -> Decimal:
    return house.balance().prepaid


@pytest.fixture
def low(house: House) -> House:
    """Acme has no credit left, an open invoice and a card that pays."""
    leave_card(house)
    switch(house)
    return house


def test_credit_is_bought_when_it_falls_low_and_not_before(house: House) -> None:
    organization = house.invoice.organization
    leave_card(house)
    grant = {"organization": organization, "currency": "KRW", "kind": CreditGrant.Kind.PROMOTIONAL, "reason": "Gift"}
    grant_credit(**grant, amount=THRESHOLD + house.invoice.amount_due + 1000, key="gift", now=moment())  # type: ignore[arg-type]
    assert sweep() == 0, "it is not switched on"
    switch(house)
    assert sweep() == 0, "there is enough"
    spend(house, 2000)
    assert sweep() == 1
    assert (house.taken(), house.mails(), house.payment().started_by) == (AMOUNT, ["top_up"], None)
    assert sweep() == 0, "there is enough again"
    call_command("audit")


def test_it_is_bought_again_at_the_next_fall_up_to_the_months_cap(low: House) -> None:
    assert [sweep(), sweep()] == [1, 0]
    spend(low, 15_000)
    assert (state(low), sweep()) == (State.ON, 1)
    spend(low, 20_000)
    assert (sweep(), state(low), low.taken()) == (0, State.CAP_REACHED, 2 * AMOUNT)
    next_month = (moment().astimezone(ZoneInfo("Asia/Seoul")).replace(day=28) + timedelta(days=5)).replace(day=2)
    assert (sweep(now=next_month), low.taken()) == (1, 3 * AMOUNT)
    call_command("audit")


def test_who_has_bought_all_that_a_month_allows_keeps_nobody_from_the_sweep(
    low: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stays low at the cap is seen by no sweep, so that they cannot fill it."""
    monkeypatch.setattr(automatic_top_up, "MOST", 1)
    switch(low, cap=AMOUNT)
    assert sweep() == 1
    spend(low, 20_000)
    assert (state(low), automatic_top_up.low_organizations(now=moment())) == (State.CAP_REACHED, [])
    switch(low)
    assert automatic_top_up.low_organizations(now=moment()) == [low.organization_id]


def test_nothing_is_bought_while_calls_are_refused(low: House) -> None:
    suspension.suspend(organization_id=low.organization_id, reason="Misuse", now=moment(), actor=None)
    assert (sweep(), low.taken()) == (0, 0)
    suspension.restore(organization_id=low.organization_id, reason="Cleared up", now=moment(), actor=None)
    assert sweep() == 1


def test_what_a_person_buys_does_not_count_to_the_cap(low: House) -> None:
    with tenant_scope([low.organization_id]):
        method = PaymentMethod.objects.get()
    top_ups.start_top_up(
        organization=low.invoice.organization,
        amount=Decimal(5000),
        request_key=low.invoice.pk,
        user=low.owner,
        method_id=method.pk,
        now=moment(),
    )
    with tenant_scope([low.organization_id]):
        assert automatic_top_up.standing_of(low.invoice.organization, now=moment()).bought == 0
    assert (sweep(), low.taken()) == (1, AMOUNT + 5000)


@pytest.mark.parametrize("card", ["succeeds", "declines_later"])
def test_sweeps_that_meet_buy_once_for_a_fall(house: House, monkeypatch: pytest.MonkeyPatch, card: str) -> None:
    """Both have seen the fall before either buys."""
    leave_card(house, card)
    switch(house)
    seen, low_organizations = threading.Barrier(2, timeout=60), automatic_top_up.low_organizations

    def both_seen(*, now: datetime) -> list[int]:
        found = low_organizations(now=now)
        seen.wait()
        return found

    monkeypatch.setattr(automatic_top_up, "low_organizations", both_seen)
    assert sorted(at_once(sweep, times=2)) == [0, 1]
    [intent] = house.processor.get("/sandbox/ledger")["intents"]
    assert (intent["attempts"], len(house.payments())) == (1, 1)
    call_command("audit")


@pytest.mark.parametrize(
    ("card", "why"),
    [("insufficient_funds", "not sufficient"), ("authenticates", "confirmation"), ("declines_later", "declined")],
)
def test_a_refusal_stops_it_with_a_mail_until_somebody_starts_it_again(house: House, card: str, why: str) -> None:
    leave_card(house, card)
    switch(house)
    assert sweep() == 1
    assert (state(house), house.taken(), house.mails()) == (State.STOPPED, 0, ["top_up_failed"])
    assert [sweep(), sweep(now=moment() + timedelta(days=1))] == [0, 0]
    with tenant_scope([house.organization_id]):
        mail = OutboxMail.objects.select_related("organization").get(kind="top_up_failed")
        mail.language = "en"
        letter = compose(mail)
    assert why in letter.text and "/o/acme/credit" in letter.text and "₩20,000" in letter.text
    better = leave_card(house)
    payment_methods.choose_default(
        organization=house.invoice.organization, method_id=better.pk, actor=house.owner, now=moment()
    )
    assert sweep() == 0, "another card does not start it by itself"
    switch(house)
    assert (sweep(), state(house), house.taken()) == (1, State.ON, AMOUNT)
    call_command("audit")


@pytest.mark.parametrize("fault", ["accept-then-drop", "sticky-500-committed", "drop"])
def test_an_answer_that_is_lost_blocks_until_it_is_known(low: House, fault: str) -> None:
    low.processor.order({"fault": fault, "where": "POST /v1/payment_intents"})
    assert sweep() == 1
    assert (low.payment().status, sweep(now=moment() + timedelta(hours=2))) == (Status.UNKNOWN, 0)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (low.taken(), sweep(), len(low.payments())) == (AMOUNT, 0, 1)
    call_command("audit")


def test_while_a_person_is_on_the_page_nothing_is_bought(low: House) -> None:
    top_ups.start_top_up(
        organization=low.invoice.organization,
        amount=AMOUNT,
        request_key=low.invoice.pk,
        user=low.owner,
        now=moment(),
    )
    assert sweep() == 0
    assert automatic_top_up.top_up(organization_id=low.organization_id, now=moment()) is None
    top_ups.look_again(organization_id=low.organization_id, wanted=False, now=moment())
    assert sweep() == 1


def test_what_is_switched_off_or_has_no_card_buys_nothing(low: House, settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = ""
    assert sweep() == 0
    settings.STRIPE_SECRET_KEY = "sk_test_collecting"
    switch(low, on=False)
    assert (sweep(), state(low)) == (0, State.OFF)
    switch(low)
    CollectionSetting.objects.using("system").update(default_method=None)
    assert (sweep(), low.payments()) == (0, [])
    with pytest.raises(payment_methods.NoMethod):
        switch(low)


def test_its_card_is_not_removed(low: House) -> None:
    with tenant_scope([low.organization_id]):
        method = PaymentMethod.objects.get()
    remove = {"organization": low.invoice.organization, "method_id": method.pk, "actor": low.owner, "now": moment()}
    with pytest.raises(payment_methods.MethodNeeded):
        payment_methods.remove_method(**remove)  # type: ignore[arg-type]
    switch(low, on=False)
    payment_methods.remove_method(**remove)  # type: ignore[arg-type]


def test_amounts_are_checked_and_noted(house: House) -> None:
    leave_card(house)
    for wrong, error in (
        ({"amount": Decimal(100)}, top_ups.TopUpNotPossible),
        ({"cap": AMOUNT - 1}, automatic_top_up.InvalidAmounts),
        ({"cap": CAP + Decimal("0.5")}, automatic_top_up.InvalidAmounts),
    ):
        with pytest.raises(error):
            switch(house, **wrong)
    switch(house)
    [entry] = AuditEntry.objects.using("system").filter(action="automatic_top_up.set")
    assert entry.detail == {"on": True, "threshold": "10000", "amount": "20000", "monthly_cap": "50000"}


def test_an_overrun_is_bought_out_of_step_by_step(low: House) -> None:
    """What may be spent is far below zero: each sweep buys once, on the balance that the one before left."""
    spend(low, 25_000)
    assert [sweep(), sweep(), sweep()] == [1, 1, 0]
    assert (low.taken(), state(low)) == (2 * AMOUNT, State.CAP_REACHED)
