"""Refunds: money back, never more than was paid."""

from sandbox.payments import charges, money
from sandbox.payments.books import Object, new_id
from sandbox.payments.desk import Desk
from sandbox.payments.errors import ApiError
from sandbox.payments.forms import Params

REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def create(desk: Desk, params: Params) -> Object:
    params.only("payment_intent", "charge", "amount", "reason", "metadata", "currency")
    reason = params.choice("reason", *REASONS)
    charge = _charge_to_refund(desk, params)
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise ApiError(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded", began=True)
    amount = params.whole("amount", left) or 0
    if not 0 < amount <= left:
        shown = money.show(left, charge["currency"])
        raise ApiError(f"Refund amount must be between 1 and what is left, {shown}.", param="amount", began=True)
    refund: Object = {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": desk.books.now(),
        "currency": charge["currency"],
        "destination_details": {"card": {"type": "refund", "reference_status": "pending"}, "type": "card"},
        "metadata": params.metadata(),
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
        "_key": desk.journal.cause["idempotency_key"],
    }
    entry = charges.write_balance_transaction(desk, refund, amount=-amount, fee=0, kind="refund")
    desk.books.put(refund := refund | {"balance_transaction": entry["id"]})
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    desk.books.put(charge)
    desk.tell("refund.created", refund)
    desk.tell("charge.refunded", charge)
    return refund


def _charge_to_refund(desk: Desk, params: Params) -> Object:
    charge_id = params.text("charge")
    if charge_id is None:
        intent = desk.books.get("payment_intent", params.required("payment_intent"), param="payment_intent")
        charge_id = intent["latest_charge"]
        if intent["status"] != "succeeded" or charge_id is None:
            raise ApiError("This payment intent has no charge to refund.", param="payment_intent", began=True)
    charge = desk.books.get("charge", charge_id, param="charge")
    if charge["status"] != "succeeded":
        raise ApiError(f"Charge {charge_id} was not paid.", param="charge", began=True)
    return charge


def update(desk: Desk, params: Params, refund_id: str) -> Object:
    refund = desk.books.get("refund", refund_id)
    refund["metadata"] = params.only("metadata").metadata(refund["metadata"])
    return desk.books.put(refund)
