"""Gapless numbers of invoices and credit notes: taken last in their transaction, so that a roll-back gives the number back."""

from django.db import connections

from billing.models import InvoiceSeries

DEFAULT_PREFIX, CREDIT_NOTES = "INV", "CN"
TAKE = "UPDATE billing_invoiceseries SET next_number = next_number + 1 WHERE id = %s RETURNING next_number - 1, prefix"

TAKEN = """
taken AS (
    UPDATE billing_invoiceseries SET next_number = next_number + 1
    WHERE id = (SELECT min(id) FROM billing_invoiceseries WHERE credit_notes_of_id IS NULL)
    RETURNING id, next_number - 1 AS sequence,
        prefix || '-' || lpad((next_number - 1)::text, greatest(6, length((next_number - 1)::text)), '0') AS number
)
"""
"""The same of the invoices' series as part of a statement that writes the row, so that others wait as briefly as can be."""


def take_number(series: InvoiceSeries) -> tuple[int, str]:
    """The next sequence of `series` and the number it prints as (INV-000123). Others wait until the transaction ends."""
    with connections["default"].cursor() as cursor:
        cursor.execute(TAKE, [series.pk])
        sequence, prefix = cursor.fetchone()
    return sequence, f"{prefix}-{sequence:06d}"


def credit_note_series(of: InvoiceSeries) -> InvoiceSeries:
    """The series of the credit notes on invoices of that series, made with the first of them: CN-000001, or CN-EX-000001."""
    prefix = CREDIT_NOTES if of.prefix == DEFAULT_PREFIX else f"{CREDIT_NOTES}-{of.prefix}"
    series, _made = InvoiceSeries.objects.get_or_create(credit_notes_of=of, defaults={"prefix": prefix})
    return series
