"""REST: the price list, for everybody. Costs are the upstream's in dollars, prices ours in won before VAT."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import PublicAPIView
from accounts.pages import PageQuery, page, rows_up_to
from catalog.models import LanguageModel
from catalog.price_list import SORTS, ListedModel, ListPrice, listed_model, models_sold
from pricing.exact import exact_product
from pricing.plain_text import plain
from pricing.tokens import PIECE_CLASSES, TokenClass

MILLION = 1_000_000


class CostAndPrice(serializers.Serializer[Any]):
    cost_usd = serializers.CharField()
    price = serializers.CharField()


class PricingAnswer(serializers.Serializer[Any]):
    """List prices by token class, those only that the upstream lists; before VAT."""

    currency = serializers.CharField()
    per_million_tokens = serializers.DictField(child=CostAndPrice())
    per_piece = serializers.DictField(child=CostAndPrice(), help_text="Of images, searches, requests.")
    conditional = serializers.BooleanField(help_text="Long prompts or certain hours have other prices.")
    price_since = serializers.DateTimeField()
    markup = serializers.CharField()
    exchange_rate = serializers.CharField(allow_null=True)


class ModelAnswer(serializers.Serializer[Any]):
    """What is known of a model; what is not is null or empty."""

    id = serializers.CharField()
    name = serializers.CharField()
    provider = serializers.CharField()
    provider_slug = serializers.CharField()
    page = serializers.CharField(help_text="Its page on the site.")
    description_ko = serializers.CharField(allow_null=True)
    description_en = serializers.CharField(allow_null=True)
    context_length = serializers.IntegerField(allow_null=True)
    max_completion_tokens = serializers.IntegerField(allow_null=True)
    modality = serializers.CharField(allow_null=True)
    input_modalities = serializers.ListField(child=serializers.CharField())
    output_modalities = serializers.ListField(child=serializers.CharField())
    tokenizer = serializers.CharField(allow_null=True)
    supported_parameters = serializers.ListField(child=serializers.CharField())
    released_on = serializers.DateField(allow_null=True)
    is_router = serializers.BooleanField(help_text="Has no price of its own: the model that answers has.")
    is_sold = serializers.BooleanField()
    pricing = PricingAnswer(allow_null=True)


class ModelPage(serializers.Serializer[Any]):
    data = ModelAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


class ModelQuery(PageQuery):
    q = serializers.CharField(required=False, default="", max_length=100, help_text="Words in id, name or provider.")
    provider = serializers.CharField(required=False, default="", max_length=100)
    sort = serializers.ChoiceField(choices=sorted(SORTS), default="name")


def model_json(listed: ListedModel) -> dict[str, Any]:
    """A model as ModelAnswer."""
    model = listed.model
    return {
        "id": model.slug,
        "name": model.name,
        "provider": model.provider,
        "provider_slug": model.provider_slug,
        "page": f"/models/{model.page_slug}",
        "description_ko": model.description_ko or None,
        "description_en": model.description_en or None,
        "context_length": model.context_length,
        "max_completion_tokens": model.max_completion_tokens,
        "modality": model.modality or None,
        "input_modalities": model.input_modalities,
        "output_modalities": model.output_modalities,
        "tokenizer": model.tokenizer or None,
        "supported_parameters": model.supported_parameters,
        "released_on": model.released_on,
        "is_router": model.is_router,
        "is_sold": listed.is_sold,
        "pricing": listed.price and pricing_json(listed.price),
    }


def pricing_json(price: ListPrice) -> dict[str, Any]:
    """A list price as PricingAnswer."""
    rate = price.rate

    def both(token_class: TokenClass, units: int) -> dict[str, str]:
        return {
            "cost_usd": plain(exact_product(rate.unit_costs[token_class], units)),
            "price": plain(exact_product(rate.unit_prices[token_class], units)),
        }

    return {
        "currency": rate.currency,
        "per_million_tokens": {c.value: both(c, MILLION) for c in price.classes if c not in PIECE_CLASSES},
        "per_piece": {c.value: both(c, 1) for c in price.classes if c in PIECE_CLASSES},
        "conditional": price.conditional,
        "price_since": rate.price_since,
        "markup": plain(rate.markup),
        "exchange_rate": rate.exchange and plain(rate.exchange.rate),
    }


class ModelList(PublicAPIView):
    @extend_schema(operation_id="list_models", summary="The price list", parameters=[ModelQuery], responses=ModelPage)
    def get(self, request: Request) -> Response:
        query = ModelQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        listed = models_sold(at=timezone.now(), search=asked["q"], provider=asked["provider"], sort=asked["sort"])
        start = rows_up_to(asked["cursor"], [one.model.slug for one in listed]) if "cursor" in asked else 0
        rows = listed[start : start + asked["limit"] + 1]
        return Response(page(rows, limit=asked["limit"], position=lambda one: (one.model.slug,), render=model_json))


class ModelDetail(PublicAPIView):
    @extend_schema(
        operation_id="get_model", summary="One model; also one that is sold no longer", responses=ModelAnswer
    )
    def get(self, request: Request, model_id: str) -> Response:
        model = get_object_or_404(LanguageModel, slug=model_id)
        return Response(model_json(listed_model(model, at=timezone.now())))
