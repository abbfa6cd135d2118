"""REST: what a model cost since when (`GET models/{id}/prices`), and at one moment (`?at=`). On the terms of whoever asks."""

import re
from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import PublicAPIView
from accounts.authentication import Caller
from accounts.models import Organization, Role, Scope
from accounts.pages import PageQuery, page, rows_up_to
from accounts.tenancy import tenant_scope
from catalog import price_book
from catalog.models import CostTable, LanguageModel
from catalog.price_answers import DatedPriceAnswer, DatedPricePage, dated_price_json
from catalog.price_history import DatedPrice, price_at, price_history
from catalog.price_snapshot import ModelEntry

EARLIEST_YEAR, LATEST_YEAR = 2000, 2100
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
UNESCAPED_PLUS = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")
"""A plus sign that stands in an address as it is arrives as a blank."""


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentField(serializers.Field[Any, Any, Any, Any]):
    """A moment as RFC 3339 writes it, with its offset."""

    allow_blank = True  # `?at=` is a mistake to tell of, not a parameter left out

    def to_internal_value(self, text: Any) -> datetime:
        whole = UNESCAPED_PLUS.sub("+", text) if isinstance(text, str) and len(text) > 19 else text
        try:
            if not isinstance(whole, str) or not RFC_3339.fullmatch(whole):
                raise ValueError
            moment = datetime.fromisoformat(whole.upper())
        except ValueError:
            raise serializers.ValidationError(
                "must be a moment as in RFC 3339, with its offset: 2026-11-22T12:00:00+09:00"
            ) from None
        if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
            raise serializers.ValidationError(f"must lie between the years {EARLIEST_YEAR} and {LATEST_YEAR}")
        return moment

    def to_representation(self, value: Any) -> str:
        return str(value.isoformat())


class PricesQuery(PageQuery):
    at = MomentField(required=False, help_text="Only the price in force at this moment, as one object. RFC 3339.")


class ModelPrices(PublicAPIView):
    @extend_schema(
        operation_id="list_model_prices",
        summary="What a model cost since when, newest first; with `at` the price in force then",
        parameters=[PricesQuery],
        responses=PolymorphicProxySerializer(
            component_name="ModelPricesAnswer",
            serializers=[DatedPricePage, DatedPriceAnswer],
            resource_type_field_name=None,
        ),
    )
    def get(self, request: Request, model_id: str) -> Response:
        """List prices for everybody; with a key or session the organization's own. Also of models that are sold no longer.

        With `at`, 404 where the model had no price: before its first one, or while it was off the upstream's list.
        """
        query = PricesQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked, now = query.validated_data, timezone.now()
        slug = get_object_or_404(LanguageModel.objects.only("slug"), slug=model_id).slug
        model, terms = price_book.find_model(slug), terms_of_caller(self.caller)
        if "at" in asked:
            return Response(_render(_price_then(terms, model, asked["at"], now), slug, _cost_tables()))
        rows = price_history(terms=terms, model=model, now=now)[::-1]
        start = rows_up_to(asked["cursor"], [row.since.isoformat() for row in rows]) if "cursor" in asked else 0
        tables = _cost_tables()
        shown = page(
            rows[start : start + asked["limit"] + 1],
            limit=asked["limit"],
            position=lambda row: (row.since.isoformat(),),
            render=lambda row: _render(row, slug, tables),
        )
        return Response(shown)


def terms_of_caller(caller: Caller | None) -> price_book.Terms:
    """List prices for a stranger, else the organization's own. Raises PermissionDenied for a key that may not read usage."""
    if caller is None:
        return price_book.PUBLIC_TERMS
    if not caller.may(scope=Scope.USAGE_READ, roles=frozenset(Role)):
        raise PermissionDenied("The API key lacks the scope usage:read; without a key the list price is shown.")
    with tenant_scope([caller.organization_id]):
        return price_book.terms_of(Organization.objects.get(pk=caller.organization_id))


def _price_then(terms: price_book.Terms, model: ModelEntry, at: datetime, now: datetime) -> DatedPrice:
    if at > now:
        raise serializers.ValidationError({"at": "must not lie in the future: prices to come are not announced"})
    try:
        return price_at(terms=terms, model=model, at=at, now=now)
    except price_book.NoPrice as reason:
        raise NotFound(str(reason), code="no_price") from None


def _cost_tables() -> dict[int, str]:
    return dict(CostTable.objects.values_list("pk", "name"))


def _render(row: DatedPrice, model: str, cost_tables: dict[int, str]) -> dict[str, Any]:
    return dated_price_json(row, model=model, cost_tables=cost_tables)
