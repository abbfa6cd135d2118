"""Usage is recorded, once: dedup, priced event, rollup, accrual, hold released – one transaction for a batch (see ARCHITECTURE.md).

`record` is called with whatever is there: a pushed batch, or the calls that wait for the same commit in the gateway. When it
returns, its outcomes are committed; until then nothing is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.round_trips import HotTransaction, Step, run, tenant_transaction
from ledger import balances, limits
from ledger.accruing import Limited, accrual, limited_in
from ledger.partitions import MonthArchived, ensure_partitions, month_of
from ledger.periods import OpenPeriod, OpenPeriods, lock_periods_for_charges, locking, open_periods_in
from ledger.retrying import with_retries
from metering import event_rows, rollups
from metering.charges import TERMS, Charge, ChargeTerms, Claim, Waiting, claims_of, price, terms_in
from metering.reports import Outcome, Status, UsageReport
from pricing.exact import exact_sum

ENDED = "the organization is closed, or closes before this"
HOUR = timedelta(hours=1)
"""A charge is filed under the hour in which it occurred; so far may the hour's beginning lie before it."""


class _UnknownOrganizations(Exception):
    """No balance belongs to these organizations."""

    def __init__(self, organization_ids: set[int]) -> None:
        super().__init__(organization_ids)
        self.organization_ids = organization_ids


class _Ended(Exception):
    """These organizations close, and some reports are of after that."""

    def __init__(self, terms: Mapping[int, ChargeTerms]) -> None:
        super().__init__(set(terms))
        self.terms = terms


def record(reports: Sequence[UsageReport], *, now: datetime) -> list[Outcome]:
    """Record a batch and say of each report what is committed: accepted, duplicate, conflict, or rejected.

    Reports may belong to many organizations. Repeating a call whose answer was lost changes nothing. A report that names an
    organization without a balance is rejected by itself, and so is one of after an organization's closing moment, or any of a
    closed one; but for calls that we had admitted, whose hold it settles.
    """
    if not reports:
        return []
    months = {month_of(report.occurred_at) for report in reports}
    try:
        with_retries(lambda: ensure_partitions("metering_usageevent", months))
        return with_retries(lambda: _record(reports, now=now))
    except MonthArchived as error:
        archived, refused = error.month, Outcome(Status.REJECTED, str(error))
        return _record_others(reports, lambda report: month_of(report.occurred_at) == archived, refused, now=now)
    except _UnknownOrganizations as error:
        unknown, refused = error.organization_ids, Outcome(Status.REJECTED, "unknown organization")
        return _record_others(reports, lambda report: report.organization_id in unknown, refused, now=now)
    except _Ended as error:
        ended = error.terms
        return _record_others(
            reports, lambda report: _is_too_late(report, ended), Outcome(Status.REJECTED, ENDED), now=now
        )


def _record_others(
    reports: Sequence[UsageReport], is_refused: Callable[[UsageReport], bool], refused: Outcome, *, now: datetime
) -> list[Outcome]:
    """Nothing was recorded, because some of the reports never can be: they are rejected, the others are recorded."""
    outcomes = iter(record([report for report in reports if not is_refused(report)], now=now))
    return [refused if is_refused(report) else next(outcomes) for report in reports]


def _is_too_late(report: UsageReport, ending: Mapping[int, ChargeTerms]) -> bool:
    terms = ending.get(report.organization_id)
    if terms is None or terms.ends_at is None or report.hold_id is not None:
        return False
    return report.occurred_at >= terms.ends_at


def _record(reports: Sequence[UsageReport], *, now: datetime) -> list[Outcome]:
    """Two round trips, where nothing is repeated and there are no spend limits: claim and lock, then write and commit."""
    organization_ids = sorted({report.organization_id for report in reports})
    claims = claims_of(reports)
    oldest = min(report.occurred_at for report in reports) - HOUR
    begin = [event_rows.claiming(claims), locking(organization_ids, oldest=oldest), (TERMS, [organization_ids])]
    with tenant_transaction(organization_ids, begin) as hot:
        claimed, periods, rows = hot.rows
        terms = terms_in(rows)
        if len(terms) < len(organization_ids):
            raise _UnknownOrganizations(set(organization_ids) - set(terms))
        ending = {organization_id: term for organization_id, term in terms.items() if term.ends_at is not None}
        if ending and any(_is_too_late(report, ending) for report in reports):
            raise _Ended(ending)
        fresh = {event_id for (event_id,) in claimed}
        repeated = [claim for claim in claims if claim.event_id not in fresh]
        holders = event_rows.claimed_before(repeated) if repeated else {}
        items = price([claim for claim in claims if claim.event_id in fresh], terms, now=now)
        adjusted = add(items, terms, now=now, hot=hot, locked=open_periods_in(periods))
        outcomes = {item.event_id: accepted(item, adjusted) for item in items}
        return [outcomes.get(claim.event_id) or _repeated(claim, holders) for claim in claims]


def add(
    items: Sequence[Charge | Waiting],
    terms: Mapping[int, ChargeTerms],
    *,
    now: datetime,
    hot: HotTransaction | None = None,
    locked: OpenPeriods | None = None,
) -> dict[UUID, str]:
    """Write claimed items inside the running transaction: queue those without a price, charge the others, settle their holds.

    A `hot` transaction, whose open periods are `locked`, is committed with it where it can be. Returns, by event, the month that
    is charged where it is not the event's own, which is closed.
    """
    waiting = [item for item in items if isinstance(item, Waiting)]
    charges = [item for item in items if isinstance(item, Charge)]
    if waiting:
        event_rows.add_waiting(waiting, now=now)
    if not charges:
        return {}
    zones = {item.report.organization_id: terms[item.report.organization_id].pricing.zone for item in charges}
    hours = rollups.hours_of([(charge.report.occurred_at, zones[charge.report.organization_id]) for charge in charges])
    moments: dict[int, set[datetime]] = {}
    for charge, hour in zip(charges, hours, strict=True):
        moments.setdefault(charge.report.organization_id, set()).add(hour)
    periods = lock_periods_for_charges(moments, zones=zones, now=now, locked=locked)  # months begin with an hour
    counts_limits = hot is None or any(terms[organization_id].limited for organization_id in zones)
    accrued = accrual_of(charges, terms, now=now, counts_limits=counts_limits)
    steps = [event_rows.adding(charges, hours, periods, now=now), accrued]
    if hot is not None and not counts_limits:
        hot.finish(steps)
    else:
        _count_limits(charges, limited_in(run(steps)[-1]), now=now)
    return _adjustments(charges, hours, periods, zones)


def accrual_of(
    charges: Sequence[Charge],
    terms: Mapping[int, ChargeTerms],
    *,
    now: datetime,
    counts_limits: bool,
    also_locked: Iterable[int] = (),
) -> Step:
    """`ledger.accruing.accrual` of these charges and the holds that they settle."""
    charged: dict[int, list[Decimal]] = {}
    for charge in charges:
        charged.setdefault(charge.report.organization_id, []).append(charge.amount)
    return accrual(
        {organization_id: exact_sum(amounts) for organization_id, amounts in charged.items()},
        holds=_settlements(charges, terms),
        keys={charge.report.organization_id: charge.event_id for charge in charges},
        now=now,
        counts_limits=counts_limits,
        also_locked=also_locked,
    )


def _count_limits(charges: Sequence[Charge], limited: Limited, *, now: datetime) -> None:
    if limited:
        released = [movement for movements in limited.values() for movement in movements]
        spent = [_movement(charge) for charge in charges if charge.report.organization_id in limited]
        limits.count_movements([*released, *spent], now=now)


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


def accepted(item: Charge | Waiting, adjusted: Mapping[UUID, str]) -> Outcome:
    """What is told of an item that is committed. `adjusted`: the later month that is charged, by event."""
    if isinstance(item, Waiting):
        return Outcome(Status.ACCEPTED, f"waits for a price: {item.reason}", item.event_id)
    return Outcome(Status.ACCEPTED, adjusted.get(item.event_id, ""), item.event_id, item.amount, item.currency)


def _repeated(claim: Claim, holders: Mapping[tuple[int, str], tuple[str, UUID]]) -> Outcome:
    payload_digest, event_id = holders[claim.report.organization_id, claim.key_digest]
    if payload_digest == claim.payload_digest:
        return Outcome(Status.DUPLICATE, "", event_id)
    return Outcome(
        Status.CONFLICT, "an event with this id and other content was recorded before; the first one stays", event_id
    )
