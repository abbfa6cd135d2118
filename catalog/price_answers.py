"""How the REST API shows a dated price: upstream cost in dollars beside our price, per 1M tokens or per piece, and its origin."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from catalog.price_history import Change, DatedPrice
from catalog.rate_answers import WindowAnswer
from pricing.bands import Override
from pricing.exact import exact_product
from pricing.plain_text import plain
from pricing.tokens import PIECE_CLASSES, TokenClass

MILLION = 1_000_000


class DatedCostAndPrice(serializers.Serializer[Any]):
    cost_usd = serializers.CharField()
    price = serializers.CharField(
        allow_null=True, help_text="Before VAT; null where no markup or exchange rate was known."
    )


class PriceListAnswer(serializers.Serializer[Any]):
    """Token classes that the upstream's list names; what it does not name costs what the plain kind does."""

    per_million_tokens = serializers.DictField(child=DatedCostAndPrice())
    per_piece = serializers.DictField(child=DatedCostAndPrice(), help_text="Of images, searches, requests.")


class ConditionalPriceAnswer(PriceListAnswer, WindowAnswer):
    """Prices that replace the base ones, class by class, while all its conditions hold; later ones win."""

    prompt_tokens_above = serializers.IntegerField(allow_null=True, help_text="The whole prompt, caches included.")


class DatedPriceAnswer(PriceListAnswer):
    """A price, in force from `since` until `until` (null: now). While off the list nothing has a price."""

    model = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True)
    is_listed = serializers.BooleanField(
        help_text="False from the moment on at which the upstream took it off its list."
    )
    changes = serializers.ListField(
        child=serializers.ChoiceField(choices=[change.value for change in Change]),
        help_text="What differs from the price before.",
    )
    cost_table = serializers.CharField(
        help_text="Whose list the cost is from. All origins are those at `since`, or at the moment that `at` asks for."
    )
    cost_price_id = serializers.IntegerField(help_text="The version of the upstream price.")
    currency = serializers.CharField()
    markup = serializers.CharField(allow_null=True, help_text="A fraction of cost: 0.1 is 10 %.")
    markup_rule_id = serializers.IntegerField(allow_null=True)
    exchange_rate = serializers.CharField(allow_null=True, help_text="Won a dollar; null for billing in dollars.")
    exchange_rate_source = serializers.CharField(allow_null=True)
    exchange_rate_published_on = serializers.DateField(allow_null=True)
    conditional = ConditionalPriceAnswer(many=True)


class DatedPricePage(serializers.Serializer[Any]):
    data = DatedPriceAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


def dated_price_json(row: DatedPrice, *, model: str, cost_tables: Mapping[int, str]) -> dict[str, Any]:
    """`row` as DatedPriceAnswer; `cost_tables` are names by id."""
    exchange = row.exchange
    return {
        "model": model,
        "since": row.since,
        "until": row.until,
        "is_listed": row.sheet is not None,
        "changes": [change.value for change in row.changes],
        "cost_table": cost_tables[row.cost_table_id],
        "cost_price_id": row.cost_price_id,
        "currency": row.currency,
        "markup": None if row.markup is None else plain(row.markup),
        "markup_rule_id": row.markup_rule_id,
        "exchange_rate": exchange and plain(exchange.rate),
        "exchange_rate_source": exchange and exchange.source,
        "exchange_rate_published_on": exchange and exchange.published_on,
        **_both(row, row.unit_costs),
        "conditional": [_conditional(row, override) for override in (row.sheet.overrides if row.sheet else ())],
    }


def _conditional(row: DatedPrice, override: Override) -> dict[str, Any]:
    return {
        "prompt_tokens_above": override.min_prompt_tokens,
        "utc_start": _clock(override.utc_start),
        "utc_end": _clock(override.utc_end),
        "utc_days": None if override.utc_days is None else sorted(override.utc_days),
        **_both(row, override.unit_costs),
    }


def _both(row: DatedPrice, unit_costs: Mapping[TokenClass, Decimal]) -> dict[str, Any]:
    prices = row.unit_prices(unit_costs)

    def entry(token_class: TokenClass, units: int) -> dict[str, str | None]:
        price = prices.get(token_class)
        return {
            "cost_usd": plain(exact_product(unit_costs[token_class], units)),
            "price": None if price is None else plain(exact_product(price, units)),
        }

    named = [token_class for token_class in TokenClass if token_class in unit_costs]
    return {
        "per_million_tokens": {c.value: entry(c, MILLION) for c in named if c not in PIECE_CLASSES},
        "per_piece": {c.value: entry(c, 1) for c in named if c in PIECE_CLASSES},
    }


def _clock(minute: int | None) -> str | None:
    return None if minute is None else f"{minute // 60:02}:{minute % 60:02}"
