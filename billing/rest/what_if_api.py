"""REST: what a month would cost, all models side by side or the ones named (`GET estimates/what-if`)."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import PublicAPIView
from accounts.pages import PageQuery, rows_up_to, write_cursor
from billing.rest.estimates_api import MOST, buyer_of_caller
from billing.rest.what_if_answers import WhatIfPage, answers_json
from billing.what_if import LISTED_TOKENS, Answer, Volume, answers_for, by_total, compare
from catalog import price_book
from catalog.models import LanguageModel
from catalog.models_in_memory import all_models

MOST_NAMED = 50
ALL = "all"
SORTS: Mapping[str, Callable[[Answer], tuple[Any, ...]]] = {
    "total": by_total,
    "name": lambda answer: (answer.model.name.casefold(), answer.model.slug),
}


class WhatIfQuery(PageQuery):
    """A month's volume, and the models to price it with."""

    model = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        default=list,
        max_length=MOST_NAMED,
        help_text="Ids, repeated for several; `all`, or none, for everything that is sold.",
    )
    input_tokens = serializers.IntegerField(min_value=0, max_value=MOST, default=LISTED_TOKENS)
    output_tokens = serializers.IntegerField(min_value=0, max_value=MOST, default=LISTED_TOKENS)
    cached_share = serializers.DecimalField(
        max_digits=7,
        decimal_places=6,
        min_value=Decimal(0),
        max_value=Decimal(1),
        default=Decimal(0),
        help_text="The share of the input that is read from cache, a fraction: 0.25 is 25 %.",
    )
    requests = serializers.IntegerField(
        min_value=0,
        max_value=MOST,
        default=0,
        help_text="Over which the tokens are spread evenly. 0: prompts are short, and fees per request are left out.",
    )
    images = serializers.IntegerField(min_value=0, max_value=MOST, default=0, help_text="That go in.")
    q = serializers.CharField(required=False, default="", max_length=100, help_text="Words in id, name or provider.")
    provider = serializers.CharField(required=False, default="", max_length=100)
    sort = serializers.ChoiceField(choices=sorted(SORTS), default="total", help_text="What has no total stands last.")


class WhatIf(PublicAPIView):
    @extend_schema(
        operation_id="what_if",
        summary="What would a month cost with each model?",
        parameters=[WhatIfQuery],
        responses=WhatIfPage,
    )
    def get(self, request: Request) -> Response:
        """List prices for everybody; with a key or session the organization's own, less its discount. What has no price says so.

        The band of a model's price list is chosen by the prompt of one request, as in a call.
        """
        query = WhatIfQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        now = timezone.now()
        buyer = buyer_of_caller(self.caller, at=now)
        volume = Volume(
            input_tokens=asked["input_tokens"],
            output_tokens=asked["output_tokens"],
            cached_share=asked["cached_share"],
            requests=asked["requests"],
            images=asked["images"],
        )
        if asked["model"] and ALL not in asked["model"]:
            answers = answers_for(_named(asked["model"]), volume=volume, buyer=buyer, at=now)
        else:
            answers = compare(volume=volume, buyer=buyer, at=now, search=asked["q"], provider=asked["provider"])
        answers.sort(key=SORTS[asked["sort"]])
        start = rows_up_to(asked["cursor"], [answer.model.slug for answer in answers]) if "cursor" in asked else 0
        shown = answers[start : start + asked["limit"]]
        more = len(answers) > start + asked["limit"]
        return Response(
            {
                "data": answers_json(shown, currency=buyer.terms.currency),
                "next_cursor": write_cursor(shown[-1].model.slug) if more else None,
            }
        )


def _named(ids: list[str]) -> list[LanguageModel]:
    """The models with these ids, each once. Raises UnknownModel."""
    known = {model.slug: model for model in all_models()}
    unknown = next((name for name in ids if name not in known), None)
    if unknown is not None:
        raise price_book.UnknownModel(f"unknown model: {unknown}")
    return [known[name] for name in dict.fromkeys(ids)]
