"""What an address means by a range of days, in any zone and on days when clocks change."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.http import QueryDict

from dashboard.time_ranges import asked_range
from dashboard.usage import points
from tests import stories
from tests.dashboard.conftest import Browse

SEOUL, NEW_YORK = ZoneInfo("Asia/Seoul"), ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("", date(2026, 11, 1), date(2026, 11, 30)),
        ("range=last-month", date(2026, 10, 1), date(2026, 10, 31)),
        ("range=7d", date(2026, 11, 16), date(2026, 11, 22)),
        ("range=30d", date(2026, 10, 24), date(2026, 11, 22)),
        ("from=2026-02-10&to=2026-02-10", date(2026, 2, 10), date(2026, 2, 10)),
        ("hour=2026-11-20T23", date(2026, 11, 20), date(2026, 11, 20)),
        ("from=2025-01-01&to=2026-11-22", date(2026, 11, 1), date(2026, 11, 30)),  # too long
        ("from=0001-01-01&to=0001-01-02", date(2026, 11, 1), date(2026, 11, 30)),
        ("from=2026-11-03&to=2026-11-01", date(2026, 11, 1), date(2026, 11, 30)),
    ],
)
def test_days(asked: str, first: date, last: date) -> None:
    span = asked_range(QueryDict(asked), zone=SEOUL, now=stories.NOON)
    assert (span.first, span.last) == (first, last)
    assert asked_range(QueryDict(mutable=False), zone=SEOUL, now=stories.NOON).parameters == {}


def test_the_days_are_those_of_the_zone() -> None:
    late_evening = datetime(2026, 12, 1, 2, tzinfo=UTC)  # still November in New York
    span = asked_range(QueryDict(""), zone=NEW_YORK, now=late_evening)
    assert (span.start, span.end) == (datetime(2026, 11, 1, 4, tzinfo=UTC), datetime(2026, 12, 1, 5, tzinfo=UTC))


@pytest.mark.parametrize(("day", "hours"), [("2026-11-01", 25), ("2026-03-08", 23), ("2026-11-02", 24)])
def test_a_day_has_as_many_bars_as_hours(day: str, hours: int) -> None:
    span = asked_range(QueryDict(f"from={day}&to={day}"), zone=NEW_YORK, now=stories.NOON)
    assert len(points([], span, "hour", "amount", NEW_YORK)) == hours


def test_an_organization_elsewhere_sees_its_own_days(db: None, clock: time_machine.Traveller, browse: Browse) -> None:
    stories.make_catalog(now=stories.NOON)
    company = stories.make_company("initech", now=stories.NOON, zone="America/New_York", credit_line=1000)
    stories.use(company.organization, at=stories.NOON)  # 22:00 of the day before there
    client = browse(company.owner)
    [group] = client.get("/o/initech/usage").context["groups"]
    assert group.name == "2026-11-21"
    [row] = client.get(f"/o/initech/{group.url}").context["rows"]
    page = client.get(f"/o/initech/requests/{row.event.id}").content.decode()
    assert "2026-11-21 22:00:00" in page
    assert "America/New_York" in page
    bars = {point.label: point.values[0] for point in client.get("/o/initech/").context["points"]}
    assert [label for label, amount in bars.items() if amount] == ["21"]
