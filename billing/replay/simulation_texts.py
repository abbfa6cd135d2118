"""A simulation as text for a terminal, as JSON and as CSV. Exact amounts stand beside the rounded ones of the invoice."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from billing.line_notes import notes_of
from billing.replay.simulation import Simulation, sums_by_currency
from metering.export_formats import defused
from pricing.conditions import LineKind
from pricing.exact import EXACT
from pricing.plain_text import plain
from pricing.totals import MINOR_UNITS

CSV_COLUMNS = (
    "organization",
    "period",
    "kind",
    "model",
    "token_class",
    "service_month",
    "applied_rate",
    "band",
    "quantity",
    "currency",
    "before_exact",
    "after_exact",
    "before",
    "after",
    "difference",
)


AGREED = {LineKind.DISCOUNT: "discount", LineKind.MINIMUM_FEE: "minimum fee"}


def month_of(found: Simulation) -> str:
    return f"{found.period.starts_at.astimezone(ZoneInfo(found.period.zone)):%Y-%m}"


def text_lines(found: Simulation, *, width: int = 30) -> Iterator[str]:
    """The customer's sums, then its lines, each with the condition that tells it from others of its model."""
    currency = found.organization.billing_currency
    yield (
        f"{found.organization.slug:<{width}} {_money(found.before.total, currency):>16} → "
        f"{_money(found.after.total, currency):>16}  {_signed(found.difference, currency):>16} {currency}"
    )
    yield "  line by line, before VAT (the totals of customers and of all are with it):"
    notes = notes_of(
        [(line.service_month, line.applied_rate_id) for line in found.lines],
        {line.applied_rate_id: line.rate for line in found.lines},
        language="en",
        zone=ZoneInfo(found.period.zone),
    )
    for line, before, after in found.rounded_lines:
        late = f" ({line.service_month:%Y-%m})" if line.service_month else ""
        note = notes[line.service_month, line.applied_rate_id]
        yield (
            f"  {line.rate.model + late:<44} {line.token_class.value:<16} {line.quantity:>16,} "
            f"{_money(before, currency):>14} → {_money(after, currency):>14}  "
            f"{_signed(EXACT.subtract(after, before), currency):>14}{f'  {note}' if note else ''}"
        )
    for agreed in found.agreed:
        yield (
            f"  {AGREED[agreed.kind]:<44} {'':<16} {'':>16} {_money(agreed.before, currency):>14} → "
            f"{_money(agreed.after, currency):>14}  {_signed(EXACT.subtract(agreed.after, agreed.before), currency):>14}"
        )
    if found.events_read:
        yield f"  {found.events_read:,} calls were read one by one: their hours' sums do not tell their price band."


def summary_lines(simulations: Sequence[Simulation], *, width: int = 30) -> Iterator[str]:
    """What all customers together would pay, by currency."""
    for currency, (before, after) in sorted(sums_by_currency(simulations).items()):
        yield (
            f"{'all':<{width}} {_money(before, currency):>16} → {_money(after, currency):>16}  "
            f"{_signed(EXACT.subtract(after, before), currency):>16} {currency}"
        )


def as_json(simulations: Sequence[Simulation]) -> str:
    return json.dumps([_json(found) for found in simulations], ensure_ascii=False, indent=2)


def as_csv(simulations: Sequence[Simulation]) -> str:
    """A row a line, then one each for subtotal, tax and total of a customer."""
    out = io.StringIO()
    rows = csv.DictWriter(out, CSV_COLUMNS, restval="", lineterminator="\n")
    rows.writeheader()
    for found in simulations:
        about = {
            "organization": defused(found.organization.slug),
            "period": month_of(found),
            "currency": found.organization.billing_currency,
        }
        for line, before, after in found.rounded_lines:
            rows.writerow(
                about
                | {
                    "kind": "line",
                    "model": defused(line.rate.model),
                    "token_class": line.token_class.value,
                    "service_month": f"{line.service_month:%Y-%m}" if line.service_month else "",
                    "applied_rate": line.applied_rate_id,
                    "band": line.rate.band,
                    "quantity": line.quantity,
                    "before_exact": plain(line.before),
                    "after_exact": plain(line.after),
                }
                | _pair(before, after)
            )
        for agreed in found.agreed:
            exact = {"before_exact": plain(agreed.before_exact), "after_exact": plain(agreed.after_exact)}
            rows.writerow(about | {"kind": agreed.kind.value} | exact | _pair(agreed.before, agreed.after))
        for kind in ("subtotal", "tax", "total"):
            rows.writerow(about | {"kind": kind} | _pair(getattr(found.before, kind), getattr(found.after, kind)))
    return out.getvalue()


def _json(found: Simulation) -> dict[str, Any]:
    return {
        "organization": found.organization.slug,
        "period": month_of(found),
        "status": found.period.status,
        "invoice": found.invoice.number if found.invoice else None,
        "currency": found.organization.billing_currency,
        **{
            kind: _pair(getattr(found.before, kind), getattr(found.after, kind))
            for kind in ("subtotal", "tax", "total")
        },
        "cost_usd": _pair(found.cost_before, found.cost_after),
        "calls_read": found.events_read,
        "lines": [
            {
                "model": line.rate.model,
                "token_class": line.token_class.value,
                "service_month": line.service_month.isoformat() if line.service_month else None,
                "applied_rate": line.applied_rate_id,
                "band": line.rate.band,
                "quantity": line.quantity,
                "unit_price": plain(line.unit_price),
                "new_unit_prices": [plain(price) for price in line.new_unit_prices],
                "exact": {"before": plain(line.before), "after": plain(line.after)},
                **_pair(before, after),
            }
            for line, before, after in found.rounded_lines
        ],
        "agreed": [
            {
                "kind": agreed.kind.value,
                "exact": {"before": plain(agreed.before_exact), "after": plain(agreed.after_exact)},
                **_pair(agreed.before, agreed.after),
            }
            for agreed in found.agreed
        ],
    }


def _pair(before: Decimal, after: Decimal) -> dict[str, str]:
    return {"before": plain(before), "after": plain(after), "difference": plain(EXACT.subtract(after, before))}


def _money(amount: Decimal, currency: str) -> str:
    return f"{amount:,.{MINOR_UNITS[currency]}f}"


def _signed(amount: Decimal, currency: str) -> str:
    return f"{amount:+,.{MINOR_UNITS[currency]}f}"
