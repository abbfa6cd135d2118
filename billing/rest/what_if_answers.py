"""How the REST API shows what a volume would cost with one model or another."""

from collections.abc import Iterable, Sequence
from typing import Any

from rest_framework import serializers

from billing.rest.estimate_answers import AgreedAnswer, EstimateLine, agreed_json, totals_json
from billing.what_if import Answer, Lack, Part
from catalog.rate_answers import AppliedRateAnswer, rate_json
from catalog.rate_details import RateDetails, details_of_quotes
from pricing.plain_text import plain

LACKS = {
    Lack.NOT_SOLD: "The model is not sold now.",
    Lack.VARIES: "A router has no price of its own: the model that answers has.",
    Lack.TAKES_NO_IMAGES: "The model takes no images.",
    Lack.NO_PRICE_PER_IMAGE: "The model has no price per image: it counts images as input tokens.",
    Lack.IMAGES_UNKNOWN: "It is not known whether the model takes images.",
    Lack.PROMPT_TOO_LONG: "One request's prompt is longer than the context window.",
}


class WhatIfPart(serializers.Serializer[Any]):
    """What one band of the price list prices."""

    requests = serializers.IntegerField(allow_null=True, help_text="Null where no number of requests was given.")
    lines = EstimateLine(many=True)
    applied_rate = AppliedRateAnswer()


class Missing(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=[lack.value for lack in Lack])
    message = serializers.CharField()


class WhatIfAnswer(serializers.Serializer[Any]):
    """Amounts are null where `missing` says what has no price. Totals are rounded as on an invoice."""

    model = serializers.CharField()
    name = serializers.CharField()
    provider = serializers.CharField()
    currency = serializers.CharField()
    supply_value = serializers.CharField(allow_null=True, help_text="공급가액.")
    tax = serializers.CharField(allow_null=True, help_text="세액: rounded down.")
    total = serializers.CharField(allow_null=True, help_text="합계금액.")
    cost_usd = serializers.CharField(allow_null=True, help_text="The upstream's price, exact.")
    agreed = AgreedAnswer(
        many=True, help_text="The organization's discount, if it has one. A minimum fee is in no total here."
    )
    parts = WhatIfPart(many=True, help_text="Two where long and short prompts have different prices.")
    missing = Missing(allow_null=True)


class WhatIfPage(serializers.Serializer[Any]):
    data = WhatIfAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


def answers_json(answers: Sequence[Answer], *, currency: str) -> list[dict[str, Any]]:
    """`answers` as WhatIfAnswer; where their rates come from is looked up once for all."""
    details = iter(details_of_quotes([part.rate for answer in answers for part in answer.parts]))
    return [_answer(answer, details, currency) for answer in answers]


def _answer(answer: Answer, details: Iterable[RateDetails], currency: str) -> dict[str, Any]:
    amounts = dict.fromkeys(("supply_value", "tax", "total")) if answer.totals is None else totals_json(answer.totals)
    return amounts | {
        "model": answer.model.slug,
        "name": answer.model.name,
        "provider": answer.model.provider,
        "currency": currency,
        "cost_usd": None if answer.cost_usd is None else plain(answer.cost_usd),
        "agreed": agreed_json(answer.agreed),
        "parts": [_part(part, rate) for part, rate in zip(answer.parts, details, strict=False)],
        "missing": answer.lack and {"code": answer.lack.value, "message": LACKS[answer.lack]},
    }


def _part(part: Part, rate: RateDetails) -> dict[str, Any]:
    return {
        "requests": part.requests or None,
        "lines": [
            {
                "token_class": line.token_class.value,
                "quantity": line.quantity,
                "unit_price": plain(line.unit_price),
                "amount": plain(line.amount),
            }
            for line in part.lines
        ],
        "applied_rate": rate_json(rate),
    }
