"""REST: quotations (견적서) – making one, the list, one with its lines, and its PDF. People who pay make them; keys may read."""

from decimal import Decimal
from typing import Any

from django.http import Http404, HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import Scope
from accounts.pages import ForeignCursor, PageQuery, page
from billing.models import Quotation
from billing.papers.quotations import (
    MOST_ITEMS,
    InvalidValidity,
    Item,
    NothingToQuote,
    NotPriced,
    make_quotation,
    quotations_of,
)
from billing.rest.documents_api import PDF_RESPONSE, pdf_of
from billing.rest.payments_api import ROLES_THAT_PAY
from billing.what_if import Volume
from catalog.models_in_memory import all_models
from pricing.totals import MINOR_UNITS

MOST_TOKENS = 10**12 - 1


class QuotationItemWish(serializers.Serializer[Any]):
    """A model and its volume of a month. Tokens are spread over the requests evenly; without requests prompts are short."""

    model = serializers.CharField(max_length=200)
    input_tokens = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)
    output_tokens = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)
    cached_share = serializers.DecimalField(
        max_digits=5, decimal_places=4, min_value=0, max_value=1, default=Decimal(0)
    )
    requests = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)
    images = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)


class QuotationWish(serializers.Serializer[Any]):
    items = serializers.ListField(child=QuotationItemWish(), min_length=1, max_length=MOST_ITEMS)
    valid_until = serializers.DateField(help_text="The last day, at most a year from today.")
    subject = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")


class QuotationAnswer(serializers.Serializer[Any]):
    """What volumes of a month cost at the prices of a day. Never changed."""

    id = serializers.CharField()
    number = serializers.CharField()
    subject = serializers.CharField()
    issued_on = serializers.DateField()
    valid_until = serializers.DateField()
    currency = serializers.CharField()
    supply_value = serializers.CharField()
    tax = serializers.CharField()
    total = serializers.CharField()


class QuotationDetailAnswer(QuotationAnswer):
    lines = serializers.ListField(
        child=serializers.DictField(), help_text="Each amount: quantity × unit price, rounded with all others once."
    )
    exchange_rates = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    buyer = serializers.DictField(child=serializers.CharField(allow_blank=True))
    seller = serializers.DictField(child=serializers.CharField(allow_blank=True))


class QuotationPage(serializers.Serializer[Any]):
    data = QuotationAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


def quotation_json(quotation: Quotation) -> dict[str, Any]:
    decimals = MINOR_UNITS[quotation.currency]
    amounts = {"supply_value": quotation.subtotal, "tax": quotation.tax, "total": quotation.total}
    return {
        "id": str(quotation.pk),
        "number": quotation.number,
        "subject": quotation.subject,
        "issued_on": quotation.issued_on,
        "valid_until": quotation.valid_until,
        "currency": quotation.currency,
        **{name: f"{amount:.{decimals}f}" for name, amount in amounts.items()},
    }


def detail_json(quotation: Quotation) -> dict[str, Any]:
    return quotation_json(quotation) | {
        "lines": quotation.lines,
        "exchange_rates": quotation.exchange_rates,
        "buyer": quotation.buyer,
        "seller": quotation.seller,
    }


class QuotationsView(OrganizationAPIView):
    """What all addresses share: who may read, and how one is found."""

    scope = Scope.USAGE_READ

    def quotation(self, quotation_id: int) -> Quotation:
        found = Quotation.objects.for_organization(self.organization).filter(pk=quotation_id).first()
        if found is None:
            raise Http404
        return found


class Quotations(QuotationsView):
    @extend_schema(
        operation_id="list_quotations",
        summary="List quotations, newest first",
        parameters=[PageQuery],
        responses=QuotationPage,
    )
    def get(self, request: Request) -> Response:
        query = PageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        found = quotations_of(
            self.organization, limit=asked["limit"] + 1, before=_id(asked["cursor"]) if "cursor" in asked else None
        )
        return Response(
            page(found, limit=asked["limit"], position=lambda quotation: (quotation.pk,), render=quotation_json)
        )

    @extend_schema(
        operation_id="make_quotation",
        summary="Make a quotation (견적서)",
        request=QuotationWish,
        responses={201: QuotationDetailAnswer},
    )
    def post(self, request: Request) -> Response:
        """Priced with the rates and terms of now. Owners, administrators and billing managers make them, signed in."""
        if self.caller.user is None or self.caller.key is not None or self.caller.role not in ROLES_THAT_PAY:
            raise PermissionDenied("Owners, administrators and billing managers make quotations, signed in.")
        wish = QuotationWish(data=request.data)
        wish.is_valid(raise_exception=True)
        wanted = wish.validated_data
        try:
            quotation = make_quotation(
                organization=self.organization,
                items=[_item(item) for item in wanted["items"]],
                valid_until=wanted["valid_until"],
                subject=wanted["subject"],
                actor=self.caller.user,
                now=timezone.now(),
            )
        except NotPriced as problem:
            raise serializers.ValidationError(
                {"items": f"{problem.model} has no price: {problem.lack.value}"}
            ) from None
        except NothingToQuote:
            raise serializers.ValidationError({"items": "there is no volume to quote"}) from None
        except InvalidValidity:
            raise serializers.ValidationError({"valid_until": "from today on, and within a year"}) from None
        return Response(detail_json(quotation), status=201)


class QuotationDetail(QuotationsView):
    @extend_schema(operation_id="get_quotation", summary="A quotation with its lines", responses=QuotationDetailAnswer)
    def get(self, request: Request, quotation_id: int) -> Response:
        return Response(detail_json(self.quotation(quotation_id)))


class QuotationPdf(QuotationsView):
    @extend_schema(operation_id="get_quotation_pdf", summary="The quotation as PDF", responses=PDF_RESPONSE)
    def get(self, request: Request, quotation_id: int) -> HttpResponse:
        """Always the same bytes."""
        return pdf_of(self.quotation(quotation_id))


def _item(wanted: dict[str, Any]) -> Item:
    known = {model.slug: model for model in all_models()}
    if wanted["model"] not in known:
        raise serializers.ValidationError({"items": f"unknown model: {wanted['model']}"})
    volume = {name: wanted[name] for name in wanted if name != "model"}
    return Item(model=known[wanted["model"]], volume=Volume(**volume))


def _id(cursor: list[str | int]) -> int:
    try:
        [last] = cursor
        return int(last)
    except ValueError:
        raise ForeignCursor from None
