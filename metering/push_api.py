"""REST: the doors for usage that other gateways push in, each with its format. What is answered is committed."""

from typing import Any

import msgspec
from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.authentication import Caller, RememberedReporterAuthentication, Reporter
from accounts.models import Scope
from metering.formats import litellm, otlp
from metering.formats.bodies import plain_body
from metering.formats.format import Format
from metering.formats.selection import UnknownFormat
from metering.ingestion import Receipt, ingest
from metering.pushed_events import PushedEvent
from metering.reports import Status
from metering.usage_shapes import PushAnswer

TEST_CONNECTION = "X-Test-Connection"
"""OpenRouter's Broadcast asks with this header whether we are there."""


def receive(request: Request, form: Format) -> Receipt:
    """Record what the request's body reports. Raises PermissionDenied, and what reading a body and recording raise."""
    reporter: Caller | Reporter = request.auth  # type: ignore[assignment]
    if isinstance(reporter, Caller) and not reporter.may(scope=Scope.USAGE_WRITE, roles=()):
        raise PermissionDenied("The API key lacks the scope usage:write.")
    body = plain_body(
        request._request.body,
        encoding=request.headers.get("Content-Encoding", ""),
        at_most=settings.USAGE_MAX_BODY,
    )
    events = form.decode(body, at_most=settings.USAGE_MAX_BATCH)
    if isinstance(reporter, Caller) and not form.names_organizations:
        for event in events:
            if isinstance(event, PushedEvent):
                event.organization = None
    return ingest(events, reporter=reporter, now=timezone.now())


def verdicts(receipt: Receipt) -> HttpResponse:
    """The receipt as it is: a verdict an event."""
    return HttpResponse(msgspec.json.encode(receipt), content_type="application/json")


class PushView(OrganizationAPIView):
    """POST is for service keys, and API keys that may write usage; other methods are for whom they always are."""

    scope = Scope.USAGE_READ
    unscoped_methods = frozenset({"POST"})

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [RememberedReporterAuthentication()] if self._pushes else super().get_authenticators()

    @property
    def _pushes(self) -> bool:
        return bool(self.request) and self.request.method == "POST"

    @property
    def throttle_scope(self) -> str:
        return "ingest" if self._pushes else "client"


class LiteLLMRecords(PushView):
    """LiteLLM's generic callback: `callback_type: generic_api` with this address as its endpoint."""

    @extend_schema(
        operation_id="push_litellm_records",
        summary="Report usage from LiteLLM's generic callback",
        request={"application/json": dict[str, Any], "application/x-ndjson": str},
        responses={200: PushAnswer},
    )
    def post(self, request: Request) -> HttpResponse:
        """A JSON array, NDJSON or a single record. Failed calls and answers from LiteLLM's cache used no tokens: rejected."""
        return verdicts(receive(request, litellm.FORMAT))


class PartialSuccess(serializers.Serializer[Any]):
    rejectedSpans = serializers.CharField(help_text="How many, as text: a 64-bit number in OTLP's JSON.")  # noqa: N815
    errorMessage = serializers.CharField()  # noqa: N815


class OtlpAnswer(serializers.Serializer[Any]):
    """OTLP's own answer; empty when every call among the spans is recorded."""

    partialSuccess = PartialSuccess(required=False)  # noqa: N815


class OtlpTraces(PushView):
    """OpenTelemetry's traces with GenAI attributes: `OTEL_EXPORTER_OTLP_ENDPOINT` is this address without `/v1/traces`."""

    @extend_schema(
        operation_id="push_otlp_traces",
        summary="Report usage as OpenTelemetry traces",
        request={"application/json": dict[str, Any]},
        responses={200: OtlpAnswer},
    )
    def post(self, request: Request) -> Response:
        """OTLP/HTTP in JSON. Spans that are no calls to a model are passed over; a repeated span counts once."""
        if TEST_CONNECTION in request.headers:
            return Response({})
        if request.content_type.partition(";")[0].strip() not in otlp.FORMAT.media_types:
            raise UnknownFormat(request.content_type, otlp.FORMAT.media_types)
        refused = [
            verdict
            for verdict in receive(request, otlp.FORMAT).results
            if verdict.status in (Status.REJECTED, Status.CONFLICT)
        ]
        if not refused:
            return Response({})
        reason = refused[0].reason or "the same id was recorded before with other content"
        message = f"{len(refused)} calls were not recorded; the first, {refused[0].id}: {reason}"
        return Response({"partialSuccess": {"rejectedSpans": str(len(refused)), "errorMessage": message}})
