"""Which published exchange rate holds: one for a whole month or day, whatever we learn later."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pytest_django import Settings

from accounts.models import ExchangePolicy
from catalog import price_book
from catalog.exchange_rates import publish_exchange_rate
from tests import stories
from tests.stories import DEVSTRAL, SEOUL

MIDNIGHT = datetime(2026, 12, 1, tzinfo=SEOUL)
"""When December begins in Seoul; Monday's rates are of 30 November."""


@pytest.fixture
def operator(db: None) -> stories.User:
    stories.make_catalog(now=datetime(2026, 11, 1, tzinfo=UTC))
    return stories.make_operator(now=MIDNIGHT)


def published(rate: str, day: str, *, at: datetime, source: str = "koreaexim", by: stories.User | None = None) -> None:
    publish_exchange_rate(
        rate=Decimal(rate), published_on=date.fromisoformat(day), source=source, now=at.astimezone(UTC), actor=by
    )
    price_book.forget()


def rate_at(at: datetime, *, policy: str = ExchangePolicy.MONTHLY, zone: str = "Asia/Seoul") -> Decimal:
    terms = price_book.Terms(organization_id=None, currency="KRW", exchange_policy=policy, zone=zone)
    rate = price_book.quote(terms=terms, model=price_book.find_model(DEVSTRAL), prompt_tokens=0, at=at)
    assert rate.exchange
    return rate.exchange.rate


DECEMBER = MIDNIGHT + timedelta(days=9)
EVENING = MIDNIGHT - timedelta(hours=8)
LATE = MIDNIGHT + timedelta(hours=1)


def test_a_rate_that_comes_after_the_month_began_does_not_change_the_month(operator: stories.User) -> None:
    published("1400", "2026-11-27", at=EVENING)
    assert rate_at(DECEMBER) == 1400
    published("1410", "2026-11-30", at=LATE)  # the European Central Bank's rate of the day: midnight in Seoul
    assert rate_at(MIDNIGHT) == rate_at(DECEMBER) == 1400
    assert rate_at(DECEMBER, policy=ExchangePolicy.DAILY) == 1410


def test_a_new_revision_counts_for_months_to_come_only(operator: stories.User) -> None:
    published("1400", "2026-11-30", at=EVENING)
    published("1300", "2026-11-30", at=LATE)
    assert rate_at(DECEMBER) == 1400
    assert rate_at(MIDNIGHT + timedelta(days=31)) == 1300


def test_what_nobody_can_have_read_at_midnight_does_not_count(operator: stories.User) -> None:
    published("1400", "2026-11-27", at=MIDNIGHT - timedelta(seconds=11))
    published("1410", "2026-11-30", at=MIDNIGHT - timedelta(seconds=9))
    assert rate_at(MIDNIGHT) == 1400


def test_where_there_was_none_what_is_entered_first_holds(operator: stories.User) -> None:
    later = MIDNIGHT + timedelta(days=120)
    with pytest.raises(price_book.NoExchangeRate):
        rate_at(later)
    published("1400", "2027-02-20", at=later)
    assert rate_at(later) == 1400
    published("1500", "2027-02-26", at=later + timedelta(hours=1))
    assert rate_at(later) == 1400


def test_of_rates_that_came_together_the_last_one_published_holds(operator: stories.User) -> None:
    later = datetime(2027, 4, 10, tzinfo=SEOUL)
    for rate, day in (("1405", "2027-03-31"), ("1404", "2027-03-30"), ("1406", "2027-04-01")):
        published(rate, day, at=later)
    assert rate_at(later) == 1405


@pytest.mark.parametrize(("age", "holds"), [(45, True), (46, False)])
def test_a_rate_holds_as_long_as_the_age_limit_says(operator: stories.User, age: int, holds: bool) -> None:
    day = datetime(2027, 6, 1, tzinfo=SEOUL)
    published("1400", (day - timedelta(days=age)).date().isoformat(), at=day - timedelta(days=age))
    if holds:
        assert rate_at(day) == 1400
    else:
        with pytest.raises(price_book.NoExchangeRate, match="2027-04-16"):
            rate_at(day)


@pytest.mark.parametrize("order", [["koreaexim", "frankfurter"], ["frankfurter", "koreaexim"]])
def test_of_one_day_the_preferred_source_counts_and_what_an_operator_entered_before_all(
    operator: stories.User, settings: Settings, order: list[str]
) -> None:
    settings.EXCHANGE_RATE_SOURCES = order
    published("1", "2026-11-30", at=EVENING, source="demo")
    published("2", "2026-11-30", at=EVENING, source=order[0])
    published("3", "2026-11-30", at=EVENING, source=order[1])
    assert rate_at(DECEMBER) == 2
    published("4", "2026-11-30", at=EVENING, source="koreaexim", by=operator)
    published("5", "2026-11-30", at=EVENING, source="koreaexim")
    assert rate_at(DECEMBER) == 4
    published("6", "2026-11-30", at=EVENING, source="manual")
    assert rate_at(DECEMBER) == 6


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Asia/Seoul", "2026-11-30T14:59:59.999999+00:00", 2),
        ("Asia/Seoul", "2026-11-30T15:00:00+00:00", 3),
        ("UTC", "2026-11-30T23:59:59+00:00", 2),
        ("UTC", "2026-12-01T00:00:00+00:00", 3),
        ("America/New_York", "2026-12-01T04:59:59+00:00", 2),
        ("America/New_York", "2026-12-01T05:00:00+00:00", 3),
        ("Asia/Kathmandu", "2026-11-30T18:14:59+00:00", 2),
        ("Asia/Kathmandu", "2026-11-30T18:15:00+00:00", 3),
        ("Pacific/Auckland", "2026-11-30T10:59:59+00:00", 2),
        ("Pacific/Auckland", "2026-11-30T11:00:00+00:00", 3),
    ],
)
@pytest.mark.parametrize("policy", [ExchangePolicy.MONTHLY, ExchangePolicy.DAILY], ids=["monthly", "daily"])
def test_a_month_and_a_day_begin_at_the_organizations_midnight(
    operator: stories.User, zone: str, at: str, day: int, policy: str
) -> None:
    """1,002 won were published for the days before the last of November, 1,003 on that very last one."""
    published("1002", "2026-10-30", at=datetime(2026, 10, 30, tzinfo=SEOUL))
    published("1002", "2026-11-28", at=datetime(2026, 11, 28, tzinfo=SEOUL))
    if policy == ExchangePolicy.MONTHLY:
        published("1002", "2026-10-31", at=datetime(2026, 10, 31, tzinfo=SEOUL), source="manual")
    published("1003", "2026-11-30", at=datetime(2026, 11, 30, 9, tzinfo=SEOUL))
    assert rate_at(datetime.fromisoformat(at), policy=policy, zone=zone) == 1000 + day
