"""Customers: who pays. A deleted one keeps its id and takes no more payments."""

from sandbox.payments.books import Object, new_id
from sandbox.payments.desk import Desk
from sandbox.payments.errors import missing
from sandbox.payments.forms import Params

FIELDS = (
    "name", "email", "phone", "description", "address", "shipping", "preferred_locales", "metadata", "invoice_settings",
    "tax_exempt", "payment_method", "business_name", "individual_name",
)  # fmt: skip
_PLAIN = ("name", "email", "phone", "description", "business_name", "individual_name")


def create(desk: Desk, params: Params) -> Object:
    params.only(*FIELDS)
    customer: Object = {
        "id": new_id("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": desk.books.now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "email": None,
        "invoice_prefix": None,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    desk.books.put(_change(customer, params))
    desk.tell("customer.created", customer)
    return customer


def update(desk: Desk, params: Params, customer_id: str) -> Object:
    customer = retrieve(desk, params.only(*FIELDS), customer_id)
    if customer.get("deleted"):
        raise missing("customer", customer_id)
    default = params.inside("invoice_settings").text("default_payment_method")
    if default:
        method = desk.books.get("payment_method", default, param="invoice_settings[default_payment_method]")
        if method["customer"] != customer_id:
            raise missing("payment_method", default, param="invoice_settings[default_payment_method]")
    desk.books.put(_change(customer, params))
    desk.tell("customer.updated", customer)
    return customer


def _change(customer: Object, params: Params) -> Object:
    for name in _PLAIN:
        if params.has(name):
            customer[name] = params.text(name)
    for name in ("address", "shipping"):
        if params.has(name):
            customer[name] = dict(params.inside(name).items()) or None
    settings = params.inside("invoice_settings")
    if settings.has("default_payment_method"):
        customer["invoice_settings"]["default_payment_method"] = settings.text("default_payment_method")
    if params.has("preferred_locales"):
        customer["preferred_locales"] = params.texts("preferred_locales")
    if params.has("tax_exempt"):
        customer["tax_exempt"] = params.choice("tax_exempt", "none", "exempt", "reverse") or "none"
    if params.has("metadata"):
        customer["metadata"] = params.metadata(customer["metadata"])
    return customer


def retrieve(desk: Desk, params: Params, customer_id: str) -> Object:
    return desk.books.get("customer", customer_id)


def delete(desk: Desk, params: Params, customer_id: str) -> Object:
    customer = retrieve(desk, params, customer_id)
    for method in desk.books.newest("payment_method", where={"customer": customer_id}):
        desk.books.put(method | {"customer": None, "_used_up": True})
    gone = {"id": customer_id, "object": "customer", "created": customer["created"], "deleted": True}
    desk.books.put(gone)
    desk.books.unlist(customer_id)
    desk.tell("customer.deleted", customer)
    return {"id": customer_id, "object": "customer", "deleted": True}
