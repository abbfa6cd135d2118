"""Reporters take back or change what they reported: reversals, new charges, or a waiting event that goes or is told anew.

A call is voided once and amended once. The same again is a duplicate; another amendment is a conflict that names the event which
replaced the first, and amending that one goes on from there. Whatever is corrected at once, one comes first and the others see it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from accounts.audit_log import write_audit_entry
from accounts.models import Organization
from accounts.tenancy import tenant_scope
from ledger.models import BillingPeriod
from ledger.partitions import ensure_partitions, month_of
from ledger.retrying import with_retries
from metering import recording
from metering.charges import Charge, Waiting, terms_of
from metering.correction_decisions import Asked, AskedBy, Change, decide
from metering.correction_rows import reversal_id
from metering.credited_usage import credited_among
from metering.models import CorrectionAction, UnratedUsage, UsageCorrection, UsageEvent
from metering.reported_calls import events_of_keys, reported_calls
from metering.reports import Outcome, Status
from metering.reversing import Correction, reverse
from pricing.exact import exact_sum

FRUITLESS_ROUNDS = 10
"""How often rivals may come first to all that is left: each of them corrects a call, which can be done only so often."""


class TooContested(Exception):
    """Others kept correcting the same calls. Nothing was written, and sending the same again is harmless."""


def correct_usage(corrections: Sequence[Asked], *, by: AskedBy, now: datetime) -> list[Outcome]:
    """Make the corrections in one transaction and say of each what is committed: accepted, duplicate, conflict or rejected.

    Repeating a call whose answer was lost changes nothing. Every organization that is named must exist. Raises
    TooContested.
    """
    if not corrections:
        return []
    return with_retries(lambda: _correct(corrections, by=by, now=now))


def _correct(corrections: Sequence[Asked], *, by: AskedBy, now: datetime) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    organizations = sorted({asked.organization_id for asked in corrections})
    with tenant_scope(organizations):
        closed = set(
            Organization.objects.filter(pk__in=organizations, status=Organization.Status.CLOSED).values_list(
                "pk", flat=True
            )
        )
        refused = Outcome(Status.REJECTED, recording.ENDED)
        outcomes |= {n: refused for n, asked in enumerate(corrections) if asked.organization_id in closed}
        for organization_id in sorted(set(organizations) - closed):
            own = {n: asked for n, asked in enumerate(corrections) if asked.organization_id == organization_id}
            outcomes |= _correct_of(organization_id, own, by=by, now=now)
    return [outcomes[number] for number in range(len(corrections))]


def _correct_of(organization_id: int, asked: Mapping[int, Asked], *, by: AskedBy, now: datetime) -> dict[int, Outcome]:
    """Rounds of deciding and carrying out: what meets another correction of the same event is decided again after that one."""
    outcomes: dict[int, Outcome] = {}
    changes: list[Change] = []
    named = [one.call for one in asked.values() if isinstance(one.call, str)]
    keys = events_of_keys(named, organization_id=organization_id, source_id=by.source_id)
    fruitless = 0
    while pending := {number: one for number, one in asked.items() if number not in outcomes}:
        wanted = {n: keys.get(one.call) if isinstance(one.call, str) else one.call for n, one in pending.items()}
        calls = reported_calls({number for number in wanted.values() if number}, organization_id=organization_id)
        heads = [call.head for call in calls.values() if call.events]
        credited = credited_among(heads, organization_id=organization_id)
        tried: dict[UUID, tuple[int, Change]] = {}
        for number, one in pending.items():
            event_id = wanted[number]
            found = decide(one, calls.get(event_id) if event_id else None, by=by, credited=credited, now=now)
            if isinstance(found, Outcome):
                outcomes[number] = found
            else:
                tried.setdefault(found.event_id, (number, found))
        made = _carry_out([change for _number, change in tried.values()], by=by, now=now)
        outcomes |= {number: made[change.event_id] for number, change in tried.values() if change.event_id in made}
        fruitless = 0 if outcomes.keys() & pending.keys() else fruitless + 1
        if fruitless == FRUITLESS_ROUNDS:
            raise TooContested
        changes += [change for _number, change in tried.values() if change.event_id in made]
    if changes:
        _note(organization_id, changes, by=by, now=now)
    return outcomes


def _carry_out(changes: Sequence[Change], *, by: AskedBy, now: datetime) -> dict[UUID, Outcome]:
    """Make these changes, of different events of an organization; those that a rival was faster with are left out."""
    charged = [change for change in changes if change.call.events]
    made = reverse(
        [
            Correction(event=change.call.head, charge=_charge_of(change), reason=change.asked.reason)
            for change in charged
        ],
        reason="",
        actor=None,
        now=now,
    )
    reversed_ids = {correction.event.id for correction in made}
    done = [change for change in changes if not change.call.events or change.event_id in reversed_ids]
    for change in done:
        if not change.call.events:
            _replace_waiting(change, now=now)
    UsageCorrection.objects.bulk_create([_row(change, by=by, now=now) for change in done])
    elsewhere = _periods_of_adjustments([change for change in done if change.call.events])
    return {change.event_id: _accepted(change, elsewhere.get(change.event_id, "")) for change in done}


def _charge_of(change: Change) -> Charge | None:
    return change.item if isinstance(change.item, Charge) else None


def _replace_waiting(change: Change, *, now: datetime) -> None:
    """A waiting event leaves the queue, which is locked; what it became is charged or waits, under the same id."""
    assert change.call.waiting is not None
    organization_id = change.call.waiting.organization_id
    UnratedUsage.objects.for_organization(organization_id).filter(event_id=change.event_id).delete()
    if change.item is not None:
        ensure_partitions("metering_usageevent", {month_of(change.item.report.occurred_at)})
        recording.add([change.item], terms_of([organization_id]), now=now)


def _row(change: Change, *, by: AskedBy, now: datetime) -> UsageCorrection:
    told = None if change.call.events else msgspec.to_builtins(change.call.reports[-1])
    return UsageCorrection(
        organization_id=change.asked.organization_id,
        event_id=change.event_id,
        action=CorrectionAction[change.asked.action.name],
        corrected_at=now,
        service_key_id=by.service_key_id,
        api_key_id=by.api_key_id,
        reason=change.asked.reason,
        report=told,
    )


def _periods_of_adjustments(changes: Sequence[Change]) -> dict[UUID, str]:
    """The month that each correction is charged to, by event, where its own is closed."""
    own = {change.event_id: change.call.head.period_id for change in changes}
    if not own:
        return {}
    organization_id = changes[0].asked.organization_id
    reversals = {reversal_id(event_id): event_id for event_id in own}
    rows = UsageEvent.objects.for_organization(organization_id).filter(id__in=list(reversals))
    placed = {reversals[number]: period_id for number, period_id in rows.values_list("id", "period_id")}
    moved = {event_id: period_id for event_id, period_id in placed.items() if period_id != own[event_id]}
    periods = BillingPeriod.objects.for_organization(organization_id).in_bulk(set(moved.values()))
    months = {number: recording.charged_to(period.starts_at, period.zone) for number, period in periods.items()}
    return {event_id: months[period_id] for event_id, period_id in moved.items()}


def _accepted(change: Change, reason: str) -> Outcome:
    if isinstance(change.item, Waiting):
        reason = f"waits for a price: {change.item.reason}"
    return Outcome(Status.ACCEPTED, reason, change.made_id)


def _note(organization_id: int, changes: Sequence[Change], *, by: AskedBy, now: datetime) -> None:
    """The audit entry of a request, one an organization; why each call was corrected stands beside it (UsageCorrection)."""
    counts = Counter(change.asked.action.value for change in changes)
    before = exact_sum(change.call.head.amount for change in changes if change.call.events)
    after = exact_sum(change.item.amount for change in changes if isinstance(change.item, Charge))
    write_audit_entry(
        action="usage.corrected",
        target=f"source {by.source_id}",
        organization=Organization.objects.get(pk=organization_id),
        now=now,
        detail={
            "service_key": by.service_key_id,
            "api_key": by.api_key_id,
            "reason": changes[0].asked.reason,
            **counts,
            "before": format(before, "f"),
            "after": format(after, "f"),
            "first": str(changes[0].event_id),
            "last": str(changes[-1].event_id),
        },
    )
