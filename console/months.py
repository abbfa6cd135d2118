"""Months as the console counts them: of Seoul, by the time of use."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from accounts.models import Organization
from console.figures import figure
from ledger.periods import month_bounds

ZONE = ZoneInfo("Asia/Seoul")
MONTHS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Month:
    """A month, half-open [start, end)."""

    first: date
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        return f"{self.first:%Y-%m}"


def month_of(at: datetime) -> Month:
    start, end = month_bounds(at, zone=ZONE.key)
    return Month(first=start.astimezone(ZONE).date(), start=start, end=end)


def month_named(name: str, *, now: datetime) -> Month:
    """The month called "2026-11"; this one if it is called anything else."""
    try:
        first = date.fromisoformat(f"{name}-01")
        return month_of(datetime(first.year, first.month, first.day, tzinfo=ZONE))
    except (ValueError, OverflowError):
        return month_of(now)


def last_months(*, now: datetime) -> list[Month]:
    """This month and those before it, newest first."""
    months = [month_of(now)]
    while len(months) < MONTHS_SHOWN:
        months.append(month_of(months[-1].start - timedelta(days=1)))
    return months


def month_text(start: datetime, organization: Organization) -> str:
    """The month that starts then where the organization is, in words."""
    return figure("prose_month")(start.astimezone(ZoneInfo(organization.zone)).date())


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """A day, half-open, in the console's zone."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    return start, start + timedelta(days=1)
