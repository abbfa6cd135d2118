"""What every resource's functions work on, and the checks that they share."""

from dataclasses import dataclass

from sandbox.payments.books import Books, Object
from sandbox.payments.errors import ApiError, missing
from sandbox.payments.events import Journal
from sandbox.payments.forms import Params


@dataclass(slots=True)
class Desk:
    """The books, the journal of events, the address of the hosted pages, and the seconds that a slow payment takes."""

    books: Books
    journal: Journal
    base_url: str
    settle_seconds: float = 5.0

    def tell(self, kind: str, about: Object) -> None:
        self.journal.tell(kind, about)


def known_customer(desk: Desk, params: Params) -> Object | None:
    """The customer that the request names, who must exist and not be deleted; None when it names none."""
    customer_id = params.text("customer")
    if customer_id is None:
        return None
    customer = desk.books.get("customer", customer_id, param="customer")
    if customer.get("deleted"):
        raise missing("customer", customer_id, param="customer")
    return customer


def http_url(params: Params, name: str, *, required: bool = True) -> str | None:
    url = params.required(name) if required else params.text(name)
    if url is not None and not url.startswith(("http://", "https://")):
        raise ApiError("Not a valid URL", code="url_invalid", param=name)
    return url
