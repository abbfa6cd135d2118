"""Hours are those of the organization's zone."""

from datetime import UTC, datetime

from metering.rollups import hours_of


def test_an_hour_begins_where_the_zone_has_it() -> None:
    at = datetime(2026, 11, 22, 3, 44, 59, 999_999, tzinfo=UTC)
    zones = ("Asia/Seoul", "Asia/Kolkata", "Asia/Kathmandu", "UTC")
    found = hours_of((at, zone) for zone in zones)
    assert [hour.minute for hour in found] == [0, 30, 15, 0]
    assert all(0 <= (at - hour).total_seconds() < 3600 for hour in found)


def test_the_hour_that_is_lived_twice_in_autumn_is_two_hours() -> None:
    first, second = (datetime(2026, 11, 1, hour, 20, tzinfo=UTC) for hour in (5, 6))
    found = hours_of([(first, "America/New_York"), (second, "America/New_York")])
    assert found == [first.replace(minute=0), second.replace(minute=0)]
