"""What goes away in the middle: PostgreSQL at any statement and at the commit, a mail server, a renderer, room on the disk.

What was asked for is done once in the end, and until then not at all.
"""

import itertools
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connections
from pytest_django.fixtures import Settings

from accounts.tenancy import tenant_scope
from billing import delivery, documents, invoicing
from billing.corrections.write_offs import write_off_invoice
from billing.models import Document, Invoice, OutboxMail
from billing.papers import document_files, evidence_files
from ledger.models import BillingPeriod
from tests import stories
from tests.billing.collecting import AFTER, DUE, LOTS, OCTOBER, House, meet_the_debtors, open_invoice
from tests.billing.correcting import note_on
from tests.billing.test_bank_transfers import transfer
from tests.sandbox.processes import StandIn, stand_in

LATER = AFTER + timedelta(hours=1)
LOST = (OperationalError, InterfaceError)
MOST_STATEMENTS = 200
Deed = Callable[[House], object]


@pytest.fixture
def house(db: None) -> House:
    """Acme owes ₩2,260 for October; globex has used as much and is not invoiced yet."""
    cast = meet_the_debtors()
    stories.use(cast.globex.organization, at=OCTOBER, usage=LOTS)
    return House(cast, open_invoice(cast.acme), None)  # type: ignore[arg-type]


def close_globex(house: House) -> Invoice | None:
    globex = house.cast.globex.organization
    with tenant_scope([globex.pk]):
        period = BillingPeriod.objects.get()
    return invoicing.close_period(organization_id=globex.pk, period_id=period.pk, now=AFTER)


def void(house: House) -> object:
    return invoicing.void_invoice(
        organization_id=house.organization_id, invoice_id=house.invoice.pk, reason="x", now=LATER, actor=None
    )


def write_off(house: House) -> object:
    return write_off_invoice(
        organization_id=house.organization_id, invoice_id=house.invoice.pk, reason="x", now=LATER, actor=None
    )


DEEDS: dict[str, Deed] = {
    "closing": close_globex,
    "a-transfer": lambda house: transfer(house, DUE, received_at=AFTER, now=LATER),
    "a-credit-note": lambda house: note_on(house, {1: 1000}, now=LATER),
    "voiding": void,
    "writing-off": write_off,
}


@contextmanager
def dying(administrator: psycopg.Connection[Any], *, at: int) -> Iterator[list[int]]:
    """The server ends our connections at the `at`-th statement, once; yields where the count of statements stands."""
    count = [0]

    def execute(proceed: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        count[0] += 1
        if count[0] == at:
            end_connections(administrator)
        return proceed(sql, params, many, context)

    with ExitStack() as stack:
        for alias in ("default", "system"):
            stack.enter_context(connections[alias].execute_wrapper(execute))
        yield count


def end_connections(administrator: psycopg.Connection[Any]) -> None:
    """As a restart does with all of this test's database, and nobody else's."""
    name = connections["default"].settings_dict["NAME"]
    ours = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    administrator.execute(ours, [name])


def everything() -> tuple[int, ...]:
    """How many rows each table of money, mail and history has, how many invoices are in which state, how many periods closed."""
    connections.close_all()
    models = [model for app in ("accounts", "ledger", "billing") for model in apps.get_app_config(app).get_models()]
    counts = [f"(SELECT count(*) FROM {model._meta.db_table})" for model in models]
    states = [f"(SELECT count(*) FROM billing_invoice WHERE status = '{status}')" for status in Invoice.Status.values]
    closed = "(SELECT count(*) FROM ledger_billingperiod WHERE status = 'closed')"
    with connections["system"].cursor() as cursor:
        cursor.execute(f"SELECT {', '.join([*counts, *states, closed])}")
        return tuple(cursor.fetchone())


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_postgresql_that_dies_at_any_statement_leaves_nothing_half_done(
    house: House, servers: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, deed: Deed
) -> None:
    monkeypatch.setattr(invoicing, "with_retries", lambda transaction: transaction())
    before, died = everything(), 0
    for at in itertools.count(1):
        with dying(servers, at=at) as count, suppress(*LOST):
            deed(house)
        if count[0] < at:
            break
        died += 1
        assert everything() == before, f"after {died} statements something was kept"
        assert at < MOST_STATEMENTS
    assert died >= 5
    after = everything()
    assert after != before
    call_command("audit")


def test_a_close_goes_on_by_itself_when_postgresql_is_back(house: House, servers: psycopg.Connection[Any]) -> None:
    with dying(servers, at=9) as count:
        invoice = close_globex(house)
    assert count[0] > 9 and invoice is not None
    assert (invoice.number, invoice.amount_due) == ("INV-000002", DUE)
    call_command("audit")


def test_a_commit_whose_answer_is_lost_is_not_done_twice(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL has committed, and the connection dies before it can say so."""
    connections["default"].ensure_connection()
    commit, lost = connections["default"]._commit, []

    def committed_unheard() -> None:
        commit()
        if not lost and Invoice.objects.using("system").count() == 2:
            lost.append(True)
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(connections["default"], "_commit", committed_unheard)
    invoice = close_globex(house)
    assert lost and invoice is not None
    numbers = Invoice.objects.using("system").order_by("sequence").values_list("number", flat=True)
    assert list(numbers) == ["INV-000001", "INV-000002"]
    assert OutboxMail.objects.using("system").filter(invoice=invoice).count() == 1
    call_command("audit")


@pytest.fixture
def mailbox(tmp_path: Path, settings: Settings) -> Iterator[StandIn]:
    settings.EMAIL_BACKEND, settings.EMAIL_TIMEOUT = "django.core.mail.backends.smtp.EmailBackend", 0.5
    with stand_in("mailbox", "--smtp-port", "0", "--directory", str(tmp_path / "mails")) as running:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.started["smtp_port"]
        yield running


def test_a_mail_server_that_never_says_a_word_is_down_and_costs_no_attempt(
    house: House, mailbox: StandIn, settings: Settings
) -> None:
    documents.render_document(organization_id=house.organization_id, subject_id=house.invoice.pk, now=AFTER)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings.EMAIL_PORT = silent.getsockname()[1]
        with pytest.raises(delivery.MailServerUnreachable):
            delivery.deliver_waiting(now=LATER)
    waiting = OutboxMail.objects.using("system").get()
    assert (waiting.status, waiting.attempts) == ("waiting", 0) and "timed out" in waiting.last_error
    settings.EMAIL_PORT = mailbox.started["smtp_port"]
    assert delivery.deliver_waiting(now=LATER).sent == 1


def test_a_mail_server_that_falls_silent_with_the_mail_gets_it_again_under_the_same_id(
    house: House, mailbox: StandIn
) -> None:
    """It has the mail, and does not say so in time: at least once, and programs can tell that it is the same."""
    documents.render_document(organization_id=house.organization_id, subject_id=house.invoice.pk, now=AFTER)
    mailbox.order({"fault": "slow-after-data:2", "times": 1})
    assert delivery.deliver_waiting(now=LATER).put_off == 1
    assert delivery.deliver_waiting(now=LATER + timedelta(minutes=2)).sent == 1
    deadline = time.monotonic() + 60
    while len(found := mailbox.get("/api/messages")["messages"]) < 2:
        assert time.monotonic() < deadline, "the first copy never arrived"
        time.sleep(0.1)
    sent = OutboxMail.objects.using("system").get()
    letters = [mailbox.get(f"/api/messages/{message['id']}") for message in found]
    assert {letter["message_id"] for letter in letters} == {sent.message_id}
    assert (sent.status, sent.attempts) == ("sent", 2)


def test_a_renderer_that_hangs_holds_up_nobody_and_changes_nothing_when_it_wakes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    typeset, hangs, wakes = documents.typeset, threading.Event(), threading.Event()
    first = [True]

    def hang_once(*args: Any, **kwargs: Any) -> bytes:
        if first and first.pop():
            hangs.set()
            assert wakes.wait(60)
        return typeset(*args, **kwargs)

    monkeypatch.setattr(documents, "typeset", hang_once)
    found: list[Document] = []

    def render() -> None:
        found.append(
            documents.render_document(organization_id=house.organization_id, subject_id=house.invoice.pk, now=LATER)
        )
        connections.close_all()

    stuck = threading.Thread(target=render)
    stuck.start()
    assert hangs.wait(30)
    render()
    other = close_globex(house)
    assert other is not None and documents.open_document(other, now=LATER)
    wakes.set()
    stuck.join()
    assert found[0].pk == found[1].pk and found[0].sha256 == found[1].sha256
    assert document_files.is_intact(found[0].path, sha256=found[0].sha256)


def test_evidence_on_a_full_disk_leaves_neither_half_a_file_nor_a_row(house: House) -> None:
    def write() -> Document:
        return evidence_files.write_evidence(
            organization_id=house.organization_id, invoice_id=house.invoice.pk, now=LATER
        )

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = [path for path in document_files.absolute("").rglob("*") if path.is_file()]
    assert kept == [] and not Document.objects.using("system").exists()
    assert write().size > 64
