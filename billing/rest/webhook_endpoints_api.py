"""REST: endpoints that hear of notices, and what became of each. Keys may look; owners and admins, signed in, may change."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import Scope
from billing.models import Notice, WebhookDelivery, WebhookEndpoint
from billing.notifications import webhook_endpoints

LATEST = 50
MOST_OVERLAP_HOURS = 7 * 24


class WebhookAnswer(serializers.Serializer[Any]):
    """An endpoint without its secret."""

    id = serializers.CharField()
    url = serializers.CharField(help_text="Only owners and admins, signed in, see its query, which may hold a token.")
    created_at = serializers.DateTimeField()
    failing_since = serializers.DateTimeField(allow_null=True, help_text="Nothing has arrived since.")
    disabled_at = serializers.DateTimeField(allow_null=True, help_text="Switched off for failing; nothing is sent.")
    previous_secret_until = serializers.DateTimeField(
        allow_null=True, help_text="After a rotation the secret before signs, too, until then."
    )


class RegisteredWebhook(WebhookAnswer):
    secret = serializers.CharField(help_text="Signs what is sent. Shown this once.")


class WebhookList(serializers.Serializer[Any]):
    data = WebhookAnswer(many=True)  # type: ignore[assignment]


class NewWebhook(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=webhook_endpoints.LONGEST, help_text="https, on the internet.")

    def validate_url(self, url: str) -> str:
        try:
            return webhook_endpoints.check_url(url)
        except webhook_endpoints.BadUrl as error:
            raise serializers.ValidationError(str(error)) from None


class Rotation(serializers.Serializer[Any]):
    overlap_hours = serializers.IntegerField(
        min_value=0,
        max_value=MOST_OVERLAP_HOURS,
        default=24,
        help_text="How long the present secret signs beside the new one; 0 ends it at once.",
    )


class DeliveryAnswer(serializers.Serializer[Any]):
    """What became of a notice at an endpoint."""

    event_id = serializers.CharField()
    type = serializers.ChoiceField(choices=Notice.Kind.choices)
    status = serializers.ChoiceField(choices=WebhookDelivery.Status.choices)
    attempts = serializers.IntegerField()
    last_error = serializers.CharField(
        help_text=f"Why the last attempt failed: {', '.join(WebhookDelivery.Failure.values)}, http_503 for a status; or empty."
    )
    created_at = serializers.DateTimeField()
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    delivered_at = serializers.DateTimeField(allow_null=True)


class DeliveryList(serializers.Serializer[Any]):
    data = DeliveryAnswer(many=True)  # type: ignore[assignment]


class WebhooksView(OrganizationAPIView):
    """What all addresses share."""

    scope = Scope.USAGE_READ

    def endpoint(self, webhook_id: UUID) -> WebhookEndpoint:
        return get_object_or_404(webhook_endpoints.endpoints_of(self.organization), pk=webhook_id)


class Webhooks(WebhooksView):
    @extend_schema(operation_id="list_webhooks", summary="List webhooks", responses=WebhookList)
    def get(self, request: Request) -> Response:
        rows = webhook_endpoints.endpoints_of(self.organization)
        return Response({"data": [webhook_json(one, whole=self.administers) for one in rows]})

    @extend_schema(
        operation_id="register_webhook",
        summary="Register a webhook",
        request=NewWebhook,
        responses={201: RegisteredWebhook},
    )
    def post(self, request: Request) -> Response:
        """Every notice of the organization is sent there, signed; see docs/webhooks.md for what it looks like."""
        actor = self.administrator("webhooks")
        wish = NewWebhook(data=request.data)
        wish.is_valid(raise_exception=True)
        try:
            endpoint, secret = webhook_endpoints.register(
                organization=self.organization, url=wish.validated_data["url"], actor=actor, now=timezone.now()
            )
        except webhook_endpoints.TooMany as error:
            raise serializers.ValidationError(f"an organization has {error} webhooks at most") from None
        answer = webhook_json(endpoint, whole=True) | {"secret": secret}
        return Response(answer, status=201, headers={"Cache-Control": "no-store"})


class RotateWebhook(WebhooksView):
    @extend_schema(
        operation_id="rotate_webhook",
        summary="Give a webhook a new secret",
        request=Rotation,
        responses=RegisteredWebhook,
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Until the overlap ends, calls are signed with both secrets; an even earlier one ends now, unless
        the wish is sent again within a minute."""
        actor, endpoint, now = self.administrator("webhooks"), self.endpoint(webhook_id), timezone.now()
        wish = Rotation(data=request.data)
        wish.is_valid(raise_exception=True)
        overlap = timedelta(hours=wish.validated_data["overlap_hours"])
        try:
            secret = webhook_endpoints.rotate_secret(endpoint=endpoint, overlap=overlap, actor=actor, now=now)
        except webhook_endpoints.Removed:
            raise NotFound from None
        answer = webhook_json(self.endpoint(webhook_id), whole=True) | {"secret": secret}
        return Response(answer, headers={"Cache-Control": "no-store"})


class EndPreviousSecret(WebhooksView):
    @extend_schema(
        operation_id="end_previous_webhook_secret",
        summary="End a webhook's previous secret now",
        request=None,
        responses={204: OpenApiResponse(description="Only the present secret signs.")},
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        actor = self.administrator("webhooks")
        webhook_endpoints.end_overlap(endpoint=self.endpoint(webhook_id), actor=actor, now=timezone.now())
        return Response(status=204)


class WebhookDetail(WebhooksView):
    @extend_schema(
        operation_id="remove_webhook", summary="Remove a webhook", responses={204: OpenApiResponse(description="Gone.")}
    )
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        actor = self.administrator("webhooks")
        webhook_endpoints.remove(endpoint=self.endpoint(webhook_id), actor=actor, now=timezone.now())
        return Response(status=204)


class TestWebhook(WebhooksView):
    @extend_schema(operation_id="test_webhook", summary="Send a test", request=None, responses={202: DeliveryAnswer})
    def post(self, request: Request, webhook_id: UUID) -> Response:
        actor, endpoint = self.administrator("webhooks"), self.endpoint(webhook_id)
        try:
            delivery = webhook_endpoints.send_test(endpoint=endpoint, actor=actor, now=timezone.now())
        except webhook_endpoints.TestsTooFast:
            raise serializers.ValidationError("a test is on its way already") from None
        return Response(delivery_json(delivery), status=202)


class WebhookDeliveries(WebhooksView):
    @extend_schema(
        operation_id="list_webhook_deliveries", summary="The latest deliveries of a webhook", responses=DeliveryList
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        rows = WebhookDelivery.objects.for_organization(self.organization).filter(endpoint=self.endpoint(webhook_id))
        latest = rows.select_related("notice").order_by("-created_at", "-pk")[:LATEST]
        return Response({"data": [delivery_json(delivery) for delivery in latest]})


def webhook_json(endpoint: WebhookEndpoint, *, whole: bool) -> dict[str, Any]:
    """An endpoint as WebhookAnswer; its address with the query if `whole`."""
    return {
        "id": str(endpoint.pk),
        "url": endpoint.url if whole else endpoint.bare_url,
        "created_at": endpoint.created_at,
        "failing_since": endpoint.failing_since,
        "disabled_at": endpoint.disabled_at,
        "previous_secret_until": endpoint.previous_until
        if webhook_endpoints.previous_works(endpoint, now=timezone.now())
        else None,
    }


def delivery_json(delivery: WebhookDelivery) -> dict[str, Any]:
    """A delivery, with its notice, as DeliveryAnswer."""
    waits = delivery.status == WebhookDelivery.Status.WAITING
    return {
        "event_id": f"evt_{delivery.notice_id.hex}",
        "type": delivery.notice.kind,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "last_error": delivery.failure,
        "created_at": delivery.created_at,
        "next_attempt_at": delivery.next_attempt_at if waits else None,
        "delivered_at": delivery.delivered_at,
    }
