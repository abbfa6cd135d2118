"""The invoice becomes a PDF: rendered from its own rows, stored whole, noted with its hash, and read only if it is still that.

An invoice is final and Typst is given no clock, so rendering again gives the same bytes; a lost file is no loss.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef

from accounts.tenancy import tenant_scope
from billing import document_files
from billing.document_content import invoice_content
from billing.models import Document, Invoice, InvoiceLine
from billing.typesetting import typeset
from catalog.rate_details import details_of

INVOICE_TEMPLATE = "invoice.typ"
GRACE = timedelta(minutes=1) * settings.SWEEP_PACE
"""How long the job that an invoice's closing rang for is left alone."""
InvoiceKey = tuple[int, UUID]
"""(organization, invoice)"""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Rendering:
    """What became of invoices that were to be rendered."""

    rendered: int = 0
    failures: list[str] = field(default_factory=list)


class DocumentDiffers(Exception):
    """Rendered again, the invoice comes out as other bytes than were noted: by another version of the template, fonts or Typst.

    What is stored stays as it is; a lost file must come from the backup.
    """


def render_document(*, organization_id: int, invoice_id: UUID | str, now: datetime) -> Document:
    """Make sure that the invoice's PDF is stored and noted. Again, or twice at once, it changes nothing.

    Raises DocumentDiffers, `typesetting.FontsMissing`, `typesetting.TypesettingFailed`, OSError (a full disk: nothing is noted).
    """
    noted = _noted(organization_id, invoice_id)
    if noted is not None and _intact_bytes(noted) is not None:
        return noted
    return _render(organization_id, invoice_id, now=now)[0]


def open_document(invoice: Invoice, *, now: datetime) -> bytes:
    """The invoice's PDF, its hash checked; rendered first where it is missing or damaged. Raises as `render_document`."""
    noted = _noted(invoice.organization_id, invoice.pk)
    content = _intact_bytes(noted) if noted is not None else None
    return content if content is not None else _render(invoice.organization_id, invoice.pk, now=now)[1]


def missing(*, now: datetime, grace: timedelta = GRACE) -> list[InvoiceKey]:
    """Invoices that have had no document for `grace`, oldest first. Looks at all tenants."""
    documents = Document.objects.filter(invoice=OuterRef("pk"))
    invoices = Invoice.objects.using("system").filter(~Exists(documents), finalized_at__lte=now - grace)
    return list(invoices.order_by("finalized_at", "pk").values_list("organization_id", "pk"))


def damaged() -> list[InvoiceKey]:
    """Invoices whose stored document is lost or has other bytes than were noted; reads every file. Looks at all tenants."""
    rows = Document.objects.using("system").order_by("pk").iterator()
    return [(row.organization_id, row.invoice_id) for row in rows if _intact_bytes(row) is None]


def render_all(
    invoices: Sequence[InvoiceKey], *, now: datetime, progress: Callable[[int, int], None] = lambda done, of: None
) -> Rendering:
    """Render each; one that fails stops no other."""
    rendering = Rendering()
    for done, (organization_id, invoice_id) in enumerate(invoices, start=1):
        try:
            render_document(organization_id=organization_id, invoice_id=invoice_id, now=now)
            rendering.rendered += 1
        except Exception as error:
            rendering.failures.append(f"invoice {invoice_id}: {type(error).__name__}: {error}")
            log.exception("a document cannot be rendered", extra={"invoice": str(invoice_id)})
        progress(done, len(invoices))
    return rendering


def _render(organization_id: int, invoice_id: UUID | str, *, now: datetime) -> tuple[Document, bytes]:
    with tenant_scope([organization_id]):
        invoice = Invoice.objects.for_organization(organization_id).select_related("period").get(pk=invoice_id)
        lines = list(InvoiceLine.objects.for_organization(organization_id).filter(invoice=invoice).order_by("position"))
        rates = details_of(line.applied_rate_id for line in lines)
    content = typeset(INVOICE_TEMPLATE, invoice_content(invoice, lines, rates), made_at=invoice.finalized_at)
    return _store(invoice, content, now=now), content


def _store(invoice: Invoice, content: bytes, *, now: datetime) -> Document:
    """Row and file, or neither. Of two that store at once the second waits at the row, and finds that its bytes are the first's."""
    path, sha256 = document_files.relative_path(invoice.organization_id, invoice.number), document_files.digest(content)
    with tenant_scope([invoice.organization_id]):
        noted, _made = Document.objects.get_or_create(
            invoice=invoice,
            kind=Document.Kind.INVOICE,
            defaults={
                "organization_id": invoice.organization_id,
                "path": path,
                "sha256": sha256,
                "size": len(content),
                "rendered_at": now,
            },
        )
        if noted.sha256 != sha256:
            raise DocumentDiffers(f"{noted.path} was noted as {noted.sha256} and is rendered as {sha256}")
        document_files.write(noted.path, content)
    return noted


def _noted(organization_id: int, invoice_id: UUID | str) -> Document | None:
    with tenant_scope([organization_id]):
        documents = Document.objects.for_organization(organization_id)
        return documents.filter(invoice_id=invoice_id, kind=Document.Kind.INVOICE).first()


def _intact_bytes(noted: Document) -> bytes | None:
    try:
        return document_files.read(noted.path, sha256=noted.sha256)
    except document_files.WrongBytes as error:
        log.warning("a document is damaged and will be rendered again", extra={"reason": str(error)})
        return None
