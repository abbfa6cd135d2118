"""REST: push usage in (`POST usage/events`), read sums (`GET usage`), events and the receipt of one (`GET usage/events…`)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse
from django.utils import timezone
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import ApiKey, Organization, Scope, Source
from accounts.pages import ForeignCursor, only_id, page
from catalog.models import LanguageModel
from metering import receipts, tag_sums, usage_queries
from metering.asked_events import TAG_PARAMETER, asked_events
from metering.formats.selection import format_of
from metering.models import UsageEvent
from metering.push_api import PushView, receive, verdicts
from metering.ranges import MOST_DAYS, context_of, month_or, require_full_hours
from metering.usage_answers import event_json, receipt_json, row_json, sum_json, tag_json, waiting_json
from metering.usage_queries import Grouping, UsageTable
from metering.usage_shapes import (
    EventPage,
    EventQuery,
    PushAnswer,
    PushedEventShape,
    ReceiptAnswer,
    UsageAnswer,
    UsageQuery,
    WaitingAnswer,
)

LONGEST = {"hour": 400}
"""Days that may be asked for at once, by grouping; others may span years, tags that were never declared a month."""


class Usage(OrganizationAPIView):
    """Sums of usage, from the hourly rollups."""

    scope = Scope.USAGE_READ

    @extend_schema(operation_id="get_usage", summary="Sums of usage", parameters=[UsageQuery], responses=UsageAnswer)
    def get(self, request: Request) -> Response:
        """Groups of a range with their totals. `totals` is the sum of all rows, whatever page is shown."""
        query = UsageQuery(data=request.query_params, context=context_of(self.organization))
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        start, end = month_or(
            asked["start"],
            asked["end"],
            organization=self.organization,
            now=timezone.now(),
            most_days=LONGEST.get(asked["group_by"], MOST_DAYS),
        )
        require_full_hours(start, end, organization=self.organization)
        by_tag = self._by_tag(start, end, asked["tag"]) if asked["group_by"] == "tag" else None
        table = by_tag.table if by_tag else self._table(start, end, asked["group_by"])
        zone = ZoneInfo(self.organization.zone)
        offset = _offset(asked.get("cursor"), most=len(table.rows))
        rows = list(enumerate(table.rows))[offset : offset + asked["limit"] + 1]
        answer = {
            "from": start.astimezone(zone).isoformat(),
            "to": end.astimezone(zone).isoformat(),
            "zone": self.organization.zone,
            "group_by": asked["group_by"],
            "currency": self.organization.billing_currency,
            **({"tag": tag_json(asked["tag"], by_tag)} if by_tag else {}),
            "totals": sum_json(table.total),
            "waiting_for_price": usage_queries.waiting_events(organization=self.organization),
        }
        rendered = page(
            rows,
            limit=asked["limit"],
            position=lambda row: (row[0] + 1,),
            render=lambda row: row_json(row[1], asked["group_by"], zone),
        )
        return Response(answer | rendered)

    def _table(self, start: datetime, end: datetime, group_by: Grouping) -> UsageTable:
        return usage_queries.usage_by(organization=self.organization, start=start, end=end, group_by=group_by)

    def _by_tag(self, start: datetime, end: datetime, tag: str) -> tag_sums.TagSums:
        try:
            return tag_sums.usage_by_tag(organization=self.organization, start=start, end=end, tag=tag)
        except tag_sums.TooManyValues as error:
            raise serializers.ValidationError({"tag": f"{error}: ask for an export"}) from None
        except tag_sums.RangeTooLong as error:
            raise serializers.ValidationError({"to": str(error)}) from None


class UsageEvents(PushView):
    """The door for pushed usage, and the list of what was recorded."""

    @extend_schema(
        operation_id="push_usage",
        summary="Report usage, a batch at a time",
        request={
            "application/json": PushedEventShape(many=True),
            "application/x-ndjson": PushedEventShape,
            "application/cloudevents+json": dict[str, Any],
            "application/cloudevents-batch+json": list[dict[str, Any]],
        },
        responses={200: PushAnswer},
    )
    def post(self, request: Request) -> HttpResponse:
        """A verdict an event, in order: accepted, duplicate (recorded before, counted once), conflict (same id, other content:
        the first stays), rejected with its reason. What is accepted is committed; sending a batch again is harmless. A JSON array,
        one event a line (NDJSON), a CloudEvent or a batch of them, by Content-Type; gzip is accepted.
        """
        return verdicts(receive(request, format_of(request.content_type)))

    @extend_schema(
        operation_id="list_usage_events",
        summary="Recorded calls, newest first",
        parameters=[EventQuery, TAG_PARAMETER],
        responses=EventPage,
    )
    def get(self, request: Request) -> Response:
        query = EventQuery(data=request.query_params, context=context_of(self.organization))
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        events = receipts.events_of(
            organization=self.organization,
            wanted=asked_events(request, asked, organization=self.organization, now=timezone.now()),
            limit=asked["limit"] + 1,
            before=only_id(asked["cursor"]) if "cursor" in asked else None,
        )
        render = events_renderer(self.organization, events)
        return Response(page(events, limit=asked["limit"], position=lambda event: (str(event.id),), render=render))


class UsageEventDetail(OrganizationAPIView):
    """The receipt of one call."""

    scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="get_usage_event",
        summary="The receipt of one call",
        responses=PolymorphicProxySerializer(
            component_name="UsageEvent", serializers=[ReceiptAnswer, WaitingAnswer], resource_type_field_name=None
        ),
    )
    def get(self, request: Request, event_id: UUID) -> Response:
        """Counts, unit prices, the price version, band, markup and exchange rate behind them, and a formula to recompute it.

        The id is the event's, or the one that an answer of the gateway names in `x-invoicedream-receipt`.
        """
        event_id = receipts.event_named(event_id, organization=self.organization)
        receipt = receipts.receipt_of(organization=self.organization, event_id=event_id)
        if receipt is not None:
            render = events_renderer(self.organization, [receipt.event])
            return Response(receipt_json(receipt, render(receipt.event)))
        waiting = receipts.waiting_event(organization=self.organization, event_id=event_id)
        if waiting is None:
            raise Http404
        return Response(waiting_json(waiting))


def events_renderer(organization: Organization, events: Iterable[UsageEvent]) -> Any:
    """How to write these events: the names of their models and keys are looked up once."""
    events = list(events)
    numbers = {number for event in events for number in (event.model_id, event.requested_model_id) if number}
    models = dict(LanguageModel.objects.filter(pk__in=numbers).values_list("pk", "slug"))
    keys = ApiKey.objects.for_organization(organization).in_bulk(
        {event.api_key_id for event in events if event.api_key_id}
    )
    sources = dict(Source.objects.filter(pk__in={event.source_id for event in events}).values_list("pk", "slug"))
    return lambda event: event_json(
        event, currency=organization.billing_currency, models=models, keys=keys, sources=sources
    )


def _offset(cursor: list[str | int] | None, *, most: int) -> int:
    if cursor is None:
        return 0
    if not isinstance(cursor[0], int) or not 0 <= cursor[0] <= most:
        raise ForeignCursor
    return cursor[0]
