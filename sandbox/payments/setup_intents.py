"""Setup intents: a card is checked once, with its holder present, and kept for charges without the holder."""

from sandbox.payments import cards, payment_methods
from sandbox.payments.books import Object, new_id, public
from sandbox.payments.desk import Desk, http_url, known_customer
from sandbox.payments.errors import ApiError, CardRefusedError
from sandbox.payments.forms import Params

CONFIRMING = ("payment_method", "return_url", "use_stripe_sdk", "mandate_data")
CREATING = (*CONFIRMING, "customer", "usage", "description", "metadata", "payment_method_types", "confirm",
            "automatic_payment_methods", "payment_method_options")  # fmt: skip
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(desk: Desk, params: Params) -> Object:
    params.only(*CREATING)
    customer = known_customer(desk, params)
    intent = write(
        desk,
        customer_id=customer["id"] if customer else None,
        usage=params.choice("usage", "off_session", "on_session", default="off_session") or "off_session",
        metadata=params.metadata(),
        description=params.text("description"),
    )
    _take_method(desk, params, intent)
    return _confirm(desk, params, intent) if params.flag("confirm") else desk.books.put(intent)


def write(
    desk: Desk, *, customer_id: str | None, usage: str, metadata: dict[str, str], description: str | None
) -> Object:
    intent_id = new_id("seti")
    intent: Object = {
        "id": intent_id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{intent_id}_secret_{new_id('s')[2:]}",
        "created": desk.books.now(),
        "customer": customer_id,
        "description": description,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": metadata,
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": usage,
        "_return_url": None,
    }
    desk.books.put(intent)
    desk.tell("setup_intent.created", intent)
    return intent


def confirm(desk: Desk, params: Params, intent_id: str) -> Object:
    intent = retrieve(desk, params.only(*CONFIRMING), intent_id)
    if intent["status"] not in OPEN:
        raise _wrong_state(intent, "confirmed")
    _take_method(desk, params, intent)
    return _confirm(desk, params, intent)


def _take_method(desk: Desk, params: Params, intent: Object) -> None:
    method_id = params.text("payment_method")
    if method_id:
        method = payment_methods.named(desk, method_id)
        intent |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}


def _confirm(desk: Desk, params: Params, intent: Object) -> Object:
    if intent["payment_method"] is None:
        raise ApiError(
            "A payment method is needed to confirm this setup.", code="parameter_missing", param="payment_method"
        )
    intent["_return_url"] = http_url(params, "return_url", required=False)
    return check_card(desk, intent)


def check_card(desk: Desk, intent: Object) -> Object:
    method = desk.books.get("payment_method", intent["payment_method"])
    card = payment_methods.card_of(method)
    if card.refuses_setup:
        error = payment_methods.refusal(card, method)
        _fail(desk, intent, error.body["error"] | {"payment_method": public(method)})
        raise CardRefusedError(str(error), code=card.code, decline_code=card.decline_code, setup_intent=public(intent))
    if card.authenticates != "never":
        url = f"{desk.base_url}/authenticate/{intent['id']}"
        where = {"url": url, "return_url": intent["_return_url"]}
        intent |= {
            "status": "requires_action",
            "next_action": {"type": "redirect_to_url", "redirect_to_url": where},
        }
        desk.books.put(intent)
        desk.tell("setup_intent.requires_action", intent)
        return intent
    return _succeed(desk, intent, method)


def finish_authentication(desk: Desk, intent: Object, *, passed: bool) -> Object:
    if intent["status"] != "requires_action":
        raise _wrong_state(intent, "authenticated")
    method = desk.books.get("payment_method", intent["payment_method"])
    if passed:
        return _succeed(desk, intent, desk.books.put(method | {"_authenticated": True}))
    code, message = "setup_intent_authentication_failure", cards.MESSAGES["authentication_required"]
    _fail(desk, intent, {"type": "invalid_request_error", "code": code, "message": message})
    return intent


def _succeed(desk: Desk, intent: Object, method: Object) -> Object:
    if intent["customer"]:
        payment_methods.attach_to(desk, method, intent["customer"])
    intent |= {"status": "succeeded", "next_action": None, "last_setup_error": None}
    desk.books.put(intent)
    desk.tell("setup_intent.succeeded", intent)
    return intent


def _fail(desk: Desk, intent: Object, error: Object) -> None:
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_setup_error": error,
    }
    desk.books.put(intent)
    desk.tell("setup_intent.setup_failed", intent)


def retrieve(desk: Desk, params: Params, intent_id: str) -> Object:
    return desk.books.get("setup_intent", intent_id)


def cancel(desk: Desk, params: Params, intent_id: str) -> Object:
    intent = retrieve(desk, params.only("cancellation_reason"), intent_id)
    if intent["status"] not in OPEN:
        raise _wrong_state(intent, "canceled")
    reason = params.choice("cancellation_reason", "abandoned", "requested_by_customer", "duplicate")
    intent |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    desk.books.put(intent)
    desk.tell("setup_intent.canceled", intent)
    return intent


def _wrong_state(intent: Object, verb: str) -> ApiError:
    return ApiError(
        f"This setup intent cannot be {verb}: its status is {intent['status']}.",
        code="setup_intent_unexpected_state",
        began=True,
        setup_intent=public(intent),
    )
