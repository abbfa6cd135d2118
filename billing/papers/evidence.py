"""The evidence of an invoice as a file: every request that was charged in its period, or behind one of its lines.

The amounts of all requests add up to the invoice's lines of usage, exactly; what requests put into a line, to its exact amount.
`verify_receipts` recomputes either offline. Rows are read batch by batch, each in a tenant scope of its own.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import Min
from django.http import StreamingHttpResponse

from accounts.tenancy import tenant_scope
from billing.invoice_queries import PricedLine, Share, shares_of
from billing.models import Invoice
from metering import export_rows
from metering.event_filters import EventFilter
from metering.export_formats import FORMATS
from metering.export_rows import HEADER, Batches, Kind
from metering.exporting import file_of
from metering.models import UsageRollup

LINE_COLUMNS = (
    ("line", Kind.WHOLE),
    ("line_token_class", Kind.WORD),
    ("line_quantity", Kind.WHOLE),
    ("line_unit_price", Kind.MONEY),
    ("line_amount", Kind.MONEY),
)
"""They follow those of the event."""


def invoice_file(invoice: Invoice, *, format_name: str) -> StreamingHttpResponse:
    """Every request charged in the invoice's period, late ones of earlier months included. Needs the tenant's scope."""
    return file_of(HEADER, invoice_rows(invoice), name=f"{invoice.number}-requests", format_name=format_name)


def invoice_rows(invoice: Invoice) -> Batches:
    """These requests as rows of HEADER, oldest first, read when they are iterated over. Needs the tenant's scope."""
    rollups = UsageRollup.objects.for_organization(invoice.organization_id).filter(period_id=invoice.period_id)
    first = rollups.aggregate(first=Min("hour"))["first"] or invoice.period.starts_at
    wanted = EventFilter(start=first, end=invoice.period.ends_at, period_id=invoice.period_id)
    return export_rows.export_rows(organization=invoice.organization, wanted=wanted)


def csv_pieces(rows: Batches) -> Iterator[bytes]:
    """Rows of HEADER as a CSV."""
    return FORMATS["csv"].write(HEADER, rows)


def line_file(invoice: Invoice, priced: PricedLine, *, format_name: str) -> StreamingHttpResponse:
    """Every request behind a line, newest first, with what it put into the line."""
    name = f"{invoice.number}-line-{priced.line.position}"
    return file_of((*HEADER, *LINE_COLUMNS), _line_rows(invoice, priced), name=name, format_name=format_name)


def _line_rows(invoice: Invoice, priced: PricedLine) -> Batches:
    last = None
    while True:
        with tenant_scope([invoice.organization_id]):
            shares = shares_of(invoice=invoice, priced=priced, limit=export_rows.BATCH, before=last)
            rows = export_rows.rows_of(invoice.organization, [share.event for share in shares])
        if rows:
            yield [row + _cells(share, priced) for row, share in zip(rows, shares, strict=True)]
        if len(shares) < export_rows.BATCH:
            return
        last = shares[-1].event.id


def _cells(share: Share, priced: PricedLine) -> tuple[Any, ...]:
    line = priced.line
    return line.position, priced.token_class.value, share.quantity, line.unit_price, share.amount
