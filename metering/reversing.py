"""Take a charge back and, if it was wrong rather than void, make it anew: rows beside the event, which stays.

A reversal is the exact negative of its event, at the event's own moment; so hours, months and spend limits read as if the charge
had never been made, and an invoice that is out already is corrected by an adjustment line of that month in the next one. Its id
follows from the event's (`ledger/event_ids.derived_id`): the primary key is what lets an event be reversed once, whoever tries.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.models import User
from ledger import limits
from ledger.accruing import accrue
from ledger.models import TransactionKind
from ledger.periods import lock_if_open, lock_periods_for_charges
from metering import correction_rows, rollups, stored_events
from metering.charges import Charge, terms_of
from metering.correction_rows import Cause, CorrectionRow, Recharge, reversal_id
from metering.models import EventKind, UsageEvent
from pricing.exact import EXACT, ZERO, exact_sum


class NotReversible(ValueError):
    """A reversal cannot be reversed: charge the usage anew instead. What is archived cannot be either: give a credit instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """An event to take back, and what is charged instead: the same call at another rate (`recharge`), or what it was after all
    (`charge`, whose event has the id of a replacement). Without either, the usage costs nothing from now on.

    `reason` where it has one of its own.
    """

    event: UsageEvent
    recharge: Recharge | None = None
    charge: Charge | None = None
    reason: str | None = None

    @property
    def key(self) -> tuple[int, UUID]:
        return self.event.organization_id, self.event.id

    @property
    def change(self) -> Decimal:
        """What it adds to the charges, before tax."""
        return EXACT.subtract(self.charged_instead, self.event.amount)

    @property
    def charged_instead(self) -> Decimal:
        """What the usage costs from now on, before tax."""
        instead = self.charge or self.recharge
        return instead.amount if instead else ZERO


def reversed_among(events: Iterable[UsageEvent], *, organization_id: int) -> set[UUID]:
    """The ids of those events that were reversed. Needs the organization's tenant scope."""
    by_reversal = {reversal_id(event.id): event.id for event in events}
    found = stored_events.by_ids(by_reversal.keys(), organization_id=organization_id)
    return {by_reversal[number] for number in found}


def reverse(corrections: Sequence[Correction], *, reason: str, actor: User | None, now: datetime) -> list[Correction]:
    """Make these corrections inside the running transaction, whose tenant scope holds their organizations; returns those made.

    An event that was reversed before is left alone, its replacement too, so repeating a call changes nothing. Each correction goes
    to the period of its event while that is open, else to the first open one. Writing the audit entry is the caller's part. Raises
    NotReversible.
    """
    if any(correction.event.kind != EventKind.USAGE for correction in corrections):
        raise NotReversible("only usage can be reversed, not a reversal")
    if any(stored_events.is_archived(correction.event) for correction in corrections):
        raise NotReversible("the usage of that month is archived")
    if not corrections:
        return []
    by_key = {correction.key: correction for correction in corrections}
    rows = _place([by_key[key] for key in sorted(by_key)], reason=reason, now=now)
    cause = Cause(actor_id=actor.pk if actor else None, now=now)
    fresh = correction_rows.add_reversals(rows, cause)
    made = [row for row in rows if row.key in fresh]
    if made:
        correction_rows.add_replacements(made, cause)
        correction_rows.add_to_rollups(made)
        _accrue([by_key[row.key] for row in made], now=now)
    return [by_key[row.key] for row in made]


def _place(corrections: Sequence[Correction], *, reason: str, now: datetime) -> list[CorrectionRow]:
    """The row of each correction, in a period that takes charges."""
    events = [correction.event for correction in corrections]
    terms = terms_of(event.organization_id for event in events)
    zones = {organization_id: terms[organization_id].pricing.zone for organization_id in terms}
    periods = _periods(events, zones, now=now)
    return [
        CorrectionRow(
            organization_id=event.organization_id,
            event_id=event.id,
            period_id=periods[event.organization_id, event.id],
            hour=rollups.hour_of(event.occurred_at, ZoneInfo(zones[event.organization_id])),
            reason=correction.reason or reason,
            recharge=correction.recharge,
            charge=correction.charge,
        )
        for correction, event in zip(corrections, events, strict=True)
    ]


def _periods(events: Sequence[UsageEvent], zones: Mapping[int, str], *, now: datetime) -> dict[tuple[int, UUID], int]:
    """Where the corrections of events are charged, share-locked: (organization, event) → period."""
    still_open = lock_if_open((event.organization_id, event.period_id) for event in events)
    moments: dict[int, list[datetime]] = {}
    for event in events:
        if event.period_id not in still_open:
            moments.setdefault(event.organization_id, []).append(event.occurred_at)
    later = lock_periods_for_charges(moments, zones=zones, now=now) if moments else {}
    return {
        (event.organization_id, event.id): event.period_id
        if event.period_id in still_open
        else later[event.organization_id, event.occurred_at].id
        for event in events
    }


def _accrue(corrections: Sequence[Correction], *, now: datetime) -> None:
    """Move the balances and what spend limits count, as recording does."""
    changes: dict[int, list[Decimal]] = {}
    for correction in corrections:
        changes.setdefault(correction.event.organization_id, []).append(correction.change)
    limited = accrue(
        {number: exact_sum(amounts) for number, amounts in changes.items()},
        keys={correction.event.organization_id: reversal_id(correction.event.id) for correction in corrections},
        now=now,
        kind=TransactionKind.CORRECTION,
    )
    movements = [
        limits.Movement(
            organization_id=correction.event.organization_id,
            api_key_id=api_key_id,
            at=correction.event.occurred_at,
            spent=spent,
        )
        for correction in corrections
        if correction.event.organization_id in limited
        for api_key_id, spent in _spent(correction)
    ]
    if movements:
        limits.count_movements(movements, now=now)


def _spent(correction: Correction) -> list[tuple[int | None, Decimal]]:
    """What a correction adds to what each key spent: a call may turn out to be another key's."""
    event, charge = correction.event, correction.charge
    if charge is None or charge.report.api_key_id == event.api_key_id:
        return [(event.api_key_id, correction.change)]
    return [(event.api_key_id, EXACT.minus(event.amount)), (charge.report.api_key_id, charge.amount)]
