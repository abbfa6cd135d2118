"""The month ends while two beats ring for the same work, four workers are killed over and over, and Redis is emptied in between.

What is killed: every 200 ms one of the four workers, chosen at random, gets SIGKILL with its whole process group, whatever it
is doing, and a fresh one takes its place at once (forked from a warm process, `nursery.py`, so that most of its short life is
work). One time in five, where the victim has a prefork pool, only the pool's process is killed and its worker must replace it.
About every second all of Redis is emptied: queue, unacknowledged tasks, bindings. The payment processor loses answers, repeats,
reorders and drops webhooks meanwhile. Killed are only processes that this test started; PostgreSQL, the beats and the site stay up.

Organizations fall due in waves, so that there is work in flight at all times; `Fire.hits` counts the kills that found some.
Then there is peace, and what lies about in mid-state must come to rest by beat's sweeps alone.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.models import BillingProfile, Currency
from billing.models import Document, Invoice, InvoiceSeries, OutboxMail, Payment, ProcessorEvent
from billing.papers import document_files
from billing.processors.stripe_answers import to_smallest_unit
from billing.sellers import set_seller
from ledger import holds
from ledger.event_ids import new_id
from ledger.models import BillingPeriod, Hold, HoldStatus
from pricing.tokens import TokenUsage
from tests import stories
from tests.scenarios.customers import Crowd, Customer, with_page, with_stored_card
from tests.scenarios.fire import Fire, Works, running_works
from tests.scenarios.test_month_to_payment import last_moment_of_last_month
from tests.stories import SELLER, Company

COMPANIES, KILLS = 36, 100
A_WAVE, KILLS_A_WAVE = 4, 10
"""Four organizations fall due every two seconds."""
FAULTS: list[dict[str, Any]] = [
    {"fault": "accept-then-drop", "where": "POST /v1/payment_intents", "times": 5},
    {"fault": "sticky-500-committed", "where": "POST /v1/payment_intents", "times": 3},
    {"fault": "accept-then-drop", "where": "POST /v1/checkout/sessions", "times": 4},
    {"fault": "slow:0.3", "where": "GET /v1/", "times": 40},
    {"fault": "repeat-webhook:3", "where": "payment_intent.succeeded", "times": 8},
    {"fault": "reorder-webhook", "where": "checkout.session.completed", "times": 4},
    {"fault": "drop-webhook", "where": "payment_intent.succeeded", "times": 6},
]
STEPS = (
    ("close_periods",),
    ("render_documents", "sweep_documents"),
    ("deliver_mail", "sweep_mail"),
    ("process_processor_event", "sweep_processor_events", "resolve_unknown_payments"),
)
"""Of the walk: kills go on until they have hit each, one of its tasks at least."""
SLOW_MAIL = {"fault": "slow-after-data:0.15", "times": 60}
"""Between the moment at which the mail server has a mail and the moment at which we know, a kill is likely then."""
Kind = OutboxMail.Kind


@pytest.fixture
def works(process_environment: dict[str, str], tmp_path: Path, settings: Settings) -> Iterator[Works]:
    with running_works(process_environment, settings=settings, folder=tmp_path) as works:
        yield works


def test_one_invoice_one_payment_every_mail_whoever_is_killed(works: Works) -> None:
    month_end = MonthEnd(works)
    works.processor.order(*FAULTS)
    works.mailbox.order(SLOW_MAIL)
    month_end.live_through_fire(kills=KILLS, hit=lambda fire: fire.has_hit(STEPS))
    month_end.each_organization_has_one_invoice()
    month_end.numbers_have_no_gap()
    month_end.each_pdf_is_what_was_noted()
    month_end.each_invoice_is_paid_once()
    month_end.each_mail_arrived_under_one_message_id()


class MonthEnd:
    """The organizations, what they used last month, and what must have become of it."""

    def __init__(self, works: Works, *, companies: int = COMPANIES) -> None:
        self.works, self.now = works, datetime.now(UTC)
        stories.make_catalog(now=self.now)
        set_seller(now=self.now - timedelta(days=60), **SELLER)
        self.companies = [self._company(number) for number in range(companies)]
        self.customers = [self.customer(number, company) for number, company in enumerate(self.companies)]
        self._not_due = list(self.companies)
        BillingProfile.objects.using("system").update(grace_hours=24 * 365)

    def _company(self, number: int) -> Company:
        """Won and dollars, Korean and English; each owes another amount. Every sixth has a call that never came back."""
        dollars = number % 4 == 3
        company = stories.make_company(
            f"company{number:02}",
            now=self.now - timedelta(days=60),
            credit_line=Decimal(10_000),
            trial_credit=Decimal(0) if dollars else Decimal(1000),
            currency=Currency.USD if dollars else Currency.KRW,
            language="en" if number % 3 == 2 else "ko",
        )
        usage = TokenUsage(input_tokens=100_000_000 + number * 1_000_000, output_tokens=number * 1000)
        at = last_moment_of_last_month()
        stories.use(company.organization, at=at, usage=usage)
        if number % 6 == 0:
            lose_a_call(company, now=self.now, name=f"lost-{number}")
        return company

    def customer(self, number: int, company: Company) -> Customer:
        if number % 2:
            return with_stored_card(company, works=self.works, now=self.now)
        return with_page(company, card={0: "succeeds", 2: "declines", 4: "processing"}[number % 6])

    def let_time_pass(self, kill: int) -> None:
        """The grace time of the next few ends."""
        if kill % KILLS_A_WAVE == 0 and self._not_due:
            due, self._not_due = self._not_due[:A_WAVE], self._not_due[A_WAVE:]
            profiles = BillingProfile.objects.using("system")
            profiles.filter(organization__in=[company.organization for company in due]).update(grace_hours=0)

    def payers(self) -> list[Customer]:
        return self.customers

    def live_through_fire(self, *, kills: int, hit: Callable[[Fire], bool]) -> None:
        """At least so many kills, until half is done and they `hit` what they should; then everything comes to rest, and an audit
        finds nothing."""
        seed = int(os.environ.get("FIRE_SEED") or time.time())
        print(f"FIRE_SEED={seed} kills in the same order again")
        fire, crowd = Fire(self.works, seed), Crowd(self.payers(), self.works)
        try:
            fire.start()
            fire.burn(kills=kills, enough=lambda: self.is_half_done() and hit(fire), meanwhile=self.let_time_pass)
            print(f"{fire}; left to the sweeps: {self.unrest()}")
            fire.burn_out(self.unrest, everybody_paid=crowd.everybody_paid)
        finally:
            crowd.leave()
        assert fire.kills >= kills and fire.flushes >= kills // 10
        audit = self.works.manage("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr

    def is_half_done(self) -> bool:
        """On a busy machine that takes longer than `KILLS`."""
        return Invoice.objects.using("system").count() >= len(self.companies) / 2

    def unrest(self) -> dict[str, int]:
        """What is still in a mid-state, by kind."""
        month = BillingPeriod.objects.using("system").filter(ends_at__lte=self.now)
        invoices = Invoice.objects.using("system")
        found = {
            "periods not closed": month.exclude(status=BillingPeriod.Status.CLOSED).count(),
            "invoices without PDF": invoices.filter(documents=None).count(),
            "invoices not paid": invoices.exclude(status=Invoice.Status.PAID).count(),
            "mails not sent": OutboxMail.objects.using("system").exclude(status=OutboxMail.Status.SENT).count(),
            "open payments": Payment.objects.using("system").filter(status__in=Payment.OPEN_STATUSES).count(),
            "events not processed": ProcessorEvent.objects.filter(processed_at=None).count(),
            "open holds": Hold.objects.using("system").filter(status=HoldStatus.OPEN).count(),
        }
        return {what: count for what, count in found.items() if count}

    def each_organization_has_one_invoice(self) -> None:
        owners = Invoice.objects.using("system").values_list("organization_id", "period__ends_at")
        expected = {company.organization.pk for company in self.companies}
        assert Counter(organization for organization, _end in owners) == Counter(expected)
        assert all(end <= self.now for _organization, end in owners)

    def numbers_have_no_gap(self) -> None:
        sequences = Invoice.objects.using("system").order_by("sequence").values_list("sequence", "number")
        assert list(sequences) == [(number, f"INV-{number:06}") for number in range(1, len(self.companies) + 1)]
        assert InvoiceSeries.objects.using("system").get().next_number == len(self.companies) + 1

    def each_pdf_is_what_was_noted(self) -> None:
        documents = Document.objects.using("system").select_related("invoice")
        for document in documents:
            content = document_files.absolute(document.path).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (document.sha256, document.size)
        pdfs = {document.invoice_id: document for document in documents if document.kind == Document.Kind.INVOICE}
        assert set(pdfs) == set(self._invoices())
        for document in pdfs.values():
            assert document.path.endswith(f"/{document.invoice.number}.pdf")

    def each_invoice_is_paid_once(self) -> None:
        """In our books and in the processor's own, to the won and the cent."""
        payments = Payment.objects.using("system").filter(status=Payment.Status.SUCCEEDED)
        invoices = self._invoices()
        assert Counter(payment.invoice_id for payment in payments) == Counter(invoices.keys())
        for payment in payments:
            invoice = invoices[payment.invoice_id]
            assert (payment.amount, payment.currency) == (invoice.amount_due, invoice.currency)

        ledger = self.works.processor.get("/sandbox/ledger")
        taken = [entry for entry in ledger["entries"] if entry["status"] == "succeeded"]
        assert {entry["type"] for entry in taken} == {"charge"}
        theirs = Counter((entry["metadata"]["payment"], entry["amount"], entry["currency"]) for entry in taken)
        ours = Counter(
            (str(payment.pk), to_smallest_unit(payment.amount, payment.currency), payment.currency.lower())
            for payment in payments
        )
        assert theirs == ours

    def each_mail_arrived_under_one_message_id(self) -> None:
        rows = {row.message_id: row for row in OutboxMail.objects.using("system").select_related("invoice")}
        kinds = Counter((row.invoice_id, row.kind) for row in rows.values())
        assert kinds == Counter((pk, kind) for pk in self._invoices() for kind in (Kind.INVOICE, Kind.RECEIPT))
        arrived = self._arrived()
        assert {message["message_id"] for message in arrived} == set(rows)
        copies = Counter(message["message_id"] for message in arrived)
        print(
            f"{len(arrived)} mails arrived for {len(rows)}; attempts {Counter(row.attempts for row in rows.values())}"
        )
        for message in arrived:
            row = rows[message["message_id"]]
            assert row.invoice is not None
            assert message["to"] == [row.recipient] == [row.invoice.buyer["contact_email"]]
            assert row.invoice.number in message["subject"]
            assert copies[row.message_id] <= row.attempts, "nobody sends without a claim"
            of = (
                {"kind": Document.Kind.INVOICE, "invoice": row.invoice}
                if row.kind == Kind.INVOICE
                else {"kind": Document.Kind.RECEIPT, "payment_id": row.context["payment"]}
            )
            pdf = self.works.mailbox.get(f"/api/messages/{message['id']}/attachments/0")
            assert hashlib.sha256(pdf).hexdigest() == Document.objects.using("system").get(**of).sha256

    def _arrived(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for company in self.companies:
            answer = self.works.mailbox.get(f"/api/messages?to={company.owner.email}")
            assert answer["count"] == len(answer["messages"])
            found += answer["messages"]
        return found

    def _invoices(self) -> dict[Any, Invoice]:
        return {invoice.pk: invoice for invoice in Invoice.objects.using("system")}


def lose_a_call(company: Company, *, now: datetime, name: str) -> None:
    """One that reserved, and of which nobody heard again."""
    hold = holds.HoldRequest(
        organization_id=company.organization.pk,
        id=new_id(now),
        created_at=now,
        expires_at=now + timedelta(seconds=15),
        api_key_id=company.key.pk,
        model_id=1,
        amount=Decimal(100),
        request_id=name,
        upstream="test",
    )
    assert holds.reserve([hold]) == [None]
