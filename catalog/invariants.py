"""Invariants of prices: one at a time, and applied rates that are exactly what they are made of."""

from accounts.invariants import LIMIT, Invariant, Violations, by_sql
from catalog.models import AppliedRate
from catalog.price_sheets import parse_price_map, sheet_from_json
from pricing.exact import ONE
from pricing.rating import unit_prices


def _inexact_applied_rates() -> Violations:
    """Applied rates whose unit prices are not unit costs × (1 + markup) × rate, or whose unit costs are not their band's."""
    rows = AppliedRate.objects.using("system").select_related("cost_price", "markup_rule", "exchange_rate")
    faults = ((row.pk, _fault_of(row)) for row in rows.order_by("pk").iterator())
    return [f"applied rate {number}: {fault}" for number, fault in faults if fault][:LIMIT]


def _fault_of(row: AppliedRate) -> str:
    if not row.cost_price.sheet or row.markup_rule.markup is None:
        return "refers to a tombstone"
    try:
        costs = parse_price_map(row.unit_costs)
        exchange_rate = row.exchange_rate.rate if row.exchange_rate else ONE
        expected = unit_prices(costs, markup=row.markup_rule.markup, exchange_rate=exchange_rate)
        if expected != parse_price_map(row.unit_prices):
            return "unit prices are not cost × markup × exchange rate"
        if costs != sheet_from_json(row.cost_price.sheet).named_band(row.band).unit_costs:
            return f"unit costs are not those of band {row.band}"
    except ValueError as error:
        return str(error)
    return ""


INVARIANTS = (
    Invariant("9b", "applied rate = cost price × markup × exchange rate", _inexact_applied_rates),
    by_sql(
        "10",
        "one cost price per model, moment and revision",
        """
        SELECT cost_table_id, language_model_id, effective_from, revision FROM catalog_costprice
        GROUP BY 1, 2, 3, 4 HAVING count(*) > 1
        """,
    ),
    by_sql(
        "25",
        "one exchange rate per pair, source, date and revision, above zero",
        """
        SELECT base, quote, source, published_on, revision FROM catalog_exchangerate
        GROUP BY 1, 2, 3, 4, 5 HAVING count(*) > 1 OR min(rate) <= 0
        """,
    ),
)
