"""Ranges of days as the dashboard's addresses name them: `?range=30d`, `?from=2026-11-01&to=2026-11-22`, `?hour=2026-11-22T14`.

Days are those of the organization's zone; `to` is the last day of the range itself, as people mean it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

MOST_DAYS = 400
THIS_MONTH = "month"
CHOICES: tuple[tuple[str, Promise], ...] = (
    (THIS_MONTH, _("This month")),
    ("last-month", _("Last month")),
    ("7d", _("7 days")),
    ("30d", _("30 days")),
)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """`first` to `last`, both included; [start, end) as moments. `name` is one of CHOICES, or empty for days given one by one."""

    name: str
    first: date
    last: date
    start: datetime
    end: datetime
    hour: str = ""

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def parameters(self) -> dict[str, str]:
        """What names this range in an address."""
        if self.hour:
            return {"hour": self.hour}
        if self.name:
            return {} if self.name == THIS_MONTH else {"range": self.name}
        return {"from": self.first.isoformat(), "to": self.last.isoformat()}


def asked_range(asked: QueryDict, *, zone: ZoneInfo, now: datetime) -> TimeRange:
    """The range that an address names; what cannot be read, or is too long, means this month."""
    today = now.astimezone(zone).date()
    if hour := _hour(asked.get("hour", ""), zone):
        end = hour.astimezone(UTC) + timedelta(hours=1)
        return TimeRange("", hour.date(), hour.date(), hour, end, f"{hour:%Y-%m-%dT%H}")
    if days := _days(asked):
        return of_days("", *days, zone=zone)
    name = asked.get("range", THIS_MONTH)
    if name in ("7d", "30d"):
        return of_days(name, today - timedelta(days=int(name[:-1]) - 1), today, zone=zone)
    month = today.replace(day=1)
    if name == "last-month":
        last = month - timedelta(days=1)
        return of_days(name, last.replace(day=1), last, zone=zone)
    return of_days(THIS_MONTH, month, end_of_month(month), zone=zone)


def of_days(name: str, first: date, last: date, *, zone: ZoneInfo) -> TimeRange:
    end = datetime.combine(last + timedelta(days=1), time(), zone)
    return TimeRange(name, first, last, datetime.combine(first, time(), zone), end)


def end_of_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _days(asked: QueryDict) -> tuple[date, date] | None:
    try:
        first, last = date.fromisoformat(asked.get("from", "")), date.fromisoformat(asked.get("to", ""))
    except ValueError:
        return None
    in_bounds = first <= last and last.year < 2100 and first.year >= 2020
    return (first, last) if in_bounds and (last - first).days < MOST_DAYS else None


def _hour(text: str, zone: ZoneInfo) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=zone)
    except ValueError:
        return None


def address(**parameters: str) -> str:
    """`?…` of the parameters that are not empty; `?` alone is this address without any."""
    return "?" + urlencode({name: value for name, value in parameters.items() if value})
