"""An alarm before our credit with an upstream runs out, and when it bills something else than was recorded."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Alarm
from catalog.models import UpstreamBill
from gateway.upstream_watch import compare_bills, differs, watch_credit
from tests import stories
from tests.gateway.running import House
from tests.gateway.sweeping import billed, sweeper

HELLO: Any = [{"role": "user", "content": "안녕하세요"}]
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def environment(house: House, settings: Settings) -> None:
    sweeper(house, settings)


def open_alarms(kind: str) -> list[str]:
    return list(Alarm.objects.using("system").filter(kind=kind, cleared_at=None).values_list("summary", flat=True))


def test_credit_that_runs_out_is_an_alarm_until_some_is_bought(house: House, settings: Settings) -> None:
    watch_credit(now=timezone.now())
    assert open_alarms("upstream_credit") == []
    settings.UPSTREAM_CREDIT_ALARM_USD = Decimal(2000)
    watch_credit(now=timezone.now())
    [summary] = open_alarms("upstream_credit")
    assert summary.startswith("Credit with openai_compatible runs out: 1000.00 USD are left")
    house.llm.order({"fault": "status-503", "where": "/credits"})
    watch_credit(now=timezone.now())
    assert open_alarms("upstream_credit"), "one that does not tell has not told that all is well"
    settings.UPSTREAM_CREDIT_ALARM_USD = Decimal(20)
    watch_credit(now=timezone.now())
    assert open_alarms("upstream_credit") == []


def test_the_bill_of_a_day_is_kept_beside_what_was_recorded(house: House) -> None:
    began = house.rows("SELECT now() AS now")[0]["now"]
    usage = {"prompt_tokens": 100_000, "completion_tokens": 100_000}
    house.acme.chat.completions.create(
        model=stories.DEVSTRAL, messages=HELLO, max_tokens=200, extra_body={"metadata": {"sandbox_usage": usage}}
    )
    [(_prompt, _completion, cost)] = billed(house).values()
    tomorrow = began + DAY
    compare_bills(now=tomorrow)
    [row] = UpstreamBill.objects.using("system").filter(day=began.date())
    assert (row.upstream, row.billed) == ("openai_compatible", cost)
    assert row.recorded == cost
    assert open_alarms("upstream_bill") == []

    house.llm.call("DELETE", "/sandbox/bill")
    compare_bills(now=tomorrow)
    [summary] = open_alarms("upstream_bill")
    assert began.date().isoformat() in summary
    [row] = UpstreamBill.objects.using("system").filter(day=began.date())
    assert (row.billed, row.recorded) == (0, cost)
    compare_bills(now=began + 20 * DAY)
    assert open_alarms("upstream_bill") == []


@pytest.mark.parametrize(
    ("billed_usd", "recorded_usd", "expected"),
    [("1", "1", False), ("1", "0.995", False), ("1", "0.98", True), ("0.98", "1", True), ("0.005", "0", False)],
)
def test_a_difference_counts_beyond_a_share_and_a_cent(billed_usd: str, recorded_usd: str, expected: bool) -> None:
    assert differs(Decimal(billed_usd), Decimal(recorded_usd)) is expected


def test_an_upstream_that_tells_nothing_raises_no_alarm(house: House) -> None:
    now: datetime = timezone.now()
    house.llm.order(*[{"fault": "status-404", "where": path, "times": 3} for path in ("/credits", "/activity")])
    before = UpstreamBill.objects.using("system").count()
    watch_credit(now=now)
    compare_bills(now=now)
    assert UpstreamBill.objects.using("system").count() == before
    assert not open_alarms("upstream_credit") and not open_alarms("upstream_bill")
