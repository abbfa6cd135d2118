"""Gapless invoice numbers: taken last in the finalizing transaction, so that a roll-back gives the number back."""

from django.db import connections

from billing.models import InvoiceSeries

TAKE = "UPDATE billing_invoiceseries SET next_number = next_number + 1 WHERE id = %s RETURNING next_number - 1, prefix"


def take_number(series: InvoiceSeries) -> tuple[int, str]:
    """The next sequence of `series` and the number it prints as (INV-000123). Others wait until the transaction ends."""
    with connections["default"].cursor() as cursor:
        cursor.execute(TAKE, [series.pk])
        sequence, prefix = cursor.fetchone()
    return sequence, f"{prefix}-{sequence:06d}"
