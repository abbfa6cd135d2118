"""The processor's own account of the money, to compare ours with: every charge and refund, and the sums."""

from typing import Any

from sandbox.payments.books import Books

NO_LIMIT = 1_000_000


def report(books: Books) -> dict[str, Any]:
    """`entries` oldest first; `totals` by currency of what succeeded; `intents` with the attempts that each took."""
    intents = {intent["id"]: intent for intent in books.newest("payment_intent", limit=NO_LIMIT)}
    charges = books.newest("charge", limit=NO_LIMIT)[::-1]
    refunds = books.newest("refund", limit=NO_LIMIT)[::-1]
    totals: dict[str, dict[str, int]] = {}
    for entry in (*charges, *refunds):
        if entry["status"] == "succeeded":
            sums = totals.setdefault(entry["currency"], {"charged": 0, "refunded": 0, "net": 0})
            sums["charged" if entry["object"] == "charge" else "refunded"] += entry["amount"]
            sums["net"] += entry["amount"] if entry["object"] == "charge" else -entry["amount"]
    entries = [_entry(entry, intents) for entry in (*charges, *refunds)]
    return {
        "entries": sorted(entries, key=lambda entry: entry["created"]),
        "totals": totals,
        "intents": [
            {
                "id": intent["id"],
                "status": intent["status"],
                "amount": intent["amount"],
                "amount_received": intent["amount_received"],
                "currency": intent["currency"],
                "customer": intent["customer"],
                "metadata": intent["metadata"],
                "idempotency_key": intent["_key"],
                "attempts": sum(charge["payment_intent"] == intent["id"] for charge in charges),
                "succeeded": sum(
                    charge["payment_intent"] == intent["id"] and charge["status"] == "succeeded" for charge in charges
                ),
            }
            for intent in reversed(intents.values())
        ],
    }


def _entry(entry: dict[str, Any], intents: dict[str, Any]) -> dict[str, Any]:
    intent = intents.get(entry["payment_intent"], {})
    return {
        "id": entry["id"],
        "type": entry["object"],
        "payment_intent": entry["payment_intent"],
        "customer": intent.get("customer"),
        "amount": entry["amount"],
        "currency": entry["currency"],
        "status": entry["status"],
        "created": entry["created"],
        "metadata": intent.get("metadata", {}),
        "idempotency_key": entry.get("_key") or intent.get("_key"),
        "failure_code": entry.get("failure_code"),
    }
