"""A price sheet between `pricing` and the JSON of a CostPrice row: decimal texts in fixed point, nothing else."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pricing.bands import Override, PriceSheet
from pricing.exact import parse_decimal
from pricing.tokens import TokenClass

CONDITIONS = ("min_prompt_tokens", "utc_start", "utc_end")


def price_map(prices: Mapping[TokenClass, Decimal]) -> dict[str, str]:
    """Decimals as fixed-point text, which is how JSON columns and the API carry them."""
    return {token_class.value: format(price, "f") for token_class, price in prices.items()}


def parse_price_map(texts: Mapping[str, str]) -> dict[TokenClass, Decimal]:
    """The decimals of a JSON column."""
    return {TokenClass(name): parse_decimal(text) for name, text in texts.items()}


def sheet_to_json(sheet: PriceSheet) -> dict[str, Any]:
    """What CostPrice.sheet stores."""
    return {
        "base": price_map(sheet.base),
        "overrides": [
            {name: getattr(override, name) for name in CONDITIONS if getattr(override, name) is not None}
            | ({"utc_days": sorted(override.utc_days)} if override.utc_days is not None else {})
            | {"unit_costs": price_map(override.unit_costs)}
            for override in sheet.overrides
        ],
    }


def sheet_from_json(stored: Mapping[str, Any]) -> PriceSheet:
    """The price sheet of a CostPrice row."""
    return PriceSheet(
        base=parse_price_map(stored["base"]),
        overrides=tuple(
            Override(
                **{name: entry.get(name) for name in CONDITIONS},
                utc_days=frozenset(entry["utc_days"]) if "utc_days" in entry else None,
                unit_costs=parse_price_map(entry["unit_costs"]),
            )
            for entry in stored["overrides"]
        ),
    )
