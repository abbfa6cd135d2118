"""Behind the door for pushed usage: events of any format in, one verdict an event out. Joins the walk at `recording.record`.

A bad event is rejected alone with its reason. Whatever a process receives at the same time shares a commit.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from accounts.authentication import Caller, Reporter
from accounts.models import Source
from ledger.group_commit import GroupCommit, WriterStopped
from metering import recording
from metering.pushed_events import InvalidEvent, PushedEvent, reported_cost, usage_of
from metering.reporters import key_ids, organization_ids, source_id_of
from metering.reports import Outcome, Status, UsageReport

SECONDS_TO_COMMIT = 30.0
UNKNOWN_ORGANIZATION = "unknown organization"


class RecordingUnavailable(Exception):
    """The database does not take usage right now. Nothing is known to be committed, and sending the same again is harmless."""


class Verdict(msgspec.Struct, omit_defaults=True):
    """What became of one event. `id` is the reporter's, `event_id` ours."""

    index: int
    id: str | None
    status: Status
    reason: str = ""
    event_id: UUID | None = None


class Receipt(msgspec.Struct):
    """The answer to a batch: counts, and a verdict an event in the order of the body."""

    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    results: list[Verdict]


def _write(reports: Sequence[UsageReport]) -> list[Outcome]:
    return recording.record(reports, now=timezone.now())


writer: GroupCommit[UsageReport, Outcome] = GroupCommit(_write, name="usage-recording")
"""All requests of this process share its commits. Its clock is read when a group is written."""


def ingest(events: Sequence[PushedEvent | InvalidEvent], *, reporter: Caller | Reporter, now: datetime) -> Receipt:
    """Record the events and answer what is committed. Raises RecordingUnavailable."""
    reports = _reports(events, reporter, now=now)
    outcomes = iter(_record([report for report in reports if isinstance(report, UsageReport)]))
    verdicts = []
    for index, (event, report) in enumerate(zip(events, reports, strict=True)):
        outcome = next(outcomes) if isinstance(report, UsageReport) else Outcome(Status.REJECTED, str(report))
        verdicts.append(Verdict(index, event.id, outcome.status, outcome.reason, outcome.event_id))
    statuses = [verdict.status for verdict in verdicts]
    return Receipt(**{status.value: statuses.count(status) for status in Status}, results=verdicts)


def _record(reports: Sequence[UsageReport]) -> list[Outcome]:
    if not reports:
        return []
    try:
        return writer.submit(reports).result(timeout=SECONDS_TO_COMMIT)
    except (OperationalError, InterfaceError, WriterStopped, FutureTimeout) as error:
        raise RecordingUnavailable from error


def _reports(
    events: Sequence[PushedEvent | InvalidEvent], reporter: Caller | Reporter, *, now: datetime
) -> list[UsageReport | InvalidEvent]:
    """Each event as a report, or why it is none."""
    try:
        resolve = _resolver([event for event in events if isinstance(event, PushedEvent)], reporter)
    except (OperationalError, InterfaceError) as error:
        raise RecordingUnavailable from error
    oldest = now - timedelta(days=settings.USAGE_MAX_AGE_DAYS)
    newest = now + timedelta(seconds=settings.USAGE_MAX_AHEAD_SECONDS)
    reports: list[UsageReport | InvalidEvent] = []
    for event in events:
        if isinstance(event, PushedEvent):
            try:
                if not oldest <= event.occurred_at <= newest:
                    raise _out_of_time(event.occurred_at < oldest, event.id)
                reports.append(resolve(event))
            except InvalidEvent as fault:
                reports.append(fault.without_origin())
        else:
            reports.append(event)
    return reports


def _out_of_time(too_old: bool, event_id: str) -> InvalidEvent:
    if too_old:
        return InvalidEvent(f"occurred_at: more than {settings.USAGE_MAX_AGE_DAYS} days ago", event_id)
    return InvalidEvent(
        f"occurred_at: more than {settings.USAGE_MAX_AHEAD_SECONDS} seconds ahead of our clock", event_id
    )


def _resolver(events: Sequence[PushedEvent], reporter: Caller | Reporter) -> Callable[[PushedEvent], UsageReport]:
    """How to turn an event of this reporter into a report: all names are looked up here, in bulk."""
    organizations: Mapping[str | None, int] = organization_ids(
        {event.organization for event in events if event.organization is not None}, reporter=reporter
    )
    source_id = reporter.identity.source_id if isinstance(reporter, Reporter) else source_id_of(Source.API)
    keys = key_ids(
        {
            (organizations[event.organization], event.api_key)
            for event in events
            if event.api_key is not None and event.organization in organizations
        }
    )

    def resolve(event: PushedEvent) -> UsageReport:
        organization_id = organizations.get(event.organization)
        if organization_id is None:
            raise InvalidEvent(UNKNOWN_ORGANIZATION, event.id)
        api_key_id = None
        if event.api_key is not None:
            api_key_id = keys.get((organization_id, event.api_key))
            if api_key_id is None:
                raise InvalidEvent("api_key: not the id or prefix of one key of the organization", event.id)
        return UsageReport(
            organization_id=organization_id,
            source_id=source_id,
            key=event.id,
            model=event.model,
            occurred_at=event.occurred_at.astimezone(UTC),
            usage=usage_of(event),
            api_key_id=api_key_id,
            requested_model=event.requested_model,
            upstream=event.upstream,
            reported_cost=reported_cost(event),
            request_id=event.request_id,
            generation_id=event.generation_id,
            attempt=event.attempt,
            status=event.status,
            streamed=event.streamed,
            latency_ms=event.latency_ms,
            first_token_ms=event.first_token_ms,
            finish_reason=event.finish_reason,
            end_user=event.end_user,
            tags=event.tags,
        )

    return resolve
