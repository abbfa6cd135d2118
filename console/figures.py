"""Columns of figures for lists and details, written as everywhere on the site.

The filters are those of the templates' library `figures`. It belongs to the dashboard, which the console does not import, so
it is reached by its name, as a template would.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

from django.contrib.admin import display
from django.db.models import Model
from django.template import engines
from django.utils.html import format_html

Column = Callable[[Any], Any]


@cache
def figure(name: str) -> Callable[..., str]:
    """A filter of the library, by name."""
    return engines["django"].engine.template_libraries["figures"].filters[name]


def money(amount: Decimal | None, currency: str) -> str:
    """The amount as an invoice would write it; the exact one is its title."""
    if amount is None:
        return str(figure("money")(None))
    return format_html(
        '<span title="{}">{}</span>', figure("money_exact")(amount, currency), figure("money")(amount, currency)
    )


def money_column(
    field: str, label: Any, *, currency: str = "currency", of: Callable[[Any], Any] | None = None
) -> Column:
    """A column of the amounts in `field`, in the currency that stands in `currency` (dots lead to related rows)."""
    return named(
        f"{field}_figure",
        label,
        lambda row: money(of(row) if of else follow(row, field), follow(row, currency)),
        order=None if of else field,
    )


def count_column(field: str, label: Any) -> Column:
    return named(f"{field}_figure", label, lambda row: figure("tokens")(follow(row, field)), order=field)


def percent_column(field: str, label: Any) -> Column:
    return named(f"{field}_figure", label, lambda row: figure("percent")(follow(row, field), 2), order=field)


def named(name: str, label: Any, value: Column, *, order: str | None = None) -> Column:
    """A column; those whose name ends in `_figure` are aligned to the right by console.css."""

    @display(description=label, ordering=order)
    def column(row: Model) -> Any:
        return value(row)

    column.__name__ = name
    return column


def follow(row: Any, path: str) -> Any:
    """The attribute at the end of a path such as "organization.billing_currency"."""
    for name in path.split("."):
        row = getattr(row, name)
    return row
