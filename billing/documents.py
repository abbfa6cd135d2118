"""Papers become PDFs: rendered from rows alone, stored whole, noted with their hash, and read only if they are still that.

What they are made of is final and Typst is given no clock, so rendering again gives the same bytes; a lost file is no loss.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef

from accounts.round_trips import tenant_transaction
from accounts.stored_rows import insertion, values
from accounts.tenancy import tenant_scope
from billing.models import Document, Invoice
from billing.papers import document_files
from billing.papers.paper_kinds import PAPERS, Paper, Subject, SubjectId, file_name, kind_of
from billing.papers.typesetting import VERSION, typeset
from catalog.rate_details import KnownRates

GRACE = timedelta(minutes=1) * settings.SWEEP_PACE
"""How long the job that an invoice's closing rang for is left alone."""
Kind = Document.Kind
NOTE = insertion(Document, after=" ON CONFLICT DO NOTHING RETURNING id")
DocumentKey = tuple[int, str, UUID | int]
"""(organization, kind of document, id of the row that it is made of)"""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Rendering:
    """What became of papers that were to be rendered."""

    rendered: int = 0
    failures: list[str] = field(default_factory=list)


class DocumentDiffers(Exception):
    """Rendered again, the paper comes out as other bytes than were noted: with other words, by other fonts or another Typst.

    What is stored stays as it is; a lost file must come from the backup.
    """


def render_document(
    *,
    organization_id: int,
    subject_id: SubjectId,
    kind: str = Kind.INVOICE,
    now: datetime,
    rates: KnownRates | None = None,
) -> Document:
    """Make sure that the PDF of an invoice, a payment … is stored and noted. Again, or twice at once, it changes nothing.

    `rates` are shared by the papers of a run.

    Raises DocumentDiffers, `typesetting.FontsMissing`, `typesetting.TypesettingFailed`, OSError (a full disk: nothing is noted),
    and the subject's DoesNotExist.
    """
    return _noted_or_rendered(organization_id, kind, subject_id, rates=rates or KnownRates(), now=now)[0]


def open_document(subject: Subject, *, kind: str = "", now: datetime) -> bytes:
    """The subject's PDF, by default that with its own name, its hash checked; rendered first where it is missing or damaged.

    Raises as `render_document`.
    """
    kind = kind or kind_of(subject)
    return _noted_or_rendered(subject.organization_id, kind, subject.pk, rates=KnownRates(), now=now)[1]


def missing(*, now: datetime, grace: timedelta = GRACE) -> list[DocumentKey]:
    """Invoices that have had no PDF for `grace`, oldest first; other papers are made when somebody wants them. Looks at all
    tenants."""
    documents = Document.objects.filter(invoice=OuterRef("pk"), kind=Kind.INVOICE)
    invoices = Invoice.objects.using("system").filter(~Exists(documents), finalized_at__lte=now - grace)
    found = invoices.order_by("finalized_at", "pk").values_list("organization_id", "pk")
    return [(organization_id, Kind.INVOICE.value, invoice_id) for organization_id, invoice_id in found]


def damaged() -> list[DocumentKey]:
    """What is stored in a file that is lost or has other bytes than were noted; reads every file. Looks at all tenants."""
    rows = Document.objects.using("system").filter(kind__in=PAPERS).order_by("pk").iterator()
    return [
        (row.organization_id, row.kind, getattr(row, f"{PAPERS[row.kind].subject}_id"))
        for row in rows
        if _intact_bytes(row) is None
    ]


def render_all(
    keys: Sequence[DocumentKey], *, now: datetime, progress: Callable[[int, int], None] = lambda done, of: None
) -> Rendering:
    """Render each; one that fails stops no other."""
    rendering, rates = Rendering(), KnownRates()
    for done, (organization_id, kind, subject_id) in enumerate(keys, start=1):
        try:
            render_document(organization_id=organization_id, kind=kind, subject_id=subject_id, now=now, rates=rates)
            rendering.rendered += 1
        except Exception as error:
            rendering.failures.append(f"{kind} {subject_id}: {type(error).__name__}: {error}")
            log.exception("a document cannot be rendered", extra={"kind": kind, "subject": str(subject_id)})
        progress(done, len(keys))
    return rendering


def _noted_or_rendered(
    organization_id: int, kind: str, subject_id: SubjectId, *, rates: KnownRates, now: datetime
) -> tuple[Document, bytes]:
    """The row of the document and its bytes; what is not there as it was noted is rendered between two transactions."""
    with tenant_scope([organization_id]):
        noted = noted_document(organization_id, kind, subject_id)
        if noted is not None and (content := _intact_bytes(noted)) is not None:
            return noted, content
        paper = PAPERS[kind].read(organization_id, subject_id, noted.kept if noted else None, rates)
    version = noted.template if noted else VERSION
    content = typeset(paper.content, made_at=paper.made_at, version=version)
    return _store(organization_id, kind, subject_id, paper, content, version=version, now=now), content


def noted_document(organization_id: int, kind: str, subject_id: SubjectId) -> Document | None:
    """The row of a document, whatever became of its file. Needs the tenant's scope."""
    documents = Document.objects.for_organization(organization_id)
    return documents.filter(kind=kind, **{PAPERS[kind].subject: subject_id}).first()


def _store(
    organization_id: int,
    kind: str,
    subject_id: SubjectId,
    paper: Paper,
    content: bytes,
    *,
    version: int,
    now: datetime,
) -> Document:
    """Row and file, or neither. Of two that store at once the second waits at the row, and finds that its bytes are the first's."""
    made = Document(
        organization_id=organization_id,
        kind=kind,
        path=document_files.relative_path(organization_id, file_name(paper.subject, kind=kind)),
        sha256=document_files.digest(content),
        size=len(content),
        rendered_at=now,
        kept=dict(paper.kept),
        template=version,
        **{f"{PAPERS[kind].subject}_id": paper.subject.pk},
    )
    with tenant_transaction([organization_id], [(NOTE, values(made))]) as hot:
        if number := hot.rows[0]:
            [[made.pk]] = number
        noted = made if number else noted_document(organization_id, kind, subject_id)
        assert noted is not None, "a document is never deleted"
        if noted.sha256 != made.sha256:
            raise DocumentDiffers(f"{noted.path} was noted as {noted.sha256} and is rendered as {made.sha256}")
        document_files.write(noted.path, content)
    return noted


def _intact_bytes(noted: Document) -> bytes | None:
    try:
        return document_files.read(noted.path, sha256=noted.sha256)
    except document_files.WrongBytes as error:
        log.warning("a document is damaged and will be rendered again", extra={"reason": str(error)})
        return None
