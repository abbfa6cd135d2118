"""Recording in one message, for those of whom everything needed is known from a moment ago (docs/decisions/0043).

`recording.record` asks for terms and months, decides, and writes. Terms and months hardly ever change, so a process may remember
them, work out what to write, and have one statement of the same transaction prove that they still hold: if they do not, if a
month is being closed, or if anything was recorded before, the whole message fails and nothing is written. Whatever needs a
decision – spend limits, an organization that ends, a month not yet begun, a report without a price – is left to `record`.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.round_trips import Statement, Step, in_tenant_scope
from ledger.partitions import ensure_partitions, month_of
from ledger.periods import OpenPeriod, finding_open, open_periods_in
from metering import event_rows, rollups
from metering.charges import (
    FINGERPRINT,
    OF_ORGANIZATIONS,
    TERMS_WITH_FINGERPRINT,
    Charge,
    ChargeTerms,
    claims_of,
    price,
    terms_in,
)
from metering.recording import HOUR, accepted, accrual_of
from metering.reports import Outcome, UsageReport

SECONDS_REMEMBERED = 60.0
"""After that an organization is asked about again, so that one whose limits were lifted is foreseen again."""
PROVE = Statement(f"""
WITH open AS MATERIALIZED (
    SELECT 1 FROM ledger_billingperiod
    WHERE organization_id = ANY(%s) AND id = ANY(%s) AND status = 'open' FOR SHARE SKIP LOCKED
), unchanged AS (
    SELECT 1 FROM {OF_ORGANIZATIONS}
    JOIN unnest(%s::bigint[], %s::text[]) AS known (id, fingerprint) ON known.id = organization.id
    WHERE organization.id = ANY(%s) AND {FINGERPRINT} = known.fingerprint
)
SELECT CASE WHEN (SELECT count(*) FROM open) <> %s::int OR (SELECT count(*) FROM unchanged) <> %s::int
    THEN metering_terms_have_changed() END
""")
"""Months stay share-locked until the commit. Who closes one is not waited for here, because others' calls would wait, too."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Of an organization: its terms, what tells that they still hold, the months that were open, and how long this is believed."""

    terms: ChargeTerms
    fingerprint: str
    periods: Sequence[OpenPeriod]
    until: float

    @property
    def needs_decisions(self) -> bool:
        """Spend limits are counted in Python, and what ends may refuse."""
        return self.terms.limited or self.terms.ends_at is not None

    def period_at(self, hour: datetime) -> OpenPeriod | None:
        return next((period for period in self.periods if period.starts_at <= hour < period.ends_at), None)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What recording will do. `outcomes` has one for each report, None for those that are left to `record`."""

    steps: Sequence[Step]
    outcomes: Sequence[Outcome | None]


_known: dict[int, _Known] = {}


def forget(organization_ids: Iterable[int] | None = None) -> None:
    """Ask again about these organizations, or about all."""
    if organization_ids is None:
        _known.clear()
    else:
        for organization_id in organization_ids:
            _known.pop(organization_id, None)


def needs_decisions(organization_id: int) -> bool:
    """Whether `foresee` would leave this organization's reports to `record`, as far as is known without asking."""
    one = _known.get(organization_id)
    return one is not None and one.needs_decisions and one.until >= time.monotonic()


def foresee(reports: Sequence[UsageReport], *, now: datetime, also_locked: Iterable[int] = ()) -> Foreseen:
    """The steps that record these reports in a tenant scope of their organizations, and what is true once that is committed.

    `also_locked`: organizations whose balances later steps of the same transaction lock. They are locked together with the
    reports', in the order of their ids, as everybody does.
    """
    if not reports:
        return Foreseen([], [])
    known = _know({report.organization_id for report in reports}, reports)
    claims = [claim for claim in claims_of(reports) if claim.report.organization_id in known]
    terms = {organization_id: one.terms for organization_id, one in known.items()}
    charges: list[Charge] = []
    hours: list[datetime] = []
    periods: dict[tuple[int, datetime], OpenPeriod] = {}
    priced = [charge for charge in price(claims, terms, now=now) if isinstance(charge, Charge)]
    moments = [(one.report.occurred_at, terms[one.report.organization_id].pricing.zone) for one in priced]
    for charge, hour in zip(priced, rollups.hours_of(moments), strict=True):
        organization_id = charge.report.organization_id
        period = known[organization_id].period_at(hour)
        if period is None:
            forget([organization_id])
        else:
            periods[organization_id, hour] = period
            charges.append(charge)
            hours.append(hour)
    if not charges:
        return Foreseen([], [None] * len(reports))
    ensure_partitions("metering_usageevent", {month_of(charge.report.occurred_at) for charge in charges})
    steps = [
        event_rows.claiming_new(charges),
        _proving({charge.report.organization_id for charge in charges}, known, periods),
        event_rows.adding(charges, hours, periods, now=now),
        accrual_of(charges, terms, now=now, counts_limits=False, also_locked=also_locked),
    ]
    outcomes = {id(charge.report): accepted(charge, {}) for charge in charges}
    return Foreseen(steps, [outcomes.get(id(report)) for report in reports])


def _proving(
    organization_ids: Iterable[int], known: Mapping[int, _Known], periods: Mapping[tuple[int, datetime], OpenPeriod]
) -> Step:
    ordered = sorted(organization_ids)
    period_ids = sorted({period.id for period in periods.values()})
    fingerprints = [known[organization_id].fingerprint for organization_id in ordered]
    return PROVE, [ordered, period_ids, ordered, fingerprints, ordered, len(period_ids), len(ordered)]


def _know(organization_ids: set[int], reports: Sequence[UsageReport]) -> dict[int, _Known]:
    """What is known of these organizations, without those whose reports need decisions."""
    now = time.monotonic()
    unknown = {number for number in organization_ids if (one := _known.get(number)) is None or one.until < now}
    if unknown:
        _ask_about(
            sorted(unknown), oldest=min(report.occurred_at for report in reports) - HOUR, until=now + SECONDS_REMEMBERED
        )
    return {
        number: one
        for number in organization_ids
        if (one := _known.get(number)) is not None and not one.needs_decisions
    }


def _ask_about(organization_ids: Sequence[int], *, oldest: datetime, until: float) -> None:
    told, found = in_tenant_scope(
        organization_ids,
        [(TERMS_WITH_FINGERPRINT, [organization_ids]), finding_open(organization_ids, oldest=oldest)],
    )
    terms, periods = terms_in([row[:-1] for row in told]), open_periods_in(found)
    for organization_id, *_terms, fingerprint in told:
        _known[organization_id] = _Known(terms[organization_id], fingerprint, periods.get(organization_id, ()), until)
