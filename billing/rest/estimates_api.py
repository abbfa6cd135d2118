"""REST: what-if estimates for everybody (`POST estimates`), the open period of an organization (`GET estimates/current`)."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView, PublicAPIView
from accounts.authentication import Caller
from accounts.models import Organization, Role, Scope
from accounts.tenancy import tenant_scope
from billing import estimates
from billing.rest.estimate_answers import CurrentEstimateAnswer, EstimateAnswer, estimate_json, period_json
from billing.what_if import estimate_counts
from metering.usage_queries import waiting_events
from pricing.tokens import FIELD_OF, MAX_COUNT

MOST = 10**12


class EstimateRequest(serializers.Serializer[Any]):
    """A volume, such as a month's. Counts are disjoint; reasoning is inside output."""

    model = serializers.CharField(max_length=200)
    prompt_tokens_per_request = serializers.IntegerField(
        min_value=0,
        max_value=MAX_COUNT,
        default=0,
        help_text="Length of one prompt, for models whose long prompts cost more; short prompts unless given.",
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        counts: dict[str, serializers.Field[Any, Any, Any, Any]] = {
            name: serializers.IntegerField(min_value=0, max_value=MOST, default=0) for name in FIELD_OF.values()
        }
        counts["requests"] = serializers.IntegerField(min_value=0, max_value=MOST, default=1)
        return super().get_fields() | counts

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["reasoning_tokens"] > asked["output_tokens"]:
            raise serializers.ValidationError({"reasoning_tokens": "is part of output_tokens, so it cannot be more"})
        return asked


class Estimates(PublicAPIView):
    @extend_schema(
        operation_id="estimate", summary="What would it cost?", request=EstimateRequest, responses={200: EstimateAnswer}
    )
    def post(self, request: Request) -> Response:
        """List price for everybody; with a key or session the organization's own rate, its discount taken off (`agreed`).

        Totals are rounded as on an invoice. A minimum fee is of a whole month, so it is not in them: see `minimum_fee`."""
        query = EstimateRequest(data=request.data)
        query.is_valid(raise_exception=True)
        asked, now = query.validated_data, timezone.now()
        buyer = buyer_of_caller(self.caller, at=now)
        estimate = estimate_counts(
            model=asked["model"],
            counts={token_class: asked[name] for token_class, name in FIELD_OF.items()},
            buyer=buyer,
            at=now,
            prompt_tokens_per_request=asked["prompt_tokens_per_request"],
        )
        return Response(estimate_json(estimate, minimum_fee=buyer.minimum_fee))


def buyer_of_caller(caller: Caller | None, *, at: datetime) -> estimates.Buyer:
    """List prices for a stranger, else the organization's own. Raises PermissionDenied for a key that may not read usage."""
    if caller is None:
        return estimates.public_buyer()
    if not caller.may(scope=Scope.USAGE_READ, roles=frozenset(Role)):
        raise PermissionDenied("The API key lacks the scope usage:read; without a key the list price is shown.")
    with tenant_scope([caller.organization_id]):
        return estimates.buyer_of(Organization.objects.get(pk=caller.organization_id), at=at)


class CurrentEstimate(OrganizationAPIView):
    """The open period so far."""

    scope = Scope.USAGE_READ

    @extend_schema(operation_id="estimate_current", summary="The open period so far", responses=CurrentEstimateAnswer)
    def get(self, request: Request) -> Response:
        """Lines, tax and total as the invoice would have them if the period ended now, and a linear forecast for its end.

        `earlier` holds periods that have ended and are not invoiced yet.
        """
        *earlier, current = estimates.open_periods(organization=self.organization, now=timezone.now())
        zone, language = ZoneInfo(self.organization.zone), self.organization.language
        return Response(
            {
                "currency": self.organization.billing_currency,
                "waiting_for_price": waiting_events(organization=self.organization),
                "current": period_json(current, zone, language=language),
                "earlier": [period_json(period, zone, language=language) for period in earlier],
            }
        )
