"""Payment intents: what is to be paid, by whom, with which card; `charging` does the rest."""

from sandbox.payments import charging, payment_methods
from sandbox.payments.books import Object, new_id
from sandbox.payments.charging import wrong_state
from sandbox.payments.desk import Desk, http_url, known_customer
from sandbox.payments.errors import ApiError
from sandbox.payments.forms import Params
from sandbox.payments.money import check_amount, read_currency

CONFIRMING = ("payment_method", "off_session", "return_url", "error_on_requires_action", "receipt_email",
              "setup_future_usage", "use_stripe_sdk", "payment_method_types", "mandate")  # fmt: skip
CHANGING = ("amount", "customer", "metadata", "description", "statement_descriptor", "statement_descriptor_suffix",
            "payment_method_options")  # fmt: skip
CREATING = (*CONFIRMING, *CHANGING, "currency", "confirm", "automatic_payment_methods", "capture_method",
            "confirmation_method", "shipping")  # fmt: skip
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")


def create(desk: Desk, params: Params) -> Object:
    params.only(*CREATING)
    currency = read_currency(params)
    amount = check_amount(params.whole("amount"), currency)
    customer = known_customer(desk, params)
    params.choice("capture_method", "automatic", "automatic_async", default="automatic")
    intent_id = new_id("pi")
    intent: Object = {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{intent_id}_secret_{new_id('s')[2:]}",
        "confirmation_method": "automatic",
        "created": desk.books.now(),
        "currency": currency,
        "customer": customer["id"] if customer else None,
        "description": params.text("description"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": params.metadata(),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": params.text("receipt_email"),
        "review": None,
        "setup_future_usage": params.choice("setup_future_usage", "on_session", "off_session"),
        "shipping": None,
        "source": None,
        "statement_descriptor": params.text("statement_descriptor"),
        "statement_descriptor_suffix": params.text("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        "_return_url": None,
        "_key": desk.journal.cause["idempotency_key"],
    }
    automatic = params.inside("automatic_payment_methods").only("enabled", "allow_redirects")
    if automatic.flag("enabled"):
        intent["automatic_payment_methods"] = {"allow_redirects": "always", "enabled": True} | dict(automatic.items())
        intent["automatic_payment_methods"]["enabled"] = True
    _take_method(desk, params, intent)
    desk.books.put(intent)
    desk.tell("payment_intent.created", intent)
    return _confirm(desk, params, intent) if params.flag("confirm") else intent


def update(desk: Desk, params: Params, intent_id: str) -> Object:
    intent = retrieve(desk, params.only(*CHANGING, "payment_method", "receipt_email", "setup_future_usage"), intent_id)
    if intent["status"] not in CONFIRMABLE:
        raise wrong_state(intent, "updated")
    if params.has("amount"):
        intent["amount"] = check_amount(params.whole("amount"), intent["currency"])
    if params.has("customer"):
        customer = known_customer(desk, params)
        intent["customer"] = customer["id"] if customer else None
    for name in ("description", "receipt_email", "statement_descriptor", "setup_future_usage"):
        if params.has(name):
            intent[name] = params.text(name)
    intent["metadata"] = params.metadata(intent["metadata"])
    _take_method(desk, params, intent)
    return desk.books.put(intent)


def confirm(desk: Desk, params: Params, intent_id: str) -> Object:
    intent = retrieve(desk, params.only(*CONFIRMING), intent_id)
    if intent["status"] not in CONFIRMABLE:
        raise wrong_state(intent, "confirmed")
    _take_method(desk, params, intent)
    return _confirm(desk, params, intent)


def _take_method(desk: Desk, params: Params, intent: Object) -> None:
    method_id = params.text("payment_method")
    if method_id is None:
        return
    method = payment_methods.named(desk, method_id)
    if method["_used_up"]:
        raise ApiError("The payment method was used or detached before.", code="payment_method_unactivated")
    if method["customer"] and method["customer"] != intent["customer"]:
        raise ApiError("The payment method belongs to a customer that the request does not name.", param="customer")
    intent |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}


def _confirm(desk: Desk, params: Params, intent: Object) -> Object:
    if intent["payment_method"] is None:
        raise ApiError(
            "A payment method is needed to confirm this payment.", code="parameter_missing", param="payment_method"
        )
    intent["_return_url"] = http_url(params, "return_url", required=False)
    off_session = params.has("off_session") and params.text("off_session") != "false"
    present = not off_session and not params.flag("error_on_requires_action")
    return charging.charge_card(desk, intent, present=present)


def retrieve(desk: Desk, params: Params, intent_id: str) -> Object:
    return desk.books.get("payment_intent", intent_id)


def cancel(desk: Desk, params: Params, intent_id: str) -> Object:
    intent = retrieve(desk, params.only("cancellation_reason"), intent_id)
    reason = params.choice("cancellation_reason", *REASONS)
    if intent["status"] not in CONFIRMABLE:
        raise wrong_state(intent, "canceled")
    intent |= {
        "status": "canceled",
        "canceled_at": desk.books.now(),
        "cancellation_reason": reason,
        "next_action": None,
    }
    desk.books.put(intent)
    desk.tell("payment_intent.canceled", intent)
    return intent
