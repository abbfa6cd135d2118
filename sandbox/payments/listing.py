"""Lists with cursors, and the search that finds payment intents by their metadata."""

import re
from collections.abc import Callable
from typing import Any

from sandbox.payments.books import Object
from sandbox.payments.desk import Desk
from sandbox.payments.errors import ApiError
from sandbox.payments.forms import Params

PAGING = ("limit", "starting_after", "ending_before", "created")
MAX_PAGE = 100
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_CLAUSE = re.compile(r"""(status|customer|metadata\[["']([^"']+)["']\]):["']([^"']*)["']""")


def lister(kind: str, path: str, *filters: str) -> Callable[[Desk, Params], Object]:
    """A handler that lists one kind of object, newest first, filtered by these fields."""

    def handle(desk: Desk, params: Params) -> Object:
        params.only(*PAGING, *filters, "type", "types")
        where: dict[str, Any] = {name: params.required(name) for name in filters if params.has(name)}
        if params.has("type"):
            where["type"] = params.required("type")
        return list_objects(desk, params, kind, path, where=where)

    return handle


def list_objects(desk: Desk, params: Params, kind: str, path: str, *, where: dict[str, Any]) -> Object:
    limit = params.whole("limit", 10) or 0
    if not 1 <= limit <= MAX_PAGE:
        raise ApiError(f"limit must be between 1 and {MAX_PAGE}", param="limit")
    found, more = desk.books.page(
        kind,
        where=where,
        limit=limit,
        after=params.text("starting_after"),
        before=params.text("ending_before"),
        created=_created(params),
    )
    wanted = params.texts("types")
    data = [item for item in found if not wanted or item.get("type") in wanted]
    return {"object": "list", "data": data, "has_more": more, "url": path}


def _created(params: Params) -> dict[str, int]:
    if not params.has("created"):
        return {}
    bounds = params.inside("created").only(*_SIGNS)
    return {_SIGNS[name]: bounds.whole(name) or 0 for name, _ in bounds.items()}


def of_customer(desk: Desk, params: Params, customer_id: str) -> Object:
    """`/v1/customers/{id}/payment_methods`."""
    desk.books.get("customer", customer_id)
    params.only(*PAGING, "type", "allow_redisplay")
    path = f"/v1/customers/{customer_id}/payment_methods"
    return list_objects(desk, params, "payment_method", path, where={"customer": customer_id})


def search_payment_intents(desk: Desk, params: Params) -> Object:
    """Clauses joined by AND: `metadata["attempt"]:"7" AND status:"succeeded"`. Unlike Stripe's, it is never behind."""
    params.only("query", "limit", "page")
    query = params.required("query")
    where: dict[str, Any] = {}
    for clause in re.split(r"\s+AND\s+", query):
        match = _CLAUSE.fullmatch(clause.strip())
        if match is None:
            raise ApiError("This query cannot be read.", param="query")
        field, key, value = match.groups()
        where[f"metadata.{key}" if key else field] = value
    limit = min(params.whole("limit", 10) or 10, MAX_PAGE)
    found, more = desk.books.page("payment_intent", where=where, limit=limit)
    path = "/v1/payment_intents/search"
    return {"object": "search_result", "data": found, "has_more": more, "next_page": None, "url": path}


def balance(desk: Desk, params: Params) -> Object:
    sums: dict[str, int] = {}
    for entry in desk.books.newest("balance_transaction", limit=1_000_000):
        sums[entry["currency"]] = sums.get(entry["currency"], 0) + entry["net"]
    amounts = [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}} for currency, amount in sums.items()
    ]
    return {"object": "balance", "available": amounts, "livemode": False, "pending": []}
