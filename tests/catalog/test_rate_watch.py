"""An operator hears of missing exchange rates before any usage has to wait for one."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pytest_django import Settings

from accounts.models import Alarm, Organization
from catalog import tasks
from catalog.exchange_rates import publish_exchange_rate
from catalog.rate_watch import watch_exchange_rates
from tests import stories
from tests.stories import SEOUL

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


@pytest.fixture
def acme(db: None) -> Organization:
    """Pays by the month; the rates of November and of three months before are known, as of their eves."""
    return stories.meet_the_cast(now=NOW).acme.organization


def publish(day: date, *, at: datetime | None = None) -> None:
    moment = at or datetime(day.year, day.month, day.day, 12, tzinfo=SEOUL)
    publish_exchange_rate(rate=Decimal(1400), published_on=day, source="manual", now=moment)


def alarm() -> str:
    found = Alarm.objects.using("system").filter(kind="exchange_rate", cleared_at=None)
    return " ".join(found.values_list("summary", flat=True))


def test_nothing_is_wrong_while_the_month_and_the_next_have_a_rate(acme: Organization) -> None:
    assert watch_exchange_rates(now=NOW) == "" and alarm() == ""


def test_a_month_that_will_have_no_rate_is_told_a_week_before(acme: Organization, settings: Settings) -> None:
    settings.EXCHANGE_RATE_MAX_AGE_DAYS = 20
    publish(date(2026, 11, 10))
    december = datetime(2026, 12, 1, tzinfo=SEOUL)
    assert watch_exchange_rates(now=december - timedelta(days=7, seconds=1)) == ""
    told = watch_exchange_rates(now=december - timedelta(days=7))
    assert told.startswith("From 2026-12-01 (Asia/Seoul) no exchange rate will hold: the last one is of 2026-11-10")
    assert alarm() == told
    publish(date(2026, 11, 25))
    assert watch_exchange_rates(now=december - timedelta(days=5)) == "" and alarm() == ""


def test_a_month_that_has_none_is_told_until_one_is_entered(acme: Organization) -> None:
    spring = datetime(2027, 3, 10, tzinfo=SEOUL)
    assert "No exchange rate holds since 2027-03-01 (Asia/Seoul): usage waits" in watch_exchange_rates(now=spring)
    publish(date(2027, 2, 26), at=spring)
    assert watch_exchange_rates(now=spring + timedelta(minutes=1)) == "" and alarm() == ""


def test_a_customer_who_pays_by_the_day_needs_a_younger_one(acme: Organization) -> None:
    publish(date(2026, 11, 30))
    fourteenth_of_january = datetime(2027, 1, 14, 12, tzinfo=SEOUL)
    assert watch_exchange_rates(now=fourteenth_of_january) == ""
    acme.exchange_policy = "daily"
    acme.save(using="system")
    assert "From 2027-01-21 (Asia/Seoul)" in watch_exchange_rates(now=fourteenth_of_january)
    assert "No exchange rate holds since 2027-01-16" in watch_exchange_rates(
        now=fourteenth_of_january + timedelta(days=2)
    )


def test_each_zone_has_its_own_month(acme: Organization) -> None:
    stories.make_company("initech", now=NOW, zone="Pacific/Auckland")
    told = watch_exchange_rates(now=datetime(2027, 2, 28, 12, tzinfo=UTC))
    assert "2027-03-01 (Pacific/Auckland)" in told and "From 2027-03-01 (Asia/Seoul)" in told


def test_customers_in_dollars_need_none(acme: Organization) -> None:
    stories.make_company("initech", now=NOW, zone="UTC")
    Organization.objects.using("system").update(billing_currency="USD", exchange_policy="daily")
    assert "(UTC)" not in watch_exchange_rates(now=NOW + timedelta(days=100))


def test_sources_that_publish_nothing_are_late_after_the_longest_holidays(
    acme: Organization, settings: Settings
) -> None:
    publish(date(2026, 11, 20))
    monday, tuesday = (datetime(2026, 11, 30, 12, tzinfo=SEOUL), datetime(2026, 12, 1, 12, tzinfo=SEOUL))
    assert watch_exchange_rates(now=tuesday) == "", "nobody is asked"
    settings.EXCHANGE_RATE_SOURCES = ["koreaexim"]
    assert watch_exchange_rates(now=monday) == ""
    assert "for more than 5 weekdays (koreaexim)" in watch_exchange_rates(now=tuesday)
    publish(date(2026, 11, 30))
    assert watch_exchange_rates(now=tuesday) == "" and alarm() == ""


def test_beat_does_both(db: None, settings: Settings) -> None:
    schedule = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {"catalog.tasks.import_exchange_rates", "catalog.tasks.watch_exchange_rates"} <= schedule
    tasks.watch_exchange_rates()
    assert "No exchange rate holds" in alarm()
