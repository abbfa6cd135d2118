"""Limits of members count all keys that the member made; those of days follow the organization's own midnights."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey, Role
from accounts.tenancy import tenant_scope
from ledger import holds
from ledger.event_ids import new_id
from ledger.limit_setting import NotAMember, limits_at, remove_limit
from ledger.limits import LimitReached, left
from ledger.models import LimitWindow
from ledger.periods import day_bounds
from metering.limiting import set_limit
from tests import stories
from tests.ledger.test_limits import MILLION, limit, request, standing
from tests.stories import NOON, use

DAY = LimitWindow.DAY


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


@pytest.fixture
def acme(cast: stories.Cast) -> stories.Company:
    return cast.acme


def own_key(company: stories.Company, name: str) -> ApiKey:
    """A key that the owner made."""
    key, _secret = stories.make_key(company.organization, now=NOON, name=name, created_by=company.owner)
    return key


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_members_limit_counts_all_keys_that_the_member_made_and_no_others(acme: stories.Company) -> None:
    one, two = own_key(acme, "One"), own_key(acme, "Two")
    limit(acme, 100, member=acme.owner)
    answers = holds.reserve(
        [request(acme, 60, key=one), request(acme, 50, key=two), request(acme, 40, key=two), request(acme, 900)]
    )
    assert [type(answer) for answer in answers] == [type(None), LimitReached, type(None), type(None)]
    refusal = answers[1]
    assert isinstance(refusal, LimitReached)
    assert (refusal.member_id, refusal.api_key_id, refusal.left) == (acme.owner.pk, None, 40)
    assert standing(acme, member_id=acme.owner.pk).held == 100
    call_command("audit")


def test_a_members_limit_counts_settled_released_and_corrected_calls(acme: stories.Company) -> None:
    key = own_key(acme, "One")
    limit(acme, 1000, member=acme.owner)
    settled, released = new_id(NOON), new_id(NOON)
    holds.reserve([request(acme, 300, key=key, hold_id=settled), request(acme, 200, key=key, hold_id=released)])
    use(acme.organization, at=NOON, usage=MILLION, api_key_id=key.pk, hold_id=settled)
    holds.release(organization_id=acme.organization.pk, hold_id=released, now=NOON)
    use(acme.organization, at=NOON, usage=MILLION, api_key_id=acme.key.pk)
    use(acme.organization, at=NOON, usage=MILLION)
    found = standing(acme, member_id=acme.owner.pk)
    assert (found.spent, found.held) == (66, 0)
    use(acme.organization, at=NOON + timedelta(seconds=1), usage=MILLION, api_key_id=key.pk)
    assert standing(acme, member_id=acme.owner.pk).spent == 132
    stories.correct_usage(acme.organization, now=NOON, recharge=False)
    assert standing(acme, member_id=acme.owner.pk).spent == 66
    call_command("audit")


def test_a_members_limit_that_is_set_late_knows_what_was_before(acme: stories.Company) -> None:
    one, two = own_key(acme, "One"), own_key(acme, "Two")
    use(acme.organization, at=NOON - timedelta(days=3), now=NOON, usage=MILLION, api_key_id=one.pk)
    use(acme.organization, at=NOON, usage=MILLION, api_key_id=two.pk)
    use(acme.organization, at=NOON, usage=MILLION, api_key_id=acme.key.pk)
    holds.reserve([request(acme, 70, key=one), request(acme, 30)])
    limit(acme, 1000, member=acme.owner)
    limit(acme, 500, member=acme.owner, window=DAY)
    monthly = standing(acme, member_id=acme.owner.pk)
    daily = standing(acme, member_id=acme.owner.pk, window=DAY)
    assert ((monthly.spent, monthly.held), (daily.spent, daily.held)) == ((132, 70), (66, 70))
    call_command("audit")


def test_a_member_without_a_place_here_gets_no_limit(cast: stories.Cast) -> None:
    with pytest.raises(NotAMember):
        limit(cast.acme, 100, member=cast.globex.owner)


def test_who_made_the_keys_is_asked_once_a_batch(acme: stories.Company) -> None:
    keys = [own_key(acme, str(number)) for number in range(5)]
    limit(acme, 1000, member=acme.owner)
    limit(acme, 1000, member=stories.make_member(acme.organization, Role.DEVELOPER, now=NOON))

    def queries(count: int) -> int:
        with CaptureQueriesContext(connections["default"]) as queries:
            holds.reserve([request(acme, 1, key=keys[number % 5]) for number in range(count)])
        return len(queries)

    queries(1)
    assert queries(50) == queries(1)


def test_a_soft_limit_stands_beside_a_hard_one_of_the_same_window(acme: stories.Company) -> None:
    limit(acme, 100)
    limit(acme, 50, hard=False)
    assert holds.reserve([request(acme, 80)]) == [None]
    assert [left(standing(acme, hard=hard)) for hard in (True, False)] == [20, -30]
    assert remove_limit(organization=acme.organization, actor=None, now=NOON, hard=False)
    assert isinstance(holds.reserve([request(acme, 21)])[0], LimitReached)
    with tenant_scope([acme.organization.pk]):
        [only] = limits_at(acme.organization, now=NOON)
    assert only.hard
    call_command("audit")


def test_a_hard_limit_notes_when_it_refused_first_in_a_window(acme: stories.Company) -> None:
    limit(acme, 100, window=DAY)
    later = NOON + timedelta(hours=1)
    for at in (NOON, later):
        assert isinstance(holds.reserve([request(acme, 101, at=at)])[0], LimitReached)
    assert standing(acme, window=DAY).refused_at == NOON
    assert standing(acme, window=DAY, now=NOON + timedelta(days=1)).refused_at is None


def test_a_day_begins_anew_at_midnight_in_seoul_while_the_month_goes_on(acme: stories.Company) -> None:
    limit(acme, 100, window=DAY)
    limit(acme, 150)
    evening = utc("2026-11-22T14:59:59")
    assert holds.reserve([request(acme, 100, at=evening)]) == [None]
    [refusal] = holds.reserve([request(acme, 1, at=evening)])
    assert isinstance(refusal, LimitReached)
    assert (refusal.window, refusal.left, refusal.resets_at) == ("day", 0, utc("2026-11-22T15:00:00"))
    morning = utc("2026-11-22T15:00:00")
    assert holds.reserve([request(acme, 50, at=morning)]) == [None]
    [refusal] = holds.reserve([request(acme, 1, at=morning)])
    assert isinstance(refusal, LimitReached)
    assert refusal.window == "month"
    call_command("audit")


def test_of_a_batch_around_midnight_each_call_counts_in_its_own_day(acme: stories.Company) -> None:
    limit(acme, 100, window=DAY)
    evening, morning = utc("2026-11-22T14:59:59.999"), utc("2026-11-22T15:00:00")
    answers = holds.reserve([request(acme, 60, at=at) for at in (evening, evening, morning, morning)])
    assert [answer is None for answer in answers] == [True, False, True, False]
    found = standing(acme, window=DAY, now=morning)
    assert (found.held, found.window_start) == (60, morning)
    call_command("audit")


def test_what_a_call_of_yesterday_costs_counts_yesterday(acme: stories.Company) -> None:
    limit(acme, 100, window=DAY)
    evening, morning = utc("2026-11-22T14:59:59"), utc("2026-11-22T15:00:01")
    held = new_id(evening)
    holds.reserve([request(acme, 90, at=evening, hold_id=held)])
    assert holds.reserve([request(acme, 80, at=morning)]) == [None]
    use(acme.organization, at=evening, now=morning, usage=MILLION, hold_id=held)
    found = standing(acme, window=DAY, now=morning)
    assert (found.spent, found.held) == (0, 80)
    call_command("audit")


@pytest.mark.parametrize(
    ("zone", "at", "start", "end"),
    [
        ("Asia/Seoul", "2026-11-22T03:00:00", "2026-11-21T15:00:00", "2026-11-22T15:00:00"),
        ("Asia/Kolkata", "2026-11-22T18:29:59", "2026-11-21T18:30:00", "2026-11-22T18:30:00"),
        ("Asia/Kathmandu", "2026-11-22T18:15:00", "2026-11-22T18:15:00", "2026-11-23T18:15:00"),
        ("Europe/Berlin", "2026-03-29T12:00:00", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),
        ("Europe/Berlin", "2026-10-25T12:00:00", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),
        ("Australia/Lord_Howe", "2026-04-04T20:00:00", "2026-04-04T13:00:00", "2026-04-05T13:30:00"),
        ("Asia/Beirut", "2026-03-28T22:30:00", "2026-03-28T22:00:00", "2026-03-29T21:00:00"),
        ("America/Havana", "2026-11-01T05:30:00", "2026-11-01T04:00:00", "2026-11-02T05:00:00"),
    ],
    ids=["seoul", "half-hour", "quarter-hour", "23-hours", "25-hours", "half-hour-dst", "no-midnight", "two-midnights"],
)
def test_days_are_the_zones_own(db: None, zone: str, at: str, start: str, end: str) -> None:
    """What is counted and what is rolled up agree at both ends of the day, whatever clocks do."""
    assert day_bounds(utc(at), zone=zone) == (utc(start), utc(end))
    stories.make_catalog(now=utc(start))
    company = stories.make_company("kolkata", now=utc(start) - timedelta(days=1), zone=zone)
    moments = [utc(start) - timedelta(seconds=1), utc(start), utc(at), utc(end) - timedelta(seconds=1)]
    limit(company, 10_000, window=DAY, now=utc(start))
    for moment in moments:
        use(company.organization, at=moment, now=moment, usage=MILLION)
    found = standing(company, window=DAY, now=utc(end) - timedelta(seconds=1))
    assert (found.window_start, found.window_end, found.spent) == (utc(start), utc(end), 198)
    set_limit(organization=company.organization, amount=Decimal(1), window=DAY, hard=False, actor=None, now=utc(at))
    assert standing(company, window=DAY, hard=False, now=utc(at)).spent == 198
    call_command("audit")
