"""Money that leaves at the processor without us: written down once, with an alarm until somebody has seen to it."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import Alarm, AuditEntry
from accounts.tenancy import tenant_scope
from billing.models import ProcessorEvent, ProcessorOutflow
from billing.payments import unresolved, webhooks
from billing.payments.outflows import AlreadySettled, settle_outflow
from tests.billing.collecting import DUE, House, deliver, moment, type_card
from tests.billing.correcting import REFUND, note_on, refunds
from tests.billing.test_top_ups import AMOUNT, look, top_up

STRIPE = {"Authorization": "Bearer sk_test_x"}


@pytest.fixture
def paid(house: House) -> House:
    type_card(house.pay().action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    return house


def refund_there(house: House, amount: int) -> dict[str, Any]:
    """Somebody sends money back at the processor's own desk."""
    form = f"payment_intent={intent_of(house)}&amount={amount}".encode()
    return dict(house.processor.call("POST", "/v1/refunds", form, headers=STRIPE)[2])


def intent_of(house: House) -> str:
    [intent] = house.processor.get("/sandbox/ledger")["intents"]
    return str(intent["id"])


def dispute(house: House) -> dict[str, Any]:
    [charge] = [row for row in house.processor.get("/sandbox/ledger")["entries"] if row["type"] == "charge"]
    return dict(house.processor.call("POST", f"/sandbox/charges/{charge['id']}/dispute", {})[2])


def hear(house: House, kind: str) -> list[str]:
    """All events of that kind, each delivered twice; their outcomes."""
    outcomes = []
    for event in house.events(kind):
        assert [deliver(event).status_code for _time in range(2)] == [200, 200]
        row = ProcessorEvent.objects.get(event_id=event["id"])
        assert webhooks.process_event(event_id=row.pk, now=moment())
        row.refresh_from_db()
        outcomes.append(row.outcome)
    return outcomes


def outflows(house: House) -> list[tuple[str, int, str]]:
    with tenant_scope([house.organization_id]):
        rows = ProcessorOutflow.objects.order_by("pk").values_list("kind", "amount", "status")
        return [(kind, int(amount), status) for kind, amount, status in rows]


def alarms() -> list[str]:
    return list(
        Alarm.objects.using("system")
        .filter(cleared_at=None, kind="processor_outflow")
        .values_list("subject", flat=True)
    )


@pytest.mark.parametrize("kind", ["refund.created", "charge.refunded"])
def test_a_refund_made_at_the_processor_is_written_down_once(paid: House, kind: str) -> None:
    made = refund_there(paid, 700)
    assert hear(paid, kind) == ["noted for an operator"]
    assert (outflows(paid), alarms()) == ([("refund", 700, "succeeded")], [made["id"]])
    assert set(hear(paid, "refund")) == {"noted for an operator", "nothing to do"}
    assert len(outflows(paid)) == 1
    call_command("audit")


def test_our_own_refunds_are_none(paid: House) -> None:
    note_on(paid, {1: 1000}, money_back=REFUND)
    hear(paid, "refund")
    assert (outflows(paid), alarms()) == ([], [])


def test_a_card_is_not_refunded_what_somebody_sent_back_there(paid: House) -> None:
    refund_there(paid, DUE - 100)
    hear(paid, "refund.created")
    note = note_on(paid, money_back=REFUND)
    assert [row.amount for row in refunds(paid)] == [100]
    assert (note.to_refund, paid.taken()) == (DUE, 0)


def test_a_dispute_alarms_until_somebody_says_what_was_done(paid: House) -> None:
    made = dispute(paid)
    assert hear(paid, "charge.dispute.created") == ["noted for an operator"]
    assert (outflows(paid), alarms()) == ([("dispute", DUE, "needs_response")], [made["id"]])
    with tenant_scope([paid.organization_id]):
        row = ProcessorOutflow.objects.get()
    named: dict[str, Any] = {"organization_id": paid.organization_id, "outflow_id": row.pk, "actor": paid.cast.operator}
    settle_outflow(**named, what_was_done="Answered", now=moment())
    with pytest.raises(AlreadySettled):
        settle_outflow(**named, what_was_done="Again", now=moment())
    assert alarms() == []
    assert AuditEntry.objects.using("system").get(action="outflow.settled").detail["reason"] == "Answered"


@pytest.mark.parametrize(("outcome", "open_ones"), [("won", 0), ("lost", 1)])
def test_a_dispute_that_is_won_ends_its_alarm(paid: House, outcome: str, open_ones: int) -> None:
    made = dispute(paid)
    hear(paid, "charge.dispute.created")
    paid.processor.call("POST", f"/sandbox/disputes/{made['id']}/end", {"outcome": outcome})
    hear(paid, "charge.dispute.closed")
    assert (outflows(paid), len(alarms())) == ([("dispute", DUE, outcome)], open_ones)


def test_of_a_top_up_too(house: House) -> None:
    type_card(top_up(house).action_url)
    look(house)
    refund_there(house, 1000)
    assert hear(house, "refund.created") == ["noted for an operator"]
    assert outflows(house) == [("refund", 1000, "succeeded")]
    assert house.taken() == AMOUNT - 1000


def test_money_of_others_is_none_of_ours(paid: House) -> None:
    refund_there(paid, 100)
    [event] = paid.events("refund.created")
    event["data"]["object"]["payment_intent"] = "pi_of_somebody_else"
    assert deliver(event).status_code == 200
    row = ProcessorEvent.objects.get(event_id=event["id"])
    assert webhooks.process_event(event_id=row.pk, now=moment())
    row.refresh_from_db()
    assert (row.outcome, outflows(paid)) == ("no payment of ours", [])
