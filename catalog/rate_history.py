"""Which published exchange rate holds in a month or on a day. Looked up without I/O.

The boundary of a moment is the first day of its month (policy `monthly`) or the day itself (`daily`) in the organization's zone.
It gets the last rate published before it *that we had by then*: what is recorded later – a late answer, a backfill, a new
revision – never changes the rate of a month or day that has begun, so that all its usage is charged by one rate. Only
where we had none, what is recorded first afterwards holds. A rate that an operator dates back on purpose is the exception.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.conf import settings

from accounts.models import ExchangePolicy
from catalog.models import ExchangeRate
from catalog.publishing import LEAD

BY_HAND = "manual"


@dataclass(frozen=True, slots=True)
class PublishedRate:
    """An exchange rate, where it comes from, and when we learned it."""

    id: int
    rate: Decimal
    source: str
    published_on: date
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Boundary:
    """A local day before which a rate must have been published, and the moment at which that day begins."""

    day: date
    begins: datetime


def boundary_of(day: date, *, policy: str, zone: str) -> Boundary:
    """The boundary of usage on a local day."""
    first = day.replace(day=1) if policy == ExchangePolicy.MONTHLY else day
    return _begin(first, zone)


def next_boundary(day: date, *, policy: str, zone: str) -> Boundary:
    """The boundary that follows the one of a local day."""
    if policy == ExchangePolicy.MONTHLY:
        return _begin((day.replace(day=1) + timedelta(days=32)).replace(day=1), zone)
    return _begin(day + timedelta(days=1), zone)


def _begin(day: date, zone: str) -> Boundary:
    return Boundary(day, datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))


class RateHistory:
    """USD → KRW. Of one day the source that is preferred counts (`preference`), and of that its last revision."""

    def __init__(self, rates: Iterable[PublishedRate] = ()) -> None:
        """`rates` by day, and within a day the one that counts last."""
        self._rates: Sequence[PublishedRate] = tuple(rates)
        self._days: Sequence[date] = tuple(rate.published_on for rate in self._rates)

    def at(self, boundary: Boundary) -> PublishedRate | None:
        """The rate that holds from `boundary` on; None if none is recent enough (EXCHANGE_RATE_MAX_AGE_DAYS)."""
        oldest = boundary.day - timedelta(days=settings.EXCHANGE_RATE_MAX_AGE_DAYS)
        usable = self._rates[bisect_left(self._days, oldest) : bisect_left(self._days, boundary.day)]
        deadline = boundary.begins - LEAD  # what was recorded later, some process may not know yet
        in_time = [rate for rate in usable if rate.recorded_at <= deadline]
        if in_time:
            return in_time[-1]
        learned_first = min((rate.recorded_at for rate in usable), default=None)
        return next((rate for rate in reversed(usable) if rate.recorded_at == learned_first), None)

    def with_rate(self, rate: PublishedRate) -> "RateHistory":
        """The history as it would be with `rate`, which counts more than the others of its day."""
        position = bisect_right(self._days, rate.published_on)
        return RateHistory([*self._rates[:position], rate, *self._rates[position:]])

    def last_before(self, day: date) -> PublishedRate | None:
        """The last rate published before `day`, however old, whenever we learned it."""
        position = bisect_left(self._days, day)
        return self._rates[position - 1] if position else None


def load_rate_history() -> RateHistory:
    """Read all rates from USD to KRW."""
    rows = ExchangeRate.objects.using("system").filter(base="USD", quote="KRW")
    by_weight = sorted(rows, key=lambda row: (row.published_on, preference(row), row.created_at, row.pk))
    return RateHistory(
        PublishedRate(row.pk, row.rate, row.source, row.published_on, _recorded_at(row)) for row in by_weight
    )


def _recorded_at(row: ExchangeRate) -> datetime:
    """When we learned it; a correction on purpose (`correcting.py`) counts as known on its day."""
    return datetime.combine(row.published_on, time(), UTC) if row.backdated else row.created_at


def preference(row: ExchangeRate) -> int:
    """The higher counts among rates of one day: what an operator entered, then the order of EXCHANGE_RATE_SOURCES."""
    sources: list[str] = settings.EXCHANGE_RATE_SOURCES
    if row.created_by_id is not None or row.source == BY_HAND:
        return len(sources) + 1
    return len(sources) - sources.index(row.source) if row.source in sources else 0
