"""Keys are kept 400 days: an id counts once within them, and afterwards nobody can repeat it anyway."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.conf import settings
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from metering import key_expiry
from metering.key_expiry import remove_old_keys
from metering.models import EventKey, UsageEvent
from metering.reports import Status
from tests import stories
from tests.stories import NOON, use

DAY = timedelta(days=1)


@pytest.fixture
def cast(db: None, settings: Settings) -> Iterator[stories.Cast]:
    settings.USAGE_KEY_DAYS = 400
    cast = stories.meet_the_cast(now=NOON)
    for number, company in enumerate((cast.acme, cast.globex, cast.acme)):
        use(company.organization, at=NOON + number * DAY, key=f"call-{number}")
    yield cast


def keys() -> int:
    return EventKey.objects.using("system").count()


@pytest.mark.parametrize(("days", "left"), [(399, 3), (400, 3), (401, 2), (402, 1), (500, 0)])
def test_keys_go_when_their_events_are_old_enough(cast: stories.Cast, days: int, left: int) -> None:
    assert remove_old_keys(now=NOON + days * DAY) == 3 - left
    assert keys() == left
    assert UsageEvent.objects.using("system").count() == 3, "events stay"


def test_they_go_in_batches(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_expiry, "FOUND_AT_ONCE", 2)
    monkeypatch.setattr(key_expiry, "BATCH", 1)
    assert remove_old_keys(now=NOON + 500 * DAY) == 3
    assert remove_old_keys(now=NOON + 500 * DAY) == keys() == 0


def test_the_key_of_an_event_that_waits_for_its_price_stays(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON, key="waiting", model="nobody/knows-it")
    assert remove_old_keys(now=NOON + 500 * DAY) == 3
    assert keys() == 1
    again = use(cast.acme.organization, at=NOON, key="waiting", model="nobody/knows-it")
    assert again.status == Status.DUPLICATE


def test_a_key_outlives_the_time_in_which_it_may_be_repeated(cast: stories.Cast, settings: Settings) -> None:
    settings.USAGE_KEY_DAYS = 1
    assert remove_old_keys(now=NOON + settings.USAGE_MAX_AGE_DAYS * DAY) == 0


def test_books_without_old_keys_are_clean_and_without_young_ones_not(cast: stories.Cast) -> None:
    remove_old_keys(now=NOON + 500 * DAY)
    with time_machine.travel(NOON + 403 * DAY):
        call_command("audit", stdout=StringIO())
    with time_machine.travel(NOON + 10 * DAY), pytest.raises(CommandError, match=r"1 invariant"):
        call_command("audit", stdout=StringIO())


def test_beat_removes_them() -> None:
    assert "metering.tasks.remove_old_keys" in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
