"""The evidence of an invoice as a stored file: written by a later job, noted with its hash, the same bytes when written again.

It is the CSV of `evidence.invoice_file`: of a closed period, whose events never change, with names that are given once. It may be
long, so it is written, hashed and read in pieces.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import BinaryIO
from uuid import UUID

from django.db.models import Exists, OuterRef

from accounts.invariants import LIMIT, Violations
from accounts.tenancy import tenant_scope
from billing.documents import GRACE, DocumentDiffers, Rendering
from billing.models import Document, Invoice
from billing.papers import document_files, evidence

NAME = "{number}-requests.csv"
EvidenceKey = tuple[int, UUID]
"""(organization, invoice)"""

log = logging.getLogger(__name__)


def write_evidence(*, organization_id: int, invoice_id: UUID | str, now: datetime) -> Document:
    """Make sure that the invoice's evidence is stored and noted. Again, or twice at once, it changes nothing.

    Must run outside of a transaction: each piece is read in one of its own. Raises DocumentDiffers, Invoice.DoesNotExist, OSError
    (a full disk: nothing is noted).
    """
    with tenant_scope([organization_id]):
        invoices = Invoice.objects.for_organization(organization_id).select_related("period", "organization")
        invoice = invoices.get(pk=invoice_id)
        noted = noted_evidence(invoice)
        rows = evidence.invoice_rows(invoice)
    if noted is not None and document_files.is_intact(noted.path, sha256=noted.sha256):
        return noted
    path = document_files.relative_path(organization_id, NAME.format(number=invoice.number))
    pieces = evidence.csv_pieces(rows)
    with document_files.put_aside(path, pieces) as written, tenant_scope([organization_id]):
        noted, _made = Document.objects.get_or_create(
            kind=Document.Kind.EVIDENCE,
            invoice=invoice,
            defaults={
                "organization_id": organization_id,
                "path": path,
                "sha256": written.sha256,
                "size": written.size,
                "rendered_at": now,
            },
        )
        if noted.sha256 != written.sha256:
            raise DocumentDiffers(f"{noted.path} was noted as {noted.sha256} and is written as {written.sha256}")
        written.take_its_place()
    return noted


def noted_evidence(invoice: Invoice) -> Document | None:
    """The row of the file, whatever became of it. Needs the tenant scope."""
    documents = Document.objects.for_organization(invoice.organization_id)
    return documents.filter(invoice=invoice, kind=Document.Kind.EVIDENCE).first()


def open_evidence(document: Document) -> BinaryIO:
    """The file, to be sent in pieces, its hash checked before. Raises `document_files.WrongBytes`."""
    if not document_files.is_intact(document.path, sha256=document.sha256):
        raise document_files.WrongBytes(f"{document.path}: the file is not what was written")
    return document_files.absolute(document.path).open("rb")


def missing(*, now: datetime, grace: timedelta = GRACE) -> list[EvidenceKey]:
    """Invoices that have had no evidence for `grace`, oldest first. Looks at all tenants."""
    written = Document.objects.filter(invoice=OuterRef("pk"), kind=Document.Kind.EVIDENCE)
    invoices = Invoice.objects.using("system").filter(~Exists(written), finalized_at__lte=now - grace)
    return list(invoices.order_by("finalized_at", "pk").values_list("organization_id", "pk"))


def damaged() -> list[EvidenceKey]:
    """Invoices whose evidence is lost or has other bytes than were noted; reads every file. Looks at all tenants."""
    return [(row.organization_id, row.invoice_id) for row in _rows() if row.invoice_id and _fault_of(row)]


def write_all(
    keys: Sequence[EvidenceKey], *, now: datetime, progress: Callable[[int, int], None] = lambda done, of: None
) -> Rendering:
    """Write each; one that fails stops no other."""
    written = Rendering()
    for done, (organization_id, invoice_id) in enumerate(keys, start=1):
        try:
            write_evidence(organization_id=organization_id, invoice_id=invoice_id, now=now)
            written.rendered += 1
        except Exception as error:
            written.failures.append(f"evidence {invoice_id}: {type(error).__name__}: {error}")
            log.exception("evidence cannot be written", extra={"invoice": str(invoice_id)})
        progress(done, len(keys))
    return written


def evidence_that_differs() -> Violations:
    """Invariant 53: one line a file that is not what was noted. Reads every file, so it takes a while with many."""
    found: list[str] = []
    for document in _rows():
        if fault := _fault_of(document):
            found.append(f"organization_id {document.organization_id}, {fault}")
        if len(found) >= LIMIT:
            break
    return found


def _rows() -> Iterator[Document]:
    return Document.objects.using("system").filter(kind=Document.Kind.EVIDENCE).order_by("pk").iterator()


def _fault_of(document: Document) -> str:
    if document_files.is_intact(document.path, sha256=document.sha256):
        return ""
    return f"{document.path}: the file is not what was written"
