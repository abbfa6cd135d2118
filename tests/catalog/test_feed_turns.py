"""Importers and deciders take turns at a cost table: who waits begins from its turn on, not from when it came."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from catalog.correcting import correct_cost_price
from catalog.feed import outcomes, quarantine
from catalog.feed.running import feed_table
from catalog.models import CostPrice, LanguageModel, QuarantinedPrice
from catalog.publishing import BY_HAND, LEAD, delist, publish_cost_price
from pricing.bands import PriceSheet
from pricing.openrouter_pricing import parse_openrouter_pricing
from tests import stories
from tests.catalog.feeds import PRICE, import_list, item, sheets_of
from tests.stories import NOON

HOUR = timedelta(hours=1)
LATER = NOON + HOUR
DEARER = PRICE | {"prompt": "0.0000012"}
FAR_DEARER = PRICE | {"prompt": "0.00001"}
WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()
"""


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(autouse=True)
def sold(db: None) -> None:
    stories.forget_what_processes_remember()
    import_list(item("maker/one"), now=NOON)


@contextmanager
def waiting_for_its_turn(deed: Callable[[], Any]) -> Iterator[None]:
    """Run the block while `deed` waits for the feed's row, then let it go on; fails if it does not wait."""

    def run() -> None:
        try:
            deed()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    with transaction.atomic(using="system"):
        outcomes.lock_feed(feed_table())
        thread.start()
        while not somebody_waits():
            assert thread.is_alive(), "it did not wait for the feed's row"
            time.sleep(0.02)
        yield
    thread.join()


def somebody_waits() -> bool:
    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a connection made since the first look is never seen
        cursor.execute(WAITING)
        return bool(cursor.fetchone()[0])


def newest_begins() -> datetime:
    prices = CostPrice.objects.using("system").filter(language_model__slug="maker/one")
    return prices.latest("effective_from").effective_from


def test_an_import_that_waited_long_begins_after_its_turn_came() -> None:
    clock = Clock(LATER)
    with waiting_for_its_turn(lambda: import_list(item("maker/one", DEARER), now=LATER, clock=clock)):
        clock.now = LATER + timedelta(minutes=1)
    assert newest_begins() == LATER + timedelta(minutes=1) + LEAD


def test_an_approval_that_waited_long_begins_after_its_turn_came() -> None:
    import_list(item("maker/one", FAR_DEARER), now=LATER)
    entry, clock = QuarantinedPrice.objects.using("system").get(), Clock(LATER)
    with waiting_for_its_turn(
        lambda: quarantine.approve(entry_id=entry.pk, reason="It is true", clock=clock, actor=None)
    ):
        clock.now = LATER + timedelta(minutes=1)
    assert newest_begins() == LATER + timedelta(minutes=1) + LEAD


def test_an_importer_whose_clock_is_behind_writes_nothing_twice() -> None:
    import_list(item("maker/one", DEARER), now=LATER)
    behind = import_list(item("maker/one", DEARER), now=LATER - timedelta(seconds=5))
    assert behind.counts["unchanged"] == 1
    assert len(sheets_of("maker/one")) == 2


def enter(model: LanguageModel, sheet: PriceSheet) -> None:
    publish_cost_price(
        cost_table=model.cost_table,
        language_model=model,
        sheet=sheet,
        effective_from=LATER,
        raw={},
        origin=BY_HAND,
        now=LATER,
    )


def end(model: LanguageModel, _sheet: PriceSheet) -> None:
    delist(cost_table=model.cost_table, language_model=model, effective_from=LATER, origin=BY_HAND, now=LATER)


def correct(model: LanguageModel, sheet: PriceSheet) -> None:
    correct_cost_price(
        language_model=model, sheet=sheet, effective_from=LATER, reason="Mistyped", now=LATER, actor=None
    )


@pytest.mark.parametrize("deed", [enter, end, correct], ids=["entered", "delisted", "corrected"])
def test_what_an_operator_does_meanwhile_waits_for_the_importer(deed: Callable[[LanguageModel, Any], None]) -> None:
    """Else the importer, which compared before, would overrule it ten seconds later without having seen it."""
    model = LanguageModel.objects.using("system").select_related("cost_table").get(slug="maker/one")
    sheet = parse_openrouter_pricing(DEARER)
    with waiting_for_its_turn(lambda: deed(model, sheet)):
        assert len(sheets_of("maker/one")) == 1
    assert len(sheets_of("maker/one")) == 2
