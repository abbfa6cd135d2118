"""Checkout sessions: a hosted page on which the customer pays, or leaves a card for later."""

from sandbox.payments import charging, payment_intents, payment_methods, setup_intents
from sandbox.payments.books import Object, new_id
from sandbox.payments.cards import Card
from sandbox.payments.desk import Desk, http_url, known_customer
from sandbox.payments.errors import ApiError
from sandbox.payments.forms import Params
from sandbox.payments.money import check_amount, read_currency

FIELDS = (
    "mode", "customer", "customer_email", "customer_creation", "client_reference_id", "success_url", "cancel_url",
    "currency", "line_items", "locale", "metadata", "payment_intent_data", "setup_intent_data", "payment_method_types",
    "payment_method_options", "expires_at", "billing_address_collection", "submit_type", "ui_mode", "customer_update",
    "saved_payment_method_options", "phone_number_collection",
)  # fmt: skip
DAY_SECONDS = 86_400


def create(desk: Desk, params: Params) -> Object:
    params.only(*FIELDS)
    mode = params.choice("mode", "payment", "setup")
    if mode is None:
        raise ApiError("Missing required param: mode.", code="parameter_missing", param="mode")
    params.choice("ui_mode", "hosted", "hosted_page", default="hosted_page")
    customer = known_customer(desk, params)
    lines = _lines(params) if mode == "payment" else []
    total = sum(line["amount_total"] for line in lines)
    session_id = new_id("cs_test")
    session: Object = {
        "id": session_id,
        "object": "checkout.session",
        "amount_subtotal": total if lines else None,
        "amount_total": check_amount(total, lines[0]["currency"], param="line_items") if lines else None,
        "cancel_url": http_url(params, "cancel_url", required=False),
        "client_reference_id": params.text("client_reference_id"),
        "client_secret": None,
        "created": desk.books.now(),
        "currency": lines[0]["currency"] if lines else params.text("currency"),
        "custom_fields": [],
        "customer": customer["id"] if customer else None,
        "customer_creation": params.text("customer_creation"),
        "customer_details": None,
        "customer_email": params.text("customer_email"),
        "expires_at": params.whole("expires_at") or desk.books.now() + DAY_SECONDS,
        "invoice": None,
        "livemode": False,
        "locale": params.text("locale"),
        "metadata": params.metadata(),
        "mode": mode,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "always",
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid" if mode == "payment" else "no_payment_required",
        "setup_intent": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": http_url(params, "success_url"),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0} if lines else None,
        "ui_mode": "hosted_page",
        "url": _page(desk, session_id),
        "_lines": lines,
        "_intent": _intent_wish(params),
    }
    if mode == "setup":
        wish = params.inside("setup_intent_data").only("metadata", "description", "on_behalf_of")
        setup = setup_intents.write(
            desk,
            customer_id=session["customer"],
            usage="off_session",
            metadata=wish.metadata(),
            description=wish.text("description"),
        )
        session["setup_intent"] = setup["id"]
    return desk.books.put(session)


def _intent_wish(params: Params) -> Object:
    wish = params.inside("payment_intent_data").only(
        "metadata", "description", "setup_future_usage", "receipt_email", "capture_method", "statement_descriptor"
    )
    return {
        "metadata": wish.metadata(),
        "description": wish.text("description"),
        "setup_future_usage": wish.choice("setup_future_usage", "on_session", "off_session"),
        "receipt_email": wish.text("receipt_email"),
    }


def _lines(params: Params) -> list[Object]:
    lines = []
    for item in params.each("line_items"):
        item.only("price_data", "quantity")
        price = item.inside("price_data").only("currency", "unit_amount", "product_data", "tax_behavior")
        quantity = item.whole("quantity", 1) or 0
        unit = price.whole("unit_amount")
        if unit is None or unit < 0 or quantity < 1:
            raise ApiError("Invalid line item", code="parameter_missing", param="line_items")
        product = price.inside("product_data")
        lines.append(
            {
                "id": new_id("li"),
                "object": "item",
                "amount_subtotal": unit * quantity,
                "amount_total": unit * quantity,
                "currency": read_currency(price),
                "description": product.required("name"),
                "quantity": quantity,
            }
        )
    if not lines:
        raise ApiError("Missing required param: line_items.", code="parameter_missing", param="line_items")
    if len({line["currency"] for line in lines}) > 1:
        raise ApiError("All line items must have the same currency.", param="line_items")
    return lines


def retrieve(desk: Desk, params: Params, session_id: str) -> Object:
    """With its page at the address of today: the books outlive a restart, the port may not."""
    session = desk.books.get("checkout.session", session_id)
    return session | {"url": _page(desk, session_id)} if session["url"] else session


def _page(desk: Desk, session_id: str) -> str:
    return f"{desk.base_url}/checkout/{session_id}"


def line_items(desk: Desk, params: Params, session_id: str) -> Object:
    session = retrieve(desk, params, session_id)
    url = f"/v1/checkout/sessions/{session_id}/line_items"
    return {"object": "list", "data": session["_lines"], "has_more": False, "url": url}


def expire(desk: Desk, params: Params, session_id: str) -> Object:
    session = retrieve(desk, params.only(), session_id)
    if session["status"] != "open":
        raise ApiError(f"Only an open session can be expired; this one is {session['status']}.", began=True)
    return _close(desk, session)


def expire_in_time(desk: Desk) -> None:
    """Close the pages whose time is over."""
    for session in desk.books.newest("checkout.session", where={"status": "open"}):
        if not is_open(desk, session):
            with desk.books.transaction():
                _close(desk, session)


def _close(desk: Desk, session: Object) -> Object:
    """Whatever was begun on the page, such as 3-D Secure, ends with it."""
    session |= {"status": "expired", "url": None}
    desk.books.put(session)
    if session["payment_intent"]:
        payment_intents.cancel(desk, Params({"cancellation_reason": "abandoned"}), session["payment_intent"])
    desk.tell("checkout.session.expired", session)
    return session


def is_open(desk: Desk, session: Object) -> bool:
    return bool(session["status"] == "open" and session["expires_at"] > desk.books.now())


def submit(desk: Desk, session: Object, card: Card) -> Object:
    """The customer has typed a card: returns the session's intent. Raises CardRefusedError; the session stays open."""
    method = payment_methods.keep(desk, card, billing_details={"email": session["customer_email"]})
    if session["mode"] == "setup":
        intent = desk.books.get("setup_intent", session["setup_intent"])
        intent |= {"payment_method": method["id"], "_return_url": session["success_url"]}
        intent = setup_intents.check_card(desk, intent)
    else:
        intent = _payment_intent(desk, session)
        intent |= {"payment_method": method["id"], "_return_url": session["success_url"]}
        intent = charging.charge_card(desk, intent, present=True)
    if intent["status"] in ("succeeded", "processing"):
        complete(desk, session, intent)
    return intent


def _payment_intent(desk: Desk, session: Object) -> Object:
    if session["payment_intent"]:
        return desk.books.get("payment_intent", session["payment_intent"])
    values = {"amount": str(session["amount_total"]), "currency": session["currency"]}
    if session["customer"]:
        values["customer"] = session["customer"]
    intent = payment_intents.create(desk, Params(values)) | session["_intent"]
    session["payment_intent"] = intent["id"]
    desk.books.put(session)
    return desk.books.put(intent)


def complete(desk: Desk, session: Object, intent: Object) -> None:
    if session["mode"] == "payment":
        session["payment_status"] = "paid" if intent["status"] == "succeeded" else "unpaid"
    customer = desk.books.find(session["customer"]) if session["customer"] else None
    email = session["customer_email"] or (customer or {}).get("email")
    session |= {
        "status": "complete",
        "url": None,
        "customer_details": {
            "address": None,
            "email": email,
            "name": (customer or {}).get("name"),
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        },
    }
    desk.books.put(session)
    desk.tell("checkout.session.completed", session)


def settle(desk: Desk, intent: Object) -> None:
    """A payment that was still processing when its session completed has ended."""
    for session in desk.books.newest("checkout.session", where={"payment_intent": intent["id"]}, limit=1):
        paid = intent["status"] == "succeeded"
        session["payment_status"] = "paid" if paid else "unpaid"
        desk.books.put(session)
        desk.tell(f"checkout.session.async_payment_{'succeeded' if paid else 'failed'}", session)
