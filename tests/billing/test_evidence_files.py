"""Evidence on disk: written by a later job, once, whole, the same bytes again, and recomputed by anybody."""

import io
import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client

from accounts.models import Organization
from billing import tasks
from billing.documents import DocumentDiffers
from billing.models import Document, Invoice
from billing.papers import document_files, evidence_files
from metering import export_rows
from pricing.verify_receipts import read_rows, verify
from tests.billing.collecting import AFTER, OCTOBER, meet_the_debtors, open_invoice
from tests.stories import Cast, use

LATER = AFTER + timedelta(hours=1)


@pytest.fixture
def cast(db: None) -> Cast:
    return meet_the_debtors()


@pytest.fixture
def invoice(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Invoice:
    """Acme's, of five requests, which are read two at a time."""
    monkeypatch.setattr(export_rows, "BATCH", 2)
    for hours in range(4):
        use(cast.acme.organization, at=OCTOBER + timedelta(hours=hours))
    return open_invoice(cast.acme)


def write(invoice: Invoice) -> Document:
    return evidence_files.write_evidence(organization_id=invoice.organization_id, invoice_id=invoice.pk, now=LATER)


def file_of(invoice: Invoice) -> Path:
    return document_files.absolute(f"{invoice.organization_id}/{invoice.number}-requests.csv")


def files() -> list[str]:
    return sorted(path.name for path in document_files.absolute("").rglob("*") if path.is_file())


def test_the_sweep_writes_what_recomputes_to_the_invoice(cast: Cast, invoice: Invoice) -> None:
    assert evidence_files.missing(now=AFTER + timedelta(seconds=59)) == []
    tasks.sweep_evidence()
    [row] = Document.objects.using("system").filter(kind="evidence")
    content = file_of(invoice).read_bytes()
    assert (row.sha256, row.size) == (document_files.digest(content), len(content))
    found = verify(read_rows(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert (found.rows, found.first, found.sums) == (5, [], {"KRW": invoice.exact_subtotal})

    client = Client(headers=cast.acme.headers)
    told = client.get(f"/api/v1/invoices/{invoice.pk}").json()["documents"]
    assert [(each["kind"], each["sha256"], each["size"]) for each in told] == [("evidence", row.sha256, row.size)]
    answer = client.get(f"/api/v1/invoices/{invoice.pk}/evidence")
    assert b"".join(answer) == content
    assert answer["Content-Disposition"] == 'attachment; filename="INV-000001-requests.csv"'


def test_what_is_not_written_yet_is_said_so(cast: Cast, invoice: Invoice) -> None:
    client = Client(headers=cast.acme.headers)
    answer = client.get(f"/api/v1/invoices/{invoice.pk}/evidence")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "evidence_not_ready")
    write(invoice)
    file_of(invoice).write_bytes(b"something else")
    assert client.get(f"/api/v1/invoices/{invoice.pk}/evidence").status_code == 503, "never other bytes than noted"
    stranger = Client(headers=cast.globex.headers)
    assert stranger.get(f"/api/v1/invoices/{invoice.pk}/evidence").status_code == 404


@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_a_damaged_file_is_written_again_and_is_the_same(invoice: Invoice, damage: str) -> None:
    write(invoice)
    good = file_of(invoice).read_bytes()
    if damage == "lost":
        file_of(invoice).unlink()
    else:
        file_of(invoice).write_bytes(good[:500])
    [fault] = evidence_files.evidence_that_differs()
    assert "INV-000001-requests.csv" in fault
    call_command("render_documents", "--verify")
    assert file_of(invoice).read_bytes() == good
    assert evidence_files.evidence_that_differs() == []


def test_again_and_at_once_it_is_one_file(invoice: Invoice) -> None:
    def work() -> None:
        write(invoice)
        connections.close_all()

    workers = [threading.Thread(target=work) for _number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Document.objects.using("system").filter(kind="evidence").count() == 1
    assert files() == ["INV-000001-requests.csv"]
    assert evidence_files.evidence_that_differs() == []


def test_other_bytes_than_were_noted_never_take_the_place(invoice: Invoice) -> None:
    write(invoice)
    good = file_of(invoice).read_bytes()
    Organization.objects.using("system").filter(pk=invoice.organization_id).update(slug="renamed")
    assert write(invoice).size == len(good), "an intact file is not written again"
    file_of(invoice).unlink()
    with pytest.raises(DocumentDiffers):
        write(invoice)
    assert files() == []
    with pytest.raises(CommandError):
        call_command("render_documents", "--verify")


def test_killed_before_it_takes_its_place_nothing_is_noted(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    connections.close_all()
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("accounts.whole_files.move", lambda *_paths: os.kill(os.getpid(), signal.SIGKILL))
        write(invoice)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not Document.objects.using("system").filter(kind="evidence").exists()
    assert not file_of(invoice).exists()
    write(invoice)
    assert evidence_files.evidence_that_differs() == []
