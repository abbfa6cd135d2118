"""From a query string to the events that it asks for: the same words at `usage/events` and `usage/export`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request

from accounts.models import ApiKey, Organization
from catalog.models import LanguageModel
from metering.event_filters import EventFilter
from metering.models import EventKind, Evidence
from metering.pushed_events import MAX_TAGS
from metering.ranges import month_or

TAG = "tag."
TAG_PARAMETER = OpenApiParameter(
    name="tag.{name}", type=str, description=f"The value of a tag, as `tag.team=search`; up to {MAX_TAGS} of them."
)


def asked_events(
    request: Request, asked: Mapping[str, Any], *, organization: Organization, now: datetime
) -> EventFilter:
    """The filter of a valid EventFilterQuery. Raises ValidationError, Http404 (someone else's key). Needs the tenant's scope."""
    start, end = month_or(asked["start"], asked["end"], organization=organization, now=now)
    return EventFilter(
        start=start,
        end=end,
        model_id=_model(asked["model"]).pk if "model" in asked else None,
        api_key_id=_key(organization, asked["api_key"]).pk if "api_key" in asked else None,
        source=asked.get("source"),
        status=_statuses(asked["status"]) if "status" in asked else None,
        kind=EventKind[asked["kind"].upper()] if "kind" in asked else None,
        evidence=Evidence[asked["evidence"].upper()] if "evidence" in asked else None,
        upstream=asked.get("upstream"),
        end_user=asked.get("end_user"),
        tags=_tags(request),
        text=asked.get("q"),
    )


def _tags(request: Request) -> dict[str, str]:
    given = {name.removeprefix(TAG): str(value) for name, value in request.query_params.items() if name.startswith(TAG)}
    if len(given) > MAX_TAGS:
        raise serializers.ValidationError({"tag": f"at most {MAX_TAGS} tags"})
    return given


def _statuses(text: str) -> tuple[int, int]:
    """The first and last of "404" or "4xx"."""
    return int(text.replace("x", "0")), int(text.replace("x", "9"))


def _model(slug: str) -> LanguageModel:
    model = LanguageModel.objects.filter(slug=slug).first()
    if model is None:
        raise serializers.ValidationError({"model": "unknown model"})
    return model


def _key(organization: Organization, key_id: str) -> ApiKey:
    number = int(key_id) if key_id.isascii() and key_id.isdigit() and len(key_id) < 19 else 0
    return get_object_or_404(ApiKey.objects.for_organization(organization), pk=number)
