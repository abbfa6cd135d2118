"""Charges and balance transactions: what an attempt to pay leaves behind, and what reaches the balance."""

from sandbox.payments import money
from sandbox.payments.books import Object, new_id
from sandbox.payments.desk import Desk
from sandbox.payments.payment_methods import card_of, describe


def write(desk: Desk, intent: Object, method: Object, *, status: str, failure: Object | None = None) -> Object:
    """The charge of one attempt: succeeded, pending or failed. `failure` has code, decline_code and message."""
    charge: Object = {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX",
        "captured": False,
        "created": desk.books.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "destination": None,
        "dispute": None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": failure["code"] if failure else None,
        "failure_message": failure["message"] if failure else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(failure),
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"card": describe(card_of(method)), "type": "card"},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": status,
        "transfer_data": None,
        "transfer_group": None,
    }
    if status == "succeeded":
        return settle(desk, charge)
    desk.books.put(charge)
    desk.tell(f"charge.{status}", charge)
    return charge


def _outcome(failure: Object | None) -> Object:
    if failure is None:
        return {"network_status": "approved_by_network", "reason": None, "risk_level": "normal", "type": "authorized"}
    reason = failure.get("decline_code") or failure["code"]
    return {
        "network_status": "declined_by_network",
        "reason": reason,
        "risk_level": "normal",
        "type": "issuer_declined",
    }


def settle(desk: Desk, charge: Object) -> Object:
    """The money has come: the charge is paid and stands in the balance."""
    fee = money.fee(charge["amount"], charge["currency"])
    entry = write_balance_transaction(desk, charge, amount=charge["amount"], fee=fee, kind="charge")
    charge |= {
        "status": "succeeded",
        "paid": True,
        "captured": True,
        "amount_captured": charge["amount"],
        "balance_transaction": entry["id"],
    }
    desk.books.put(charge)
    desk.tell("charge.succeeded", charge)
    return charge


def write_balance_transaction(desk: Desk, source: Object, *, amount: int, fee: int, kind: str) -> Object:
    currency = source["currency"]
    details = {"amount": fee, "application": None, "currency": currency, "description": "Fees", "type": "stripe_fee"}
    return desk.books.put(
        {
            "id": new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": desk.books.now(),
            "created": desk.books.now(),
            "currency": currency,
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [details] if fee else [],
            "net": amount - fee,
            "reporting_category": kind,
            "source": source["id"],
            "status": "available",
            "type": kind,
        }
    )
