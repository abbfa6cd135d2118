"""An alarm is one open row, however often and by how many jobs it is raised; it is over once and may come again."""

import threading
from datetime import timedelta

import pytest
from django.db import ProgrammingError, connections

from accounts.alarms import clear_alarm, raise_alarm
from accounts.models import Alarm
from tests.stories import NOON

LATER = NOON + timedelta(hours=1)


def feed_fails(*, now=NOON, summary="The feed is not JSON.") -> bool:
    return raise_alarm(kind="price_feed", subject="openrouter", summary=summary, now=now)


def alarms() -> list[Alarm]:
    return list(Alarm.objects.using("system").order_by("pk"))


def test_an_alarm_found_again_is_the_same_alarm_and_tells_the_newest(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert feed_fails() is True
    assert feed_fails(now=LATER, summary="The feed is empty.") is False
    [alarm] = alarms()
    assert (alarm.summary, alarm.raised_at, alarm.last_seen_at) == ("The feed is empty.", NOON, LATER)
    assert [record.levelname for record in caplog.records if "alarm" in record.message] == ["ERROR"]


def test_an_alarm_that_is_over_may_come_again(db: None) -> None:
    feed_fails()
    assert clear_alarm(kind="price_feed", subject="openrouter", now=LATER) is True
    assert clear_alarm(kind="price_feed", subject="openrouter", now=LATER) is False
    assert feed_fails(now=LATER) is True
    assert [alarm.cleared_at for alarm in alarms()] == [LATER, None]


def test_what_happens_to_one_subject_leaves_the_others(db: None) -> None:
    feed_fails()
    raise_alarm(kind="price_feed", subject="our-servers", summary="The table is empty.", now=NOON)
    clear_alarm(kind="price_feed", subject="our-servers", now=LATER)
    assert {alarm.subject: alarm.cleared_at for alarm in alarms()} == {"openrouter": None, "our-servers": LATER}


def test_many_jobs_that_find_the_same_raise_it_once(db: None) -> None:
    news: list[bool] = []
    start = threading.Barrier(8)

    def find() -> None:
        start.wait()
        news.append(feed_fails())
        connections.close_all()

    threads = [threading.Thread(target=find) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(news) == [False] * 7 + [True]
    assert len(alarms()) == 1


def test_customers_processes_cannot_read_alarms(db: None) -> None:
    feed_fails()
    with pytest.raises(ProgrammingError, match="permission denied"):
        Alarm.objects.using("default").count()
