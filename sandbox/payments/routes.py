"""Which call is answered by which function: method, path with its ids as `*`, function."""

from collections.abc import Callable

from sandbox.payments import checkout, customers, listing, payment_intents, payment_methods, refunds, setup_intents
from sandbox.payments.books import Object
from sandbox.payments.desk import Desk
from sandbox.payments.forms import Params

Function = Callable[..., Object]


def getter(kind: str) -> Function:
    def retrieve(desk: Desk, params: Params, object_id: str) -> Object:
        return desk.books.get(kind, object_id)

    return retrieve


TABLE: dict[tuple[str, str], Function] = {
    ("POST", "customers"): customers.create,
    ("GET", "customers"): listing.lister("customer", "/v1/customers", "email"),
    ("GET", "customers/*"): customers.retrieve,
    ("POST", "customers/*"): customers.update,
    ("DELETE", "customers/*"): customers.delete,
    ("GET", "customers/*/payment_methods"): listing.of_customer,
    ("GET", "customers/*/payment_methods/*"): payment_methods.retrieve_of_customer,
    ("POST", "payment_methods"): payment_methods.create,
    ("GET", "payment_methods"): listing.lister("payment_method", "/v1/payment_methods", "customer"),
    ("GET", "payment_methods/*"): payment_methods.retrieve,
    ("POST", "payment_methods/*"): payment_methods.update,
    ("POST", "payment_methods/*/attach"): payment_methods.attach,
    ("POST", "payment_methods/*/detach"): payment_methods.detach,
    ("POST", "setup_intents"): setup_intents.create,
    ("GET", "setup_intents"): listing.lister("setup_intent", "/v1/setup_intents", "customer", "payment_method"),
    ("GET", "setup_intents/*"): setup_intents.retrieve,
    ("POST", "setup_intents/*/confirm"): setup_intents.confirm,
    ("POST", "setup_intents/*/cancel"): setup_intents.cancel,
    ("POST", "payment_intents"): payment_intents.create,
    ("GET", "payment_intents"): listing.lister("payment_intent", "/v1/payment_intents", "customer"),
    ("GET", "payment_intents/search"): listing.search_payment_intents,
    ("GET", "payment_intents/*"): payment_intents.retrieve,
    ("POST", "payment_intents/*"): payment_intents.update,
    ("POST", "payment_intents/*/confirm"): payment_intents.confirm,
    ("POST", "payment_intents/*/cancel"): payment_intents.cancel,
    ("POST", "checkout/sessions"): checkout.create,
    ("GET", "checkout/sessions"): listing.lister(
        "checkout.session", "/v1/checkout/sessions", "customer", "payment_intent", "status"
    ),
    ("GET", "checkout/sessions/*"): checkout.retrieve,
    ("GET", "checkout/sessions/*/line_items"): checkout.line_items,
    ("POST", "checkout/sessions/*/expire"): checkout.expire,
    ("POST", "refunds"): refunds.create,
    ("GET", "refunds"): listing.lister("refund", "/v1/refunds", "payment_intent", "charge"),
    ("GET", "refunds/*"): getter("refund"),
    ("POST", "refunds/*"): refunds.update,
    ("GET", "disputes"): listing.lister("dispute", "/v1/disputes", "payment_intent", "charge"),
    ("GET", "disputes/*"): getter("dispute"),
    ("GET", "charges"): listing.lister("charge", "/v1/charges", "customer", "payment_intent"),
    ("GET", "charges/*"): getter("charge"),
    ("GET", "balance"): listing.balance,
    ("GET", "balance_transactions"): listing.lister("balance_transaction", "/v1/balance_transactions", "source"),
    ("GET", "balance_transactions/*"): getter("balance_transaction"),
    ("GET", "events"): listing.lister("event", "/v1/events"),
    ("GET", "events/*"): getter("event"),
}


def find(method: str, path: str) -> tuple[Function, list[str]] | None:
    """The function for a path below `/v1/`, and the ids in it."""
    steps = path.strip("/").split("/")
    for pattern_length in (0, 1):
        # A literal path (`payment_intents/search`) wins over one with an id in the same place.
        for (known, pattern), function in TABLE.items():
            wanted = pattern.split("/")
            if known != method or len(wanted) != len(steps) or ("*" in wanted) != bool(pattern_length):
                continue
            if all(want in ("*", step) for want, step in zip(wanted, steps, strict=True)):
                return function, [step for want, step in zip(wanted, steps, strict=True) if want == "*"]
    return None
