"""Charges an intent's card: it pays, it pays later, its issuer wants 3-D Secure, or it is refused."""

from sandbox.payments import cards, charges, payment_methods
from sandbox.payments.books import Object, public
from sandbox.payments.desk import Desk
from sandbox.payments.errors import ApiError, CardRefusedError


def charge_card(desk: Desk, intent: Object, *, present: bool) -> Object:
    """Charge the intent's card. With the cardholder `present` an issuer may ask for 3-D Secure; else that is a refusal."""
    method = desk.books.get("payment_method", intent["payment_method"])
    card = payment_methods.card_of(method)
    asks = card.authenticates == "always" or (card.authenticates == "setup" and not method["_authenticated"])
    if asks and not present:
        raise _refuse(desk, intent, method, code="authentication_required", decline_code="authentication_required")
    if asks:
        url = f"{desk.base_url}/authenticate/{intent['id']}"
        intent |= {
            "status": "requires_action",
            "next_action": {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": url, "return_url": intent["_return_url"]},
            },
        }
        desk.books.put(intent)
        desk.tell("payment_intent.requires_action", intent)
        return intent
    if card.code:
        raise _refuse(desk, intent, method, code=card.code, decline_code=card.decline_code)
    return _pay(desk, intent, method, later=card.settles_later)


def finish_authentication(desk: Desk, intent: Object, *, passed: bool) -> Object:
    """The cardholder is back from 3-D Secure; a failure leaves the intent asking for another card."""
    if intent["status"] != "requires_action":
        raise wrong_state(intent, "authenticated")
    method = desk.books.get("payment_method", intent["payment_method"])
    if passed:
        method["_authenticated"] = True
        return _pay(desk, intent, desk.books.put(method), later=False)
    message = "The cardholder could not be authenticated."
    code = "payment_intent_authentication_failure"
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": {"type": "invalid_request_error", "code": code, "message": message} | _shown(method),
    }
    desk.books.put(intent)
    desk.tell("payment_intent.payment_failed", intent)
    return intent


def _pay(desk: Desk, intent: Object, method: Object, *, later: bool) -> Object:
    charge = charges.write(desk, intent, method, status="pending" if later else "succeeded")
    intent |= {"latest_charge": charge["id"], "next_action": None, "last_payment_error": None}
    if intent["customer"] and intent["setup_future_usage"] and not method["customer"]:
        payment_methods.attach_to(desk, method, intent["customer"])
    elif not method["customer"]:
        desk.books.put(method | {"_used_up": True})
    if later:
        intent |= {"status": "processing", "_settles_at": desk.books.now() + desk.settle_seconds}
        desk.books.put(intent)
        desk.tell("payment_intent.processing", intent)
        return intent
    intent |= {"status": "succeeded", "amount_received": intent["amount"]}
    desk.books.put(intent)
    desk.tell("payment_intent.succeeded", intent)
    return intent


def settle(desk: Desk, intent: Object, *, succeeded: bool) -> Object:
    """A payment that was processing comes to its end."""
    if intent["status"] != "processing":
        raise wrong_state(intent, "settled")
    charge = desk.books.get("charge", intent["latest_charge"])
    if succeeded:
        charges.settle(desk, charge)
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        desk.books.put(intent)
        desk.tell("payment_intent.succeeded", intent)
        return intent
    message = cards.MESSAGES["generic_decline"]
    charge |= {"status": "failed", "failure_code": "card_declined", "failure_message": message}
    desk.books.put(charge)
    desk.tell("charge.failed", charge)
    error = {"type": "card_error", "code": "card_declined", "decline_code": "generic_decline", "message": message}
    intent |= {"status": "requires_payment_method", "payment_method": None, "last_payment_error": error}
    desk.books.put(intent)
    desk.tell("payment_intent.payment_failed", intent)
    return intent


def _refuse(desk: Desk, intent: Object, method: Object, *, code: str, decline_code: str) -> CardRefusedError:
    """Write the failed attempt down and return the error to raise; the attempt stays in the books."""
    message = cards.MESSAGES.get(decline_code, cards.MESSAGES["generic_decline"])
    failure: Object = {"type": "card_error", "code": code, "decline_code": decline_code, "message": message}
    charge = charges.write(desk, intent, method, status="failed", failure=failure)
    failure |= {"charge": charge["id"]} | _shown(method)
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "latest_charge": charge["id"],
        "last_payment_error": failure,
    }
    desk.books.put(intent)
    desk.tell("payment_intent.payment_failed", intent)
    more = {name: value for name, value in failure.items() if name in ("charge", "payment_method")}
    return CardRefusedError(message, code=code, decline_code=decline_code, payment_intent=public(intent), **more)


def _shown(method: Object) -> Object:
    return {"payment_method": public(method)}


def wrong_state(intent: Object, verb: str) -> ApiError:
    return ApiError(
        f"This payment intent cannot be {verb}: its status is {intent['status']}.",
        code="payment_intent_unexpected_state",
        began=True,
        payment_intent=public(intent),
    )
