"""Customers of a month's end: as soon as their invoice is open they pay it, twice at once, by page or by a card that they left."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import requests
import stripe
from django.conf import settings
from django.db import connections
from django.test import Client

from accounts.tenancy import tenant_scope
from billing import collection
from billing.models import Invoice, PaymentMethod
from tests.billing.collecting import at_once, type_card
from tests.scenarios.fire import Works
from tests.stories import Company

PATIENCE = 60.0
"""Seconds for which a customer asks again where the processor did not answer."""
TOKEN = "c" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A company and how it pays: `card` is what its owner chooses on the page, `method` the card that was left."""

    company: Company
    card: str = "succeeds"
    method: int | None = None
    session: str = ""

    def pay(self, works: Works, invoice_id: UUID) -> None:
        """Returns when the customer has done what a customer can do; the rest is ours."""
        if self.method is not None:
            self._be_charged(invoice_id)
        else:
            self._use_the_page(works, invoice_id)

    def _be_charged(self, invoice_id: UUID) -> None:
        organization_id, method_id = self.company.organization.pk, self.method
        assert method_id is not None

        def charge() -> object:
            return collection.charge_invoice(
                organization_id=organization_id, invoice_id=invoice_id, method_id=method_id, now=datetime.now(UTC)
            )

        expect(at_once(charge, times=2), besides=collection.InvoiceNotOpen)

    def _use_the_page(self, works: Works, invoice_id: UUID) -> None:
        deadline = time.monotonic() + PATIENCE
        while not (page := self._click(works, invoice_id)):
            assert time.monotonic() < deadline, "no page to pay on"
            time.sleep(0.2)
        if self.card != "succeeds":
            type_card(page, self.card)
        if self.card != "processing":
            status, _location = type_card(page)
            assert status == 303, status

    def _click(self, works: Works, invoice_id: UUID) -> str:
        """The address of the hosted page, "" while the processor does not answer; a double click."""
        answers = at_once(lambda: self._post(works, invoice_id), times=2)
        expect(answers)
        pages = {answer["action_url"] for answer in answers if answer["status"] == "requires_action"}
        assert len(pages) <= 1, pages
        return pages.pop() if pages else ""

    def _post(self, works: Works, invoice_id: UUID) -> dict[str, Any]:
        answer = requests.post(
            f"{works.site}/api/v1/invoices/{invoice_id}/pay",
            cookies={settings.SESSION_COOKIE_NAME: self.session, settings.CSRF_COOKIE_NAME: TOKEN},
            headers={"X-CSRFToken": TOKEN, "X-Organization": self.company.organization.slug},
            timeout=30,
        )
        assert answer.status_code in (200, 202), f"{answer.status_code} {answer.text}"
        return dict(answer.json())


def expect(results: Any, *, besides: type[Exception] | tuple[()] = ()) -> None:
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, besides):
            raise result


def with_page(company: Company, *, card: str = "succeeds") -> Customer:
    """One whose owner is signed in and pays on the processor's page."""
    browser = Client()
    browser.force_login(company.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    return Customer(company=company, card=card, session=browser.cookies[settings.SESSION_COOKIE_NAME].value)


def with_stored_card(company: Company, *, works: Works, now: datetime) -> Customer:
    """One who left a card."""
    client = stripe.StripeClient(settings.STRIPE_SECRET_KEY, base_addresses={"api": works.processor.url})
    customer = client.v1.customers.create({"email": company.owner.email})
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    with tenant_scope([company.organization.pk]):
        method = PaymentMethod.objects.create(
            organization=company.organization,
            processor="stripe",
            customer_reference=customer.id,
            reference=card.id,
            label="Visa 4242",
            created_at=now,
        )
    return Customer(company=company, method=method.pk)


class Crowd:
    """All customers, in threads of their own, until each has paid."""

    def __init__(self, customers: list[Customer], works: Works) -> None:
        self._waiting = {customer.company.organization.pk: customer for customer in customers}
        self._works = works
        self._over = threading.Event()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="customer")
        self._paying: list[Future[None]] = []
        self._watching = self._threads.submit(self._watch)

    def everybody_paid(self) -> bool:
        """Whether each customer did what a customer can do. Raises what one of them stumbled over."""
        for future in (self._watching, *self._paying):
            if future.done():
                future.result()
        return not self._waiting and all(future.done() for future in self._paying)

    def leave(self) -> None:
        self._over.set()
        self._threads.shutdown(cancel_futures=True)

    def _watch(self) -> None:
        with own_connections():
            while self._waiting and not self._over.is_set():
                open_ones = Invoice.objects.using("system").filter(status=Invoice.Status.OPEN)
                for organization_id, invoice_id in open_ones.values_list("organization_id", "pk"):
                    customer = self._waiting.pop(organization_id, None)
                    if customer is not None:
                        self._paying.append(self._threads.submit(self._pay, customer, invoice_id))
                time.sleep(0.1)

    def _pay(self, customer: Customer, invoice_id: UUID) -> None:
        with own_connections():
            customer.pay(self._works, invoice_id)


@contextmanager
def own_connections() -> Iterator[None]:
    """A thread of ours leaves no connection to a database that is about to be dropped."""
    try:
        yield
    finally:
        connections.close_all()
