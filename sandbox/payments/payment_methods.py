"""Payment methods: test cards, by token name or number, kept for a customer or used once."""

from sandbox.payments import cards
from sandbox.payments.books import Object, new_id
from sandbox.payments.cards import Card
from sandbox.payments.desk import Desk
from sandbox.payments.errors import ApiError, CardRefusedError, missing
from sandbox.payments.forms import Params

FIELDS = ("type", "card", "billing_details", "metadata", "allow_redisplay")


def create(desk: Desk, params: Params) -> Object:
    params.only(*FIELDS)
    params.choice("type", "card", default="card")
    asked = params.inside("card").only("number", "token", "exp_month", "exp_year", "cvc")
    name = asked.text("number") or asked.text("token") or ""
    card = cards.BY_NUMBER.get(name.replace(" ", "")) or cards.BY_TOKEN.get(name)
    if card is None:
        raise ApiError("Use one of the test cards.", code="incorrect_number", param="card[number]")
    details = dict(params.inside("billing_details").items())
    return keep(desk, card, billing_details=details, metadata=params.metadata())


def keep(desk: Desk, card: Card, *, billing_details: Object | None = None, metadata: Object | None = None) -> Object:
    """Write a new payment method for one of the test cards."""
    details: Object = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    return desk.books.put(
        {
            "id": new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": details | (billing_details or {}),
            "card": describe(card),
            "created": desk.books.now(),
            "customer": None,
            "livemode": False,
            "metadata": metadata or {},
            "type": "card",
            "_card": card.key,
            "_authenticated": False,
            "_used_up": False,
        }
    )


def describe(card: Card) -> Object:
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "KR",
        "display_brand": card.brand,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": f"sandbox{card.number[-9:]}",
        "funding": "credit",
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def card_of(method: Object) -> Card:
    return cards.BY_KEY[method["_card"]]


def named(desk: Desk, method_id: str, *, param: str = "payment_method") -> Object:
    """The payment method with this id; a test token (`pm_card_visa`) makes a new one, as at Stripe."""
    if method_id in cards.BY_TOKEN:
        return keep(desk, cards.BY_TOKEN[method_id])
    return desk.books.get("payment_method", method_id, param=param)


def retrieve(desk: Desk, params: Params, method_id: str) -> Object:
    return desk.books.get("payment_method", method_id)


def retrieve_of_customer(desk: Desk, params: Params, customer_id: str, method_id: str) -> Object:
    method = desk.books.get("payment_method", method_id)
    if method["customer"] != customer_id:
        raise missing("payment_method", method_id)
    return method


def update(desk: Desk, params: Params, method_id: str) -> Object:
    method = retrieve(desk, params.only("metadata", "billing_details", "allow_redisplay"), method_id)
    method["billing_details"] |= dict(params.inside("billing_details").items())
    method["metadata"] = params.metadata(method["metadata"])
    return desk.books.put(method)


def attach(desk: Desk, params: Params, method_id: str) -> Object:
    params.only("customer")
    customer = desk.books.get("customer", params.required("customer"), param="customer")
    method = named(desk, method_id)
    card = card_of(method)
    if card.refuses_setup:
        raise refusal(card, method)
    return attach_to(desk, method, customer["id"])


def attach_to(desk: Desk, method: Object, customer_id: str) -> Object:
    if method["customer"] == customer_id:
        return method
    if method["customer"] or method["_used_up"]:
        raise ApiError(
            "The payment method is attached to another customer, or was used or detached before.",
            code="payment_method_unactivated",
            began=True,
        )
    method["customer"] = customer_id
    desk.books.put(method)
    desk.tell("payment_method.attached", method)
    return method


def detach(desk: Desk, params: Params, method_id: str) -> Object:
    method = retrieve(desk, params.only(), method_id)
    if method["customer"] is None:
        raise ApiError("The payment method is not attached to a customer.", began=True)
    customer = desk.books.find(method["customer"])
    if customer and customer.get("invoice_settings", {}).get("default_payment_method") == method_id:
        customer["invoice_settings"]["default_payment_method"] = None
        desk.books.put(customer)
    method |= {"customer": None, "_used_up": True}
    desk.books.put(method)
    desk.tell("payment_method.detached", method)
    return method


def refusal(card: Card, method: Object, **more: object) -> CardRefusedError:
    message = cards.MESSAGES.get(card.decline_code, cards.MESSAGES["generic_decline"])
    code, decline_code = card.code or "card_declined", card.decline_code or "generic_decline"
    return CardRefusedError(message, code=code, decline_code=decline_code, **more)
