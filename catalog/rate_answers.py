"""How the REST API shows a rate: the same object in receipts, estimates and invoices. Money is text, markup a fraction."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from catalog.rate_details import RateDetails
from pricing.band_conditions import BandConditions
from pricing.plain_text import plain
from pricing.tokens import TokenClass


class WindowAnswer(serializers.Serializer[Any]):
    """A half-open time window; both ends null is the whole day, no days every day."""

    utc_start = serializers.CharField(allow_null=True, help_text="HH:MM in UTC.")
    utc_end = serializers.CharField(allow_null=True, help_text="HH:MM in UTC; 24:00 is midnight at the end of the day.")
    utc_days = serializers.ListField(
        child=serializers.IntegerField(), allow_null=True, help_text="Weekdays in UTC, 1 is Monday."
    )


class ConditionsAnswer(serializers.Serializer[Any]):
    """Which calls the rate prices. All of it must hold; nulls and no window are the price at all other times."""

    prompt_tokens_above = serializers.IntegerField(allow_null=True, help_text="The whole prompt, caches included.")
    prompt_tokens_up_to = serializers.IntegerField(allow_null=True)
    windows = WindowAnswer(many=True)


class AppliedRateAnswer(serializers.Serializer[Any]):
    """unit price = unit cost × (1 + markup) × exchange rate, per token (or image, search, request), exactly."""

    cost_table = serializers.CharField()
    cost_price_id = serializers.IntegerField(help_text="The version of the upstream price.")
    price_since = serializers.DateTimeField(help_text="Since when that version holds.")
    band = serializers.CharField(help_text='"base", or which conditional prices (long prompt, hours) were met.')
    conditions = ConditionsAnswer(help_text="What `band` means.")
    markup_rule_id = serializers.IntegerField()
    markup = serializers.CharField(help_text="A fraction of cost: 0.1 is 10 %.")
    exchange_rate = serializers.CharField(allow_null=True, help_text="Won a dollar; null for billing in dollars.")
    exchange_rate_source = serializers.CharField(allow_null=True)
    exchange_rate_published_on = serializers.DateField(allow_null=True)
    currency = serializers.CharField()
    unit_costs = serializers.DictField(child=serializers.CharField(), help_text="USD a unit, by token class.")
    unit_prices = serializers.DictField(child=serializers.CharField(), help_text="`currency` a unit, by token class.")


def rate_json(details: RateDetails) -> dict[str, Any]:
    """`details` as AppliedRateAnswer."""
    exchange = details.exchange
    return {
        "cost_table": details.cost_table,
        "cost_price_id": details.cost_price_id,
        "price_since": details.price_since,
        "band": details.band,
        "conditions": _conditions(details.conditions),
        "markup_rule_id": details.markup_rule_id,
        "markup": plain(details.markup),
        "exchange_rate": exchange and plain(exchange.rate),
        "exchange_rate_source": exchange and exchange.source,
        "exchange_rate_published_on": exchange and exchange.published_on.isoformat(),
        "currency": details.currency,
        "unit_costs": _in_order(details.unit_costs),
        "unit_prices": _in_order(details.unit_prices),
    }


def _conditions(conditions: BandConditions) -> dict[str, Any]:
    return {
        "prompt_tokens_above": conditions.above,
        "prompt_tokens_up_to": conditions.up_to,
        "windows": [
            {
                "utc_start": window.hours and window.hours[0],
                "utc_end": window.hours and window.hours[1],
                "utc_days": window.utc_days and list(window.utc_days),
            }
            for window in conditions.windows
        ],
    }


def _in_order(prices: Mapping[TokenClass, Decimal]) -> dict[str, str]:
    return {token_class.value: plain(prices[token_class]) for token_class in TokenClass if token_class in prices}
