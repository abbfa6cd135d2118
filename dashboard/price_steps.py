"""The price history on a model's page: a table of every change, newest first, and two charts of the same, cost and price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from catalog import price_book
from catalog.models import CostTable
from catalog.price_history import Change, DatedPrice, price_history
from catalog.price_snapshot import ModelEntry
from dashboard.model_prices import MAIN_CLASSES, PriceLine, condition_text, price_lines
from dashboard.pages import page_links, page_of
from dashboard.rate_sources import source_name
from dashboard.readers import Reader
from dashboard.step_charts import Step
from dashboard.templatetags.figures import table_time
from pricing.exact import ONE, exact_product, exact_sum

ROWS = 12
MILLION = 1_000_000

CHANGES: Mapping[Change, Promise] = {
    Change.LISTED: _("on the list"),
    Change.COST: _("upstream cost"),
    Change.MARKUP: _("markup"),
    Change.EXCHANGE_RATE: _("exchange rate"),
    Change.DELISTED: _("off the list"),
}


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A dated price as the table shows it. `lines` are input and output, `more` what else the upstream lists."""

    price: DatedPrice
    is_first: bool
    table: str
    lines: Sequence[PriceLine]
    more: Sequence[PriceLine]
    conditions: Sequence[tuple[str, Sequence[PriceLine]]]

    @property
    def is_listed(self) -> bool:
        return self.price.sheet is not None

    @property
    def changes(self) -> list[Promise]:
        return [_("First price")] if self.is_first else [CHANGES[change] for change in self.price.changes]

    @property
    def source(self) -> str:
        return source_name(self.price.exchange.source) if self.price.exchange else ""


def history_part(request: HttpRequest, model: ModelEntry, reader: Reader, *, now: datetime) -> dict[str, Any]:
    """What `site/price_history.html` shows: a page of rows, the steps of both charts, whose prices they are."""
    factor = exact_sum((ONE, reader.buyer.tax_rate)) if reader.inclusive else ONE
    history = price_history(terms=reader.buyer.terms, model=model, now=now)
    tables = dict(CostTable.objects.values_list("pk", "name")) if history else {}
    page = page_of(request, history[::-1], size=ROWS)
    links = page_links(request, page)
    return {
        "history": [_row(price, tables, factor=factor, is_first=price is history[0]) for price in page],
        "history_page": page,
        "history_links": {name: f"{address}#history" for name, address in links.items() if address},
        "currency": reader.buyer.terms.currency,
        "has_unpriced": any(not price.is_priced for price in page if price.sheet),
        "chart_end": now,
        "chart_series": [_("Input"), _("Output")],
        "cost_steps": [_step(price, price.unit_costs) for price in history] if len(history) > 1 else [],
        "price_steps": [_step(price, price.unit_prices(price.unit_costs), factor) for price in history]
        if any(price.is_priced for price in history[:-1])
        else [],
    }


def tombstone_of(model: ModelEntry, *, at: datetime) -> datetime | None:
    """Since when the model is off its upstream's list; None while it is on it, or has not been yet."""
    price = price_book.current().price(model, at)
    return price.since if price and price.value is None else None


def _row(price: DatedPrice, tables: Mapping[int, str], *, factor: Decimal, is_first: bool) -> HistoryRow:
    lines = _with_tax(price_lines(price.unit_costs, price), factor)
    overrides = price.sheet.overrides if price.sheet else ()
    conditions = [(condition_text(each), _with_tax(price_lines(each.unit_costs, price), factor)) for each in overrides]
    return HistoryRow(
        price=price,
        is_first=is_first,
        table=tables[price.cost_table_id],
        lines=[line for line in lines if line.token_class in MAIN_CLASSES],
        more=[line for line in lines if line.token_class not in MAIN_CLASSES],
        conditions=conditions,
    )


def _with_tax(lines: Sequence[PriceLine], factor: Decimal) -> list[PriceLine]:
    """Our prices as the reader sees them; the upstream's cost is without our tax either way."""
    return [line if line.price is None else replace(line, price=exact_product(line.price, factor)) for line in lines]


def _step(price: DatedPrice, amounts: Mapping[Any, Decimal], factor: Decimal = ONE) -> Step:
    """Input and output, for 1M tokens, times `factor`."""
    values = [amounts.get(token_class) for token_class in MAIN_CLASSES]
    until = f" – {table_time(price.until)}" if price.until else " –"
    return Step(
        price.since,
        [None if value is None else exact_product(value, MILLION, factor) for value in values],
        f"{table_time(price.since)}{until}",
    )
