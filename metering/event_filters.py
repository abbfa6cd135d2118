"""Which recorded events somebody wants to see: one set of filters for pages, lists and exports, wherever the events are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from accounts.models import Organization, Source
from ledger.event_ids import first_id_at
from metering.stored_events import Look


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Events that occurred in [start, end), and of these only what matches everything that is given.

    `status` are the first and last HTTP status, `text` is the id of an event, request or generation, or the reporter's key.
    """

    start: datetime
    end: datetime
    model_id: int | None = None
    api_key_id: int | None = None
    period_id: int | None = None
    source: str | None = None
    status: tuple[int, int] | None = None
    kind: int | None = None
    evidence: int | None = None
    upstream: str | None = None
    end_user: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None


EXACT_FIELDS = ("model_id", "api_key_id", "period_id", "kind", "evidence", "upstream", "end_user")


def matching(organization: Organization, wanted: EventFilter) -> Look:
    """The organization's events that match, as `stored_events` is asked for them."""
    where = Q(**{name: getattr(wanted, name) for name in EXACT_FIELDS if getattr(wanted, name) is not None})
    if wanted.source is not None:
        where &= Q(source_id__in=list(Source.objects.filter(slug=wanted.source).values_list("pk", flat=True)))
    if wanted.status is not None:
        where &= Q(status__range=wanted.status)
    if wanted.tags:
        where &= Q(tags__contains=dict(wanted.tags))
    if wanted.text is not None:
        where &= _named(wanted.text)
    return Look(
        organization_id=organization.pk, first=first_id_at(wanted.start), end=first_id_at(wanted.end), where=where
    )


def _named(text: str) -> Q:
    names = Q(key=text) | Q(request_id=text) | Q(generation_id=text)
    try:
        return names | Q(id=UUID(text))
    except ValueError:
        return names
