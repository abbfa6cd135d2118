"""PDFs on disk: whole or not there, the same bytes every time, found again when lost, refused when changed."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections
from pytest_django.fixtures import Settings

from accounts.models import Organization
from accounts.tenancy import tenant_scope
from billing import documents, tasks
from billing.closures import asking, finishing
from billing.models import Document, Invoice, OutboxMail
from billing.papers import document_audit, document_files, paper_kinds, typesetting
from billing.papers.document_audit import documents_that_differ
from billing.papers.paper_kinds import PAPERS, Paper
from config.launch.places import CHECKOUT
from tests.billing.collecting import AFTER, LOTS, meet_the_debtors, open_invoice
from tests.billing.papers import pages, squeezed
from tests.stories import Cast, use

LATER = AFTER + timedelta(hours=1)


@pytest.fixture
def cast(db: None) -> Cast:
    return meet_the_debtors()


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    return open_invoice(cast.acme)


def render(invoice: Invoice) -> Document:
    return documents.render_document(organization_id=invoice.organization_id, subject_id=invoice.pk, now=LATER)


def file_of(invoice: Invoice) -> Path:
    return document_files.absolute(f"{invoice.organization_id}/{invoice.number}.pdf")


def rows() -> list[Document]:
    return list(Document.objects.using("system").order_by("pk"))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("language", "title"), [("ko", "청구서"), ("en", "Invoice")])
def test_a_closed_month_becomes_a_pdf_in_the_customers_language(cast: Cast, language: str, title: str) -> None:
    Organization.objects.using("system").filter(pk=cast.acme.organization.pk).update(language=language)
    invoice = open_invoice(cast.acme)
    row = render(invoice)

    content = file_of(invoice).read_bytes()
    assert (row.sha256, row.size, row.path) == (
        document_files.digest(content),
        len(content),
        f"{invoice.organization_id}/INV-000001.pdf",
    )
    said = "".join(pages(content))
    for text in (title, "INV-000001", "mistralai/devstral-small", "100,000,000", "₩66/1M", "₩6,600", "₩660", "₩7,260",
                 "−₩5,000", "₩2,260", "220-81-62517", "1USD=1,500.00"):  # fmt: skip
        assert squeezed(text) in said
    assert documents.open_document(invoice, now=LATER) == content
    call_command("audit")


@pytest.mark.parametrize(
    ("language", "said", "opening"),
    [("ko", "최종 청구서", "해지에 따라 2026년 11월"), ("en", "Final invoice", "your final invoice, for API usage in")],
)
def test_a_final_invoice_says_so_and_is_made_again_as_it_was(
    cast: Cast, language: str, said: str, opening: str
) -> None:
    final = close_at_once(cast, language)
    row = render(final)
    good = file_of(final).read_bytes()
    first, *_others = pages(good)
    assert squeezed(said) in first and squeezed(opening) in first
    assert row.kept == {"is_final": True}
    file_of(final).unlink()
    assert documents.open_document(final, now=LATER) == good
    [monthly] = Invoice.objects.using("system").filter(kind=Invoice.Kind.MONTHLY)
    render(monthly)
    assert squeezed(said) not in "".join(pages(file_of(monthly).read_bytes()))


def test_the_pdf_of_a_final_invoice_from_before_it_said_so_stays_as_it_is(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = close_at_once(cast, "ko")
    with monkeypatch.context() as earlier:
        earlier.setattr(paper_kinds, "_final", lambda _invoice: {})
        render(final)
    good = file_of(final).read_bytes()
    file_of(final).unlink()
    assert "최종" not in "".join(pages(good))
    assert documents.open_document(final, now=LATER) == good


def close_at_once(cast: Cast, language: str) -> Invoice:
    """Acme has an invoice for October, is closed in November, and that is its final one."""
    Organization.objects.using("system").filter(pk=cast.acme.organization.pk).update(language=language)
    open_invoice(cast.acme)
    use(cast.acme.organization, at=AFTER, now=AFTER, usage=LOTS)
    asking.ask_for_closure(organization_id=cast.acme.organization.pk, at_once=True, now=LATER, actor=None)
    [final] = finishing.finish_all(now=LATER + timedelta(minutes=2))
    assert final.kind == Invoice.Kind.FINAL
    return final


def test_again_and_at_once_it_is_one_document(invoice: Invoice) -> None:
    found: list[Document] = []

    def work() -> None:
        found.append(render(invoice))
        connections.close_all()

    workers = [threading.Thread(target=work) for _number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    written = file_of(invoice).stat().st_mtime_ns
    render(invoice)

    assert len(found) == 6
    assert [row.pk for row in rows()] == [found[0].pk]
    assert file_of(invoice).stat().st_mtime_ns == written
    assert files(document_files.absolute("")) == ["INV-000001.pdf"]


@pytest.mark.parametrize("damage", ["lost", "cut", "changed"])
def test_a_damaged_file_is_made_again_and_is_the_same(invoice: Invoice, damage: str) -> None:
    render(invoice)
    good = file_of(invoice).read_bytes()
    if damage == "lost":
        file_of(invoice).unlink()
    else:
        file_of(invoice).write_bytes(good[:1000] if damage == "cut" else good.replace(b"Pretendard", b"Pretendars"))
    assert len(documents_that_differ()) == 1

    assert documents.open_document(invoice, now=LATER) == good
    assert file_of(invoice).read_bytes() == good
    assert documents_that_differ() == []


def test_a_paper_of_an_older_template_is_made_again_by_that_one(
    invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(documents, "VERSION", 1)
        row = render(invoice)
    good = file_of(invoice).read_bytes()
    file_of(invoice).unlink()
    assert documents.open_document(invoice, now=LATER) == good
    assert row.template == 1

    statement = documents.render_document(
        organization_id=invoice.organization_id, subject_id=invoice.pk, kind=Document.Kind.STATEMENT, now=LATER
    )
    assert statement.template == typesetting.VERSION > 1


@pytest.mark.parametrize(
    ("version", "known"),
    [
        (1, "0319392320a57ce8"),
        (2, "6e3ad185e01785be"),
    ],
)
def test_a_template_that_made_papers_is_never_changed(version: int, known: str) -> None:
    """What is to look otherwise is a new version in a folder of its own."""
    folder = typesetting.TEMPLATES / str(version)
    content = b"".join(folder.joinpath(name).read_bytes() for name in ("document.typ", "sheet.typ"))
    assert hashlib.sha256(content).hexdigest()[:16] == known


def test_another_process_in_another_place_makes_the_same_bytes(
    invoice: Invoice, process_environment: dict[str, str]
) -> None:
    render(invoice)
    good = file_of(invoice).read_bytes()
    file_of(invoice).unlink()
    elsewhere = process_environment | {"TZ": "America/New_York", "LC_ALL": "C"}
    command = [sys.executable, "manage.py", "render_documents", "--verify"]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=elsewhere, capture_output=True, text=True, timeout=240, check=False
    )
    assert "1 rendered, 1 files of evidence written, 0 failed." in done.stdout, done.stderr
    assert file_of(invoice).read_bytes() == good


def test_other_bytes_than_were_noted_are_refused(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    render(invoice)
    file_of(invoice).unlink()
    monkeypatch.setattr(documents, "typeset", lambda *_args, **_options: b"%PDF-1.7 of another template")
    for _attempt in range(2):
        with pytest.raises(documents.DocumentDiffers, match=r"INV-000001\.pdf was noted as"):
            documents.open_document(invoice, now=LATER)
    assert not file_of(invoice).exists()


def test_a_pdf_that_states_another_total_is_found(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    render(invoice)
    assert documents_that_differ() == []
    papers = {"invoice": replace(PAPERS["invoice"], total=lambda _document: "KRW 7261")}
    monkeypatch.setattr(document_audit, "PAPERS", papers)
    [fault] = documents_that_differ()
    assert fault.endswith("states INV-000001, KRW 7260 instead of KRW 7261")


def test_a_full_disk_leaves_neither_half_a_file_nor_a_row(invoice: Invoice) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            render(invoice)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (rows(), files(document_files.absolute(""))) == ([], [])

    render(invoice)
    assert (len(rows()), files(document_files.absolute(""))) == (1, ["INV-000001.pdf"])


def test_killed_before_the_rename_leaves_the_old_file(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    path = render(invoice).path
    good = file_of(invoice).read_bytes()
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "replace", lambda *_paths: os.kill(os.getpid(), signal.SIGKILL))
        document_files.write(path, b"half")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    assert file_of(invoice).read_bytes() == good
    [left_over] = file_of(invoice).parent.glob(".*.tmp")
    os.utime(left_over, (AFTER.timestamp(), AFTER.timestamp()))
    assert document_files.remove_leftovers(now=AFTER + timedelta(minutes=59)) == 0
    assert document_files.remove_leftovers(now=AFTER + timedelta(minutes=61)) == 1
    assert files(document_files.absolute("")) == ["INV-000001.pdf"]


@pytest.mark.parametrize("number", ["../INV-1", "INV/1", "", ".INV", "INV 1", "INV-1\n"])
def test_a_number_that_is_no_file_name_is_refused(number: str) -> None:
    with pytest.raises(document_files.UnsafeName):
        document_files.relative_path(1, f"{number}.pdf")


def test_a_neighbour_renders_nothing(cast: Cast, invoice: Invoice) -> None:
    with pytest.raises(Invoice.DoesNotExist):
        documents.render_document(organization_id=cast.globex.organization.pk, subject_id=invoice.pk, now=LATER)
    render(invoice)
    with tenant_scope([cast.globex.organization.pk]):
        assert list(Document.objects.all()) == []


def test_a_document_is_history(invoice: Invoice) -> None:
    render(invoice)
    with pytest.raises(DatabaseError, match="history"):
        Document.objects.using("system").update(sha256="0" * 64)


def test_the_sweep_makes_what_nobody_rang_for(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = open_invoice(cast.acme), open_invoice(cast.globex)
    assert documents.missing(now=AFTER + timedelta(seconds=59)) == []
    assert len(documents.missing(now=LATER)) == 2

    real = documents.typeset

    def fail_for_acme(content: dict[str, object], **options: object) -> bytes:
        if content["number"] == first.number:
            raise typesetting.TypesettingFailed("broken")
        return real(content, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(documents, "typeset", fail_for_acme)
        tasks.sweep_documents()
    assert [row.invoice_id for row in rows()] == [second.pk]
    tasks.sweep_documents()
    assert {row.invoice_id for row in rows()} == {first.pk, second.pk}


def test_papers_that_fail_every_time_keep_nobody_from_theirs(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though they are the oldest ones, and as many as a sweep makes."""
    open_invoice(cast.acme)
    open_invoice(cast.globex)
    oldest, other = documents.missing(now=LATER)
    read = PAPERS["invoice"].read

    def fails_for_oldest(organization_id: int, *arguments: Any) -> Paper:
        if organization_id == oldest[0]:
            raise typesetting.TypesettingFailed("broken")
        return read(organization_id, *arguments)

    monkeypatch.setattr(tasks, "DOCUMENTS_A_SWEEP", 1)
    monkeypatch.setattr(documents, "PAPERS", {"invoice": replace(PAPERS["invoice"], read=fails_for_oldest)})
    for _sweep in range(100):
        if not rows():
            tasks.sweep_documents()
    assert [row.invoice_id for row in rows()] == [other[2]]


def test_rendering_rings_for_the_mail_that_waits(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(tasks, "ring", lambda task, **ids: rung.append((task.name, ids)))
    tasks.render_documents(invoices=[(invoice.organization_id, str(invoice.pk))])
    mail = OutboxMail.objects.using("system").get()
    assert rung == [
        ("billing.tasks.deliver_mail", {"organization_id": invoice.organization_id, "mail_id": str(mail.pk)})
    ]


def test_the_command_shows_progress_and_outcome(
    invoice: Invoice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(documents, "typeset", lambda *_args, **_options: 1 / 0)
        with pytest.raises(CommandError, match="run this again"):
            call_command("render_documents")
    call_command("render_documents")
    assert capsys.readouterr().out.splitlines()[-2:] == ["1 of 1", "1 rendered, 0 files of evidence written, 0 failed."]
    call_command("render_documents", "--verify")
    assert capsys.readouterr().out == "0 rendered, 0 files of evidence written, 0 failed.\n"


@pytest.fixture
def no_fonts(settings: Settings, tmp_path: Path) -> Iterator[None]:
    settings.DOCUMENT_FONT_PATHS = [str(tmp_path)]
    typesetting._fonts.cache_clear()
    yield
    typesetting._fonts.cache_clear()


def test_missing_fonts_are_named(cast: Cast, no_fonts: None, settings: Settings) -> None:
    with pytest.raises(CommandError, match=r"Noto Sans KR and Pretendard.*DOCUMENT_FONT_PATHS"):
        call_command("render_documents")
