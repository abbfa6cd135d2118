"""Which recorded events somebody wants to see: one set of filters for pages, lists and exports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from accounts.models import Organization, Source
from accounts.tenancy import TenantQuerySet
from ledger.event_ids import first_id_at
from metering.models import UsageEvent


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


def matching(organization: Organization, wanted: EventFilter) -> TenantQuerySet[UsageEvent]:
    """The organization's events that match, in no order. Needs the tenant's scope."""
    given = {name: getattr(wanted, name) for name in EXACT_FIELDS}
    events = UsageEvent.objects.for_organization(organization).filter(
        id__gte=first_id_at(wanted.start),
        id__lt=first_id_at(wanted.end),
        **{name: value for name, value in given.items() if value is not None},
    )
    if wanted.source is not None:
        events = events.filter(
            source_id__in=list(Source.objects.filter(slug=wanted.source).values_list("pk", flat=True))
        )
    if wanted.status is not None:
        events = events.filter(status__range=wanted.status)
    if wanted.tags:
        events = events.filter(tags__contains=dict(wanted.tags))
    if wanted.text is not None:
        events = events.filter(_named(wanted.text))
    return events


def _named(text: str) -> Q:
    names = Q(key=text) | Q(request_id=text) | Q(generation_id=text)
    try:
        return names | Q(id=UUID(text))
    except ValueError:
        return names
