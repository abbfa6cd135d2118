"""Partitions are there before they are needed; when they cannot be made, an operator hears of it while there is time."""

import os
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from django.conf import settings
from django.db import connections

from accounts.models import Alarm
from ledger.partitions import TABLES, ensure_partitions, make_ahead, missing_partitions
from tests import environment
from tests.stories import NOON

AHEAD = [date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)]


def by_superuser(statement: str) -> None:
    url = environment.with_path(os.environ["DATABASE_URL"], connections["default"].settings_dict["NAME"])
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def open_alarms() -> dict[str, str]:
    return dict(
        Alarm.objects.using("system").filter(kind="partitions", cleared_at=None).values_list("subject", "summary")
    )


def test_every_partitioned_table_is_known(db: None) -> None:
    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT relname::text FROM pg_class WHERE relkind = 'p' AND NOT relispartition")
        assert {name for (name,) in cursor.fetchall()} == set(TABLES)


def test_this_month_and_the_next_two_are_made_for_every_table(db: None) -> None:
    assert [missing_partitions(table, AHEAD) for table in TABLES] == [AHEAD, AHEAD]
    make_ahead(now=NOON)
    make_ahead(now=NOON)
    assert [missing_partitions(table, AHEAD) for table in TABLES] == [[], []]
    assert open_alarms() == {}


def test_months_are_those_of_utc_like_the_ids(db: None) -> None:
    make_ahead(now=datetime(2026, 10, 31, 23, 59, tzinfo=UTC))
    assert missing_partitions("ledger_hold", [date(2026, 10, 1), date(2027, 1, 1)]) == [date(2027, 1, 1)]


def test_one_that_vanished_is_made_again_though_it_is_remembered(db: None) -> None:
    make_ahead(now=NOON)
    by_superuser("DROP TABLE metering_usageevent_y2027m01")
    make_ahead(now=NOON)
    assert missing_partitions("metering_usageevent", AHEAD) == []


def test_a_month_that_cannot_be_made_is_alarmed_about_until_it_is_there(db: None) -> None:
    """A foreign table stands where January's partition belongs: the other months and tables get theirs."""
    by_superuser("CREATE TABLE metering_usageevent_y2027m01 (id int)")
    make_ahead(now=NOON)
    assert missing_partitions("ledger_hold", AHEAD) == []
    [(subject, summary)] = open_alarms().items()
    assert subject == "metering_usageevent" and "no partition for 2027-01;" in summary
    by_superuser("DROP TABLE metering_usageevent_y2027m01")
    make_ahead(now=NOON + timedelta(hours=1))
    assert open_alarms() == {}


def test_a_table_that_fails_does_not_keep_the_others_from_theirs(db: None, caplog: pytest.LogCaptureFixture) -> None:
    by_superuser(
        "ALTER FUNCTION create_month_partition(regclass, date) RENAME TO elsewhere;"
        " CREATE FUNCTION create_month_partition(parent regclass, month date) RETURNS boolean LANGUAGE plpgsql AS $$"
        " BEGIN IF parent::text = 'metering_usageevent' THEN RAISE EXCEPTION 'disk full'; END IF;"
        " RETURN elsewhere(parent, month); END $$"
    )
    make_ahead(now=NOON)
    assert "disk full" in caplog.text
    assert set(open_alarms()) == {"metering_usageevent"}
    assert missing_partitions("ledger_hold", AHEAD) == []


def test_beat_makes_them() -> None:
    assert "metering.tasks.create_partitions" in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert ensure_partitions("ledger_hold", []) == 0
