"""How the REST API shows estimates. Money is text: exact in lines, whole won (or cents) in totals, as on an invoice."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rest_framework import serializers

from billing.estimates import PeriodEstimate
from billing.usage_lines import UsageLine, notes_of_usage
from billing.what_if import Estimate
from catalog.rate_answers import AppliedRateAnswer, rate_json
from pricing.conditions import AgreedLine, LineKind
from pricing.plain_text import plain
from pricing.totals import Totals


class TotalsAnswer(serializers.Serializer[Any]):
    supply_value = serializers.CharField(help_text="공급가액: the exact amounts added up, rounded once.")
    tax = serializers.CharField(help_text="세액: rounded down.")
    total = serializers.CharField(help_text="합계금액.")


class EstimateLine(serializers.Serializer[Any]):
    """quantity × unit price = amount, exactly."""

    token_class = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_price = serializers.CharField()
    amount = serializers.CharField()


class AgreedAnswer(serializers.Serializer[Any]):
    """What terms make of the usage, tax excluded. `rounded` lines, these and those of usage, add up to the supply value."""

    kind = serializers.ChoiceField(choices=[LineKind.DISCOUNT.value, LineKind.MINIMUM_FEE.value])
    amount = serializers.CharField()
    rounded = serializers.CharField()
    formula = serializers.CharField()


class EstimateAnswer(TotalsAnswer):
    """The price of a volume."""

    model = serializers.CharField()
    cost_usd = serializers.CharField(help_text="The upstream's price, exact.")
    currency = serializers.CharField()
    exchange_rate = serializers.CharField(allow_null=True)
    markup = serializers.CharField()
    lines = EstimateLine(many=True)
    formula = serializers.CharField(help_text="Gives the amount before discount and rounding.")
    agreed = AgreedAnswer(many=True, help_text="The organization's discount, if it has one.")
    minimum_fee = serializers.CharField(
        help_text="The least that a month costs, whatever is used; 0: none. In no total here."
    )
    applied_rate = AppliedRateAnswer()


class PeriodLine(EstimateLine):
    """A line of the open period. `rounded` lines add up to the supply value."""

    model = serializers.CharField()
    applied_rate_id = serializers.IntegerField()
    service_month = serializers.CharField(
        allow_null=True, help_text="Of usage that came in after its month was closed."
    )
    note = serializers.CharField(
        help_text="What tells its price from that of the model's other lines, in the organization's language."
    )
    rounded = serializers.CharField()
    formula = serializers.CharField()


class PeriodAnswer(TotalsAnswer):
    """A period, half-open, in the organization's zone."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    status = serializers.CharField(
        help_text="`open` takes charges; of one that is `closing` the invoice is being made."
    )
    lines = PeriodLine(many=True)
    agreed = AgreedAnswer(many=True, help_text="A discount, a minimum fee: where terms were agreed.")
    applied_rates = serializers.DictField(child=AppliedRateAnswer(), help_text="By applied_rate_id.")
    forecast = TotalsAnswer(allow_null=True, help_text="At the average pace until the end; null on the first day.")


class CurrentEstimateAnswer(serializers.Serializer[Any]):
    currency = serializers.CharField()
    waiting_for_price = serializers.IntegerField(help_text="Events that have no price yet and are in no sum.")
    current = PeriodAnswer()
    earlier = PeriodAnswer(many=True)


def estimate_json(estimate: Estimate, *, minimum_fee: Decimal) -> dict[str, Any]:
    """`estimate` as EstimateAnswer."""
    rate = estimate.rate
    return totals_json(estimate.totals) | {
        "model": rate.model,
        "cost_usd": plain(estimate.cost_usd),
        "currency": rate.currency,
        "exchange_rate": rate.exchange and plain(rate.exchange.rate),
        "markup": plain(rate.markup),
        "lines": [
            {
                "token_class": line.token_class.value,
                "quantity": line.quantity,
                "unit_price": plain(line.unit_price),
                "amount": plain(line.amount),
            }
            for line in estimate.lines
        ],
        "formula": estimate.formula,
        "agreed": agreed_json(estimate.agreed),
        "minimum_fee": plain(minimum_fee),
        "applied_rate": rate_json(rate),
    }


def period_json(estimate: PeriodEstimate, zone: ZoneInfo, *, language: str) -> dict[str, Any]:
    """`estimate` as PeriodAnswer."""
    notes = notes_of_usage(estimate.lines, language=language, zone=zone)
    return totals_json(estimate.totals) | {
        "start": estimate.starts_at.astimezone(zone).isoformat(),
        "end": estimate.ends_at.astimezone(zone).isoformat(),
        "status": estimate.status,
        "lines": [
            _line_json(line) | {"note": note, "rounded": format(rounded, "f")}
            for line, note, rounded in zip(estimate.lines, notes, estimate.rounded_lines, strict=True)
        ],
        "agreed": agreed_json(estimate.agreed),
        "applied_rates": {str(line.applied_rate_id): rate_json(line.rate) for line in estimate.lines},
        "forecast": estimate.forecast and totals_json(estimate.forecast) | {"method": "linear"},
    }


def agreed_json(lines: Iterable[AgreedLine]) -> list[dict[str, Any]]:
    """Lines without usage as AgreedAnswer."""
    return [
        {
            "kind": line.kind.value,
            "amount": plain(line.amount),
            "rounded": format(line.rounded, "f"),
            "formula": line.formula,
        }
        for line in lines
    ]


def totals_json(totals: Totals) -> dict[str, Any]:
    """Totals as TotalsAnswer, with the decimals of their currency."""
    return {
        "supply_value": format(totals.subtotal, "f"),
        "tax": format(totals.tax, "f"),
        "total": format(totals.total, "f"),
    }


def _line_json(line: UsageLine) -> dict[str, Any]:
    return {
        "model": line.rate.model,
        "applied_rate_id": line.applied_rate_id,
        "service_month": line.service_month and line.service_month.strftime("%Y-%m"),
        "token_class": line.token_class.value,
        "quantity": line.quantity,
        "unit_price": plain(line.unit_price),
        "amount": plain(line.amount),
        "formula": line.formula,
    }
