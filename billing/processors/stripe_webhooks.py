"""Stripe's webhooks: the signature over the raw body is checked before a byte of it is read."""

import json
from datetime import datetime, timedelta
from typing import Any

import stripe

from billing.processors.interface import InvalidWebhook, Notice
from billing.processors.stripe_answers import OUR_REFUND, OUR_SETUP, OURS, as_id

TOLERANCE = timedelta(minutes=5)
"""How far a delivery's own moment may lie from ours, as Stripe recommends: an old one is a replay."""
TELLING = frozenset({
    "checkout.session.completed",
    "checkout.session.expired",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "payment_intent.succeeded",
    "payment_intent.processing",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
})  # fmt: skip
"""Events after which an attempt of ours, to be paid, to have a card left or to give money back, may stand elsewhere."""

LEAVING = ("charge.refunded", "refund.", "charge.dispute.")
"""How those begin that tell of money that leaves."""


def read_notice(body: bytes, signature: str, *, secret: str, live: bool, now: datetime) -> Notice:
    """The verified delivery. Raises InvalidWebhook."""
    if not secret:
        raise InvalidWebhook("no signing secret is set")
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, tolerance=None)
        sent_at = _moment(signature)
        event = json.loads(body)
    except (stripe.SignatureVerificationError, ValueError, RecursionError) as error:
        raise InvalidWebhook(type(error).__name__) from error
    if abs(now.timestamp() - sent_at) > TOLERANCE.total_seconds():
        raise InvalidWebhook("too old, or from the future")
    return _notice(event, live=live)


def _moment(signature: str) -> int:
    """The moment in the header, which the signature covers."""
    parts = dict(part.split("=", 1) for part in signature.split(",") if "=" in part)
    return int(parts.get("t", ""))


def _notice(event: Any, *, live: bool) -> Notice:
    try:
        if event["object"] != "event" or event["livemode"] is not live:
            raise InvalidWebhook("not an event of this mode")
        thing = event["data"]["object"]
        told = (thing.get("metadata") or {}) if event["type"] in TELLING else {}
        return Notice(
            event_id=str(event["id"]),
            type=str(event["type"]),
            object_reference=str(thing.get("id", "")),
            payment_id=as_id(told.get(OURS)),
            setup_id=as_id(told.get(OUR_SETUP)),
            refund_id=as_id(told.get(OUR_REFUND)),
            money_reference=str(thing.get("payment_intent") or "") if event["type"].startswith(LEAVING) else "",
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidWebhook("not an event") from error
