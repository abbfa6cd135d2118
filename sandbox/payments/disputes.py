"""Disputes: a card's bank takes the money of a charge back. They begin by the control route, as banks do it: nobody here asks."""

from sandbox.payments import charges
from sandbox.payments.books import Object, new_id
from sandbox.payments.desk import Desk


def begin(desk: Desk, charge_id: str) -> Object:
    charge = desk.books.get("charge", charge_id)
    dispute: Object = {
        "id": new_id("dp"),
        "object": "dispute",
        "amount": charge["amount"],
        "charge": charge["id"],
        "created": desk.books.now(),
        "currency": charge["currency"],
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": "fraudulent",
        "status": "needs_response",
    }
    entry = charges.write_balance_transaction(desk, dispute, amount=-charge["amount"], fee=0, kind="dispute")
    desk.books.put(dispute := dispute | {"balance_transactions": [entry]})
    desk.books.put(charge | {"disputed": True, "dispute": dispute["id"]})
    desk.tell("charge.dispute.created", dispute)
    return dispute


def end(desk: Desk, dispute_id: str, *, won: bool) -> Object:
    dispute = desk.books.put(desk.books.get("dispute", dispute_id) | {"status": "won" if won else "lost"})
    desk.tell("charge.dispute.closed", dispute)
    return dispute
