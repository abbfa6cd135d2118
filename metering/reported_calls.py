"""What became of a reported call: as it was told, as it was charged and charged anew, or that it waits or was taken back.

A call's first event is the one its id leads to; what replaces an event leads on from there (`correction_rows.replacement_id`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from catalog import price_book
from metering import stored_events
from metering.correction_rows import replacement_id, reversal_id
from metering.models import (
    CorrectionAction,
    EventKey,
    EventKind,
    Evidence,
    UnratedUsage,
    UsageCorrection,
    UsageEvent,
)
from metering.receipts import usage_of
from metering.reports import UsageReport, key_digest


@dataclass(slots=True, kw_only=True)
class ReportedCall:
    """A call as the event `id` tells it, and what came after: `events` oldest first, or `waiting` while it has no price.

    `reports` say the same in the reporter's terms; a waiting call that was amended has what was told first in front.
    """

    id: UUID
    source_id: int
    events: list[UsageEvent] = field(default_factory=list)
    waiting: UnratedUsage | None = None
    reports: list[UsageReport] = field(default_factory=list)
    is_void: bool = False

    @property
    def head(self) -> UsageEvent:
        """The event that the call is charged by."""
        return self.events[-1]

    @property
    def is_reversal(self) -> bool:
        return bool(self.events) and self.events[0].kind == EventKind.REVERSAL


def events_of_keys(keys: Collection[str], *, organization_id: int, source_id: int) -> dict[str, UUID]:
    """The first events of calls, by the ids that their reporter gave them. Needs the organization's tenant scope."""
    digests = {key_digest(source_id, key): key for key in keys}
    rows = EventKey.objects.for_organization(organization_id).filter(key_digest__in=list(digests))
    return {digests[digest.hex]: event_id for digest, event_id in rows.values_list("key_digest", "event_id")}


def reported_calls(event_ids: Collection[UUID], *, organization_id: int) -> dict[UUID, ReportedCall]:
    """What became of the calls of these events; those that are unknown are left out.

    Waiting ones are locked, before events are looked at: whoever charges them meanwhile is seen. Needs the tenant's scope.
    """
    waiting = _waiting(event_ids, organization_id)
    calls = _charged([number for number in event_ids if number not in waiting], organization_id)
    told = _told(event_ids, organization_id)
    for event_id, row in waiting.items():
        reports = [msgspec.convert(report, type=UsageReport) for report in (told.get(event_id), row.report) if report]
        calls[event_id] = ReportedCall(id=event_id, source_id=row.source_id, waiting=row, reports=reports)
    for event_id in told.keys() - calls.keys():
        report = msgspec.convert(told[event_id], type=UsageReport)
        calls[event_id] = ReportedCall(id=event_id, source_id=report.source_id, reports=[report], is_void=True)
    return calls


def same_content(one: UsageReport, other: UsageReport) -> bool:
    """Whether two reports of a call would be stored alike."""
    return _as_stored(one) == _as_stored(other)


def _as_stored(report: UsageReport) -> UsageReport:
    asked = report.requested_model
    known = asked if asked in price_book.current().models and asked != report.model else None
    return msgspec.structs.replace(report, requested_model=known, tags=dict(report.tags), hold_id=None)


def _waiting(event_ids: Collection[UUID], organization_id: int) -> dict[UUID, UnratedUsage]:
    rows = UnratedUsage.objects.for_organization(organization_id).filter(event_id__in=list(event_ids))
    return {row.event_id: row for row in rows.order_by("event_id").select_for_update()}


def _told(event_ids: Collection[UUID], organization_id: int) -> dict[UUID, Mapping[str, object]]:
    """What had been told first of calls that were corrected while they waited, by event."""
    rows = UsageCorrection.objects.for_organization(organization_id).filter(
        event_id__in=list(event_ids), report__isnull=False
    )
    ordered = rows.order_by("-action")  # what was amended and then voided was told first when it was amended
    assert CorrectionAction.VOID < CorrectionAction.AMEND
    found: dict[UUID, Mapping[str, object]] = {}
    for row in ordered:
        found.setdefault(row.event_id, row.report or {})
    return found


def _charged(event_ids: Collection[UUID], organization_id: int) -> dict[UUID, ReportedCall]:
    slugs = {model.id: slug for slug, model in price_book.current().models.items()}
    calls: dict[UUID, ReportedCall] = {}
    names = {event_id: event_id for event_id in event_ids}
    while names:
        found = stored_events.by_ids(names.keys(), organization_id=organization_id)
        for number, event in found.items():
            call = calls.setdefault(names[number], ReportedCall(id=names[number], source_id=event.source_id))
            call.events.append(event)
            call.is_void = False
            if event.kind == EventKind.USAGE:
                call.reports.append(_report_of(event, slugs))
        charged = [number for number, event in found.items() if event.kind == EventKind.USAGE]
        # Reversals first: one that is seen was committed with its replacement, which the next look then cannot miss.
        reversals = {reversal_id(number): number for number in charged}
        for number in stored_events.by_ids(reversals.keys(), organization_id=organization_id):
            calls[names[reversals[number]]].is_void = True
        names = {replacement_id(number): names[number] for number in charged}
    return calls


def _report_of(event: UsageEvent, slugs: Mapping[int, str]) -> UsageReport:
    """The report that would have made this event."""
    return UsageReport(
        organization_id=event.organization_id,
        source_id=event.source_id,
        key=event.key,
        model=slugs[event.model_id],
        occurred_at=event.occurred_at,
        usage=usage_of(event),
        api_key_id=event.api_key_id,
        requested_model=slugs[event.requested_model_id] if event.requested_model_id else None,
        upstream=event.upstream,
        reported_cost=event.reported_cost,
        evidence=Evidence(event.evidence),
        request_id=event.request_id,
        generation_id=event.generation_id,
        attempt=event.attempt,
        status=event.status,
        streamed=event.streamed,
        latency_ms=event.latency_ms,
        first_token_ms=event.first_token_ms,
        finish_reason=event.finish_reason,
        end_user=event.end_user,
        tags=event.tags or {},
    )
