"""Each kind of paper: which row it is made of, what it says, and the total that it states."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from accounts.round_trips import Statement, run
from accounts.stored_rows import columns, instance
from billing.corrections.credit_note_queries import lines_of
from billing.models import CreditNote, Document, Invoice, InvoiceLine, Payment, Quotation
from billing.papers.credit_note_content import credit_note_content
from billing.papers.document_content import invoice_content
from billing.papers.document_parts import stated
from billing.papers.quotation_content import quotation_content
from billing.papers.receipt_content import parties_of_today, receipt_content, receipt_number, top_up_receipt
from billing.papers.statement_content import statement_content
from billing.papers.usage_appendix import usage_appendix
from catalog.rate_details import KnownRates, RateDetails

Kind = Document.Kind
Kept = Mapping[str, Any]
Subject = Invoice | Payment | CreditNote | Quotation
FINAL = "is_final"
SubjectId = Any
"""UUIDs (of invoices, payments), whole numbers (of quotations), or either as text."""
LINES = Statement(
    f"SELECT {columns(InvoiceLine)} FROM {InvoiceLine._meta.db_table} "  # noqa: S608  (names of our own columns)
    "WHERE organization_id = %s AND invoice_id = %s ORDER BY position"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What a PDF is made of, and nothing else: the same paper is the same bytes."""

    subject: Subject
    content: Mapping[str, Any]
    made_at: datetime
    kept: Kept = field(default_factory=dict)
    """What `Document.kept` must hold for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperKind:
    """`subject` is the field of Document that names the row; of that row `name` tells the file's name, without its ending, and
    `total` what the PDF states. `read` is given what an earlier rendering kept (None: it is the first one), and the rates that a
    run knows already; it needs the tenant's scope, and raises the row's DoesNotExist.
    """

    subject: str
    name: Callable[[Any], str]
    read: Callable[[int, SubjectId, Kept | None, KnownRates], Paper]
    total: Callable[[Any], str]


def _invoice(organization_id: int, subject_id: SubjectId, kept: Kept | None, rates: KnownRates) -> Paper:
    invoice, lines = _invoice_and_lines(organization_id, subject_id)
    kept = _final(invoice) if kept is None else kept
    content = invoice_content(
        invoice, lines, _details(lines, rates), appendix=usage_appendix(invoice, lines), is_final=kept.get(FINAL, False)
    )
    return Paper(subject=invoice, content=content, made_at=invoice.finalized_at, kept=kept)


def _final(invoice: Invoice) -> Kept:
    """That a final invoice says so. One whose PDF was made when none did has kept nothing, and goes on saying what it said."""
    return {FINAL: True} if invoice.kind == Invoice.Kind.FINAL else {}


def _statement(organization_id: int, subject_id: SubjectId, kept: Kept | None, rates: KnownRates) -> Paper:
    invoice, lines = _invoice_and_lines(organization_id, subject_id)
    content = statement_content(invoice, lines, _details(lines, rates))
    return Paper(subject=invoice, content=content, made_at=invoice.finalized_at)


def _receipt(organization_id: int, subject_id: SubjectId, kept: Kept | None, rates: KnownRates) -> Paper:
    payments = Payment.objects.for_organization(organization_id).select_related("invoice__period", "organization")
    payment = payments.get(pk=subject_id, status__in=(Payment.Status.SUCCEEDED, Payment.Status.REVERSED))
    assert payment.settled_at is not None, "what succeeded was settled"
    if payment.invoice is not None:
        return Paper(subject=payment, content=receipt_content(payment, payment.invoice), made_at=payment.settled_at)
    parties = kept or parties_of_today(payment.organization, now=payment.settled_at)
    return Paper(subject=payment, content=top_up_receipt(payment, parties), made_at=payment.settled_at, kept=parties)


def _credit_note(organization_id: int, subject_id: SubjectId, kept: Kept | None, rates: KnownRates) -> Paper:
    note = CreditNote.objects.for_organization(organization_id).select_related("invoice").get(pk=subject_id)
    return Paper(subject=note, content=credit_note_content(note, lines_of(note)), made_at=note.issued_at)


def _quotation(organization_id: int, subject_id: SubjectId, kept: Kept | None, rates: KnownRates) -> Paper:
    quotation = Quotation.objects.for_organization(organization_id).get(pk=subject_id)
    return Paper(subject=quotation, content=quotation_content(quotation), made_at=quotation.created_at)


def _invoice_and_lines(organization_id: int, subject_id: SubjectId) -> tuple[Invoice, list[InvoiceLine]]:
    invoices = Invoice.objects.for_organization(organization_id).select_related("period", "organization", "terms")
    invoice = invoices.get(pk=subject_id)
    [lines] = run([(LINES, [organization_id, invoice.pk])])
    return invoice, [instance(InvoiceLine, line) for line in lines]


def _details(lines: Iterable[InvoiceLine], rates: KnownRates) -> Mapping[int, RateDetails]:
    return rates.details_of(line.applied_rate_id for line in lines if line.applied_rate_id is not None)


def _total(subject: Invoice | CreditNote | Quotation) -> str:
    return stated(subject.total, subject.currency)


def kind_of(subject: Subject) -> str:
    """The kind of document that is the subject's own."""
    return _OWN_KIND[type(subject)]


def file_name(subject: Subject, *, kind: str = "") -> str:
    """What the subject's document is called as a download; its own by default."""
    return f"{PAPERS[kind or kind_of(subject)].name(subject)}.pdf"


PAPERS: Mapping[str, PaperKind] = MappingProxyType(
    {
        Kind.INVOICE: PaperKind(subject="invoice", name=lambda invoice: invoice.number, read=_invoice, total=_total),
        Kind.STATEMENT: PaperKind(
            subject="invoice",
            name=lambda invoice: f"{invoice.number}-statement",
            read=_statement,
            total=_total,
        ),
        Kind.RECEIPT: PaperKind(
            subject="payment",
            name=receipt_number,
            read=_receipt,
            total=lambda payment: stated(payment.amount, payment.currency),
        ),
        Kind.CREDIT_NOTE: PaperKind(
            subject="credit_note", name=lambda note: note.number, read=_credit_note, total=_total
        ),
        Kind.QUOTATION: PaperKind(
            subject="quotation",
            name=lambda quotation: quotation.number,
            read=_quotation,
            total=_total,
        ),
    }
)
"""Every kind that is a PDF; evidence is a file of another sort (`evidence_files`)."""
_OWN_KIND: Mapping[type, str] = MappingProxyType(
    {Invoice: Kind.INVOICE, Payment: Kind.RECEIPT, CreditNote: Kind.CREDIT_NOTE, Quotation: Kind.QUOTATION}
)
