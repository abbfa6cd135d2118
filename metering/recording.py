"""Usage is recorded, once: dedup, priced event, rollup, accrual, hold released – one transaction for a batch (the walk, DESIGN §2).

`record` is called with whatever is there: a pushed batch, or the calls that wait for the same commit in the gateway. When it
returns, its outcomes are committed; until then nothing is.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.tenancy import tenant_query
from ledger import balances, holds, limits
from ledger.partitions import MonthArchived, ensure_partitions, month_of
from ledger.periods import OpenPeriod, lock_periods_for_charges
from ledger.retrying import with_retries
from metering import event_rows, rollups
from metering.charges import TERMS_QUERY, Charge, ChargeTerms, Waiting, price, terms_in
from metering.reports import Outcome, Status, UsageReport
from pricing.exact import exact_sum


def record(reports: Sequence[UsageReport], *, now: datetime) -> list[Outcome]:
    """Record a batch and say of each report what is committed: accepted, duplicate, conflict, or rejected.

    Reports may belong to many organizations. Repeating a call whose answer was lost changes nothing. A report that names an
    organization without a balance is rejected by itself.
    """
    if not reports:
        return []
    months = {month_of(report.occurred_at) for report in reports}
    try:
        with_retries(lambda: ensure_partitions("metering_usageevent", months))
    except MonthArchived as error:
        return _record_others(reports, error, now=now)
    return with_retries(lambda: _record(reports, now=now))


def _record_others(reports: Sequence[UsageReport], error: MonthArchived, *, now: datetime) -> list[Outcome]:
    """Nothing can be added to an archived month: its reports are rejected, the others are recorded."""
    outcomes = iter(record([report for report in reports if month_of(report.occurred_at) != error.month], now=now))
    refused = Outcome(Status.REJECTED, str(error))
    return [refused if month_of(report.occurred_at) == error.month else next(outcomes) for report in reports]


def _record(reports: Sequence[UsageReport], *, now: datetime) -> list[Outcome]:
    organization_ids = sorted({report.organization_id for report in reports})
    with tenant_query(organization_ids, TERMS_QUERY, [organization_ids]) as rows:
        terms = terms_in(rows)
        known = [report for report in reports if report.organization_id in terms]
        batch = price(known, terms, now=now)
        fresh = event_rows.claim(batch) if batch else set()
        accepted = [item for item in batch if item.event_id in fresh]
        adjusted = add(accepted, terms, now=now)
        outcomes = iter(_outcomes(batch, fresh, adjusted))
        return [
            next(outcomes) if report.organization_id in terms else Outcome(Status.REJECTED, "unknown organization")
            for report in reports
        ]


def add(items: Sequence[Charge | Waiting], terms: Mapping[int, ChargeTerms], *, now: datetime) -> dict[UUID, str]:
    """Write claimed items inside the running transaction: queue those without a price, charge the others, settle their holds.

    Returns, by event, the month that is charged where it is not the event's own, which is closed.
    """
    waiting = [item for item in items if isinstance(item, Waiting)]
    charges = [item for item in items if isinstance(item, Charge)]
    if waiting:
        event_rows.add_waiting(waiting, now=now)
    if not charges:
        return {}
    charged: dict[int, list[Decimal]] = {}
    for charge in charges:
        charged.setdefault(charge.report.organization_id, []).append(charge.amount)
    zones = {organization_id: terms[organization_id].pricing.zone for organization_id in charged}
    hours = rollups.hours_of([(charge.report.occurred_at, zones[charge.report.organization_id]) for charge in charges])
    moments: dict[int, set[datetime]] = {}
    for charge, hour in zip(charges, hours, strict=True):
        moments.setdefault(charge.report.organization_id, set()).add(hour)
    periods = lock_periods_for_charges(moments, zones=zones, now=now)  # months begin with an hour
    event_rows.add_events(charges, hours, periods, now=now)
    settled = holds.capture(_settlements(charges, terms), now=now)
    limited = balances.accrue(
        {organization_id: exact_sum(amounts) for organization_id, amounts in charged.items()},
        released=holds.sums_of((hold.organization_id, -hold.held) for hold in settled),
        keys={charge.report.organization_id: charge.event_id for charge in charges},
        now=now,
    )
    if limited:
        moved = [*settled, *(_movement(charge) for charge in charges)]
        limits.count_movements([one for one in moved if one.organization_id in limited], now=now)
    return _adjustments(charges, hours, periods, zones)


def charged_to(starts_at: datetime, zone: str) -> str:
    """How a verdict says that something became an adjustment of a later month."""
    return f"charged to {starts_at.astimezone(ZoneInfo(zone)):%Y-%m}"


def _adjustments(
    charges: Sequence[Charge],
    hours: Sequence[datetime],
    periods: Mapping[tuple[int, datetime], OpenPeriod],
    zones: Mapping[int, str],
) -> dict[UUID, str]:
    late = {
        key: charged_to(period.starts_at, zones[key[0]]) for key, period in periods.items() if period.starts_at > key[1]
    }
    if not late:
        return {}
    keys = [(charge.report.organization_id, hour) for charge, hour in zip(charges, hours, strict=True)]
    return {charge.event_id: late[key] for charge, key in zip(charges, keys, strict=True) if key in late}


def _movement(charge: Charge) -> limits.Movement:
    report = charge.report
    return limits.Movement(
        organization_id=report.organization_id,
        api_key_id=report.api_key_id,
        at=report.occurred_at,
        spent=charge.amount,
    )


def _settlements(charges: Sequence[Charge], terms: Mapping[int, ChargeTerms]) -> dict[tuple[int, UUID], Decimal]:
    return {
        (charge.report.organization_id, charge.report.hold_id): balances.with_tax(
            charge.amount, terms[charge.report.organization_id].tax_rate
        )
        for charge in charges
        if charge.report.hold_id is not None
    }


def _outcomes(batch: Sequence[Charge | Waiting], fresh: set[UUID], adjusted: Mapping[UUID, str]) -> list[Outcome]:
    repeated = [item for item in batch if item.event_id not in fresh]
    holders = event_rows.claimed_before(repeated) if repeated else {}
    return [_accepted(item, adjusted) if item.event_id in fresh else _repeated(item, holders) for item in batch]


def _accepted(item: Charge | Waiting, adjusted: Mapping[UUID, str]) -> Outcome:
    if isinstance(item, Waiting):
        return Outcome(Status.ACCEPTED, f"waits for a price: {item.reason}", item.event_id)
    return Outcome(Status.ACCEPTED, adjusted.get(item.event_id, ""), item.event_id, item.amount, item.currency)


def _repeated(item: Charge | Waiting, holders: Mapping[tuple[int, str], tuple[str, UUID]]) -> Outcome:
    payload_digest, event_id = holders[item.report.organization_id, item.key_digest]
    if payload_digest == item.payload_digest:
        return Outcome(Status.DUPLICATE, "", event_id)
    return Outcome(
        Status.CONFLICT, "an event with this id and other content was recorded before; the first one stays", event_id
    )
