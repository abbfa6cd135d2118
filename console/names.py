"""What rows are called on the console."""

from django.db.models import Model
from django.utils.text import capfirst

from accounts.models import Source
from billing.models import InvoiceDraft, OutboxMail, Seller
from console.months import month_text
from console.own_words import in_words


def name_of(row: Model) -> str:
    """A row's own name; those that have none go by kind and number."""
    if isinstance(row, Source):
        return str(in_words("source_name", row.name))
    if isinstance(row, Seller):
        return row.legal_name
    if isinstance(row, OutboxMail):
        return f"{row.get_kind_display()} → {row.recipient}"
    if isinstance(row, InvoiceDraft):
        return f"{row.organization.name}, {month_text(row.period.starts_at, row.organization)}"
    return f"{capfirst(row._meta.verbose_name)} {row.pk}" if type(row).__str__ is Model.__str__ else str(row)
