"""Every process sees a change of prices, markups and rates within five seconds, and stores a rate once – Redis up or not."""

import json
import subprocess
import sys
import threading
import time
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from django.db import connections, transaction
from django.utils import timezone

from accounts.row_security import role
from catalog import price_book, price_memory
from catalog.markups import set_markup
from catalog.models import AppliedRate, LanguageModel
from config.launch.places import CHECKOUT
from tests import stories
from tests.stories import DEVSTRAL, NOON

NOBODY_LISTENS = "redis://127.0.0.1:9/0"
ANOTHER_PROCESS = """
import json, sys, time
from datetime import datetime
import django
django.setup()
from accounts.models import Organization
from catalog import price_book

acme = Organization.objects.using("system").get(slug="acme")
for line in sys.stdin:
    ask = json.loads(line)
    rate = price_book.applied_rate(
        organization=acme, model=ask["model"], prompt_tokens=0, at=datetime.fromisoformat(ask["at"])
    )
    answer = {"markup": str(rate.markup)}
    if ask["store"]:
        while time.time() < ask["start"]:
            pass
        answer["id"] = price_book.stored(rate, now=datetime.fromisoformat(ask["at"]))
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def acme(db: None) -> stories.Company:
    return stories.meet_the_cast(now=NOON).acme


class Process:
    """A process of its own with a price book, and no Redis."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ANOTHER_PROCESS],
            cwd=CHECKOUT,
            env=environment | {"REDIS_URL": NOBODY_LISTENS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *, store: bool = False, start: float = 0.0) -> None:
        assert self.process.stdin
        question = {"model": DEVSTRAL, "at": NOON.isoformat(), "store": store, "start": start}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, object]:
        assert self.process.stdout
        answer: dict[str, object] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


def test_another_process_sees_a_change_within_five_seconds_without_redis(
    acme: stories.Company, process_environment: dict[str, str]
) -> None:
    other = Process(process_environment)
    try:
        other.ask()
        assert other.answer() == {"markup": "0.1000"}
        set_markup(markup=Decimal("0.30"), effective_from=NOON, now=timezone.now())
        changed = time.monotonic()
        while True:
            other.ask()
            if other.answer() == {"markup": "0.3000"}:
                break
            assert time.monotonic() - changed < 5, "the other process has not seen the change"
            time.sleep(0.1)
    finally:
        other.end()


def test_processes_that_store_the_same_rate_at_once_store_it_once(
    acme: stories.Company, process_environment: dict[str, str]
) -> None:
    others = [Process(process_environment) for _number in range(3)]
    try:
        for other in others:
            other.ask()
            other.answer()
        start = time.time() + 0.2
        for other in others:
            other.ask(store=True, start=start)
        ids = {other.answer()["id"] for other in others}
    finally:
        for other in others:
            other.end()
    assert ids == set(AppliedRate.objects.values_list("pk", flat=True)) and len(ids) == 1


def test_a_stored_rate_names_the_rows_it_comes_from(acme: stories.Company) -> None:
    rate = price_book.applied_rate(organization=acme.organization, model=DEVSTRAL, prompt_tokens=0, at=NOON)
    row = AppliedRate.objects.select_related("cost_price__language_model", "markup_rule", "exchange_rate").get(
        pk=price_book.stored(rate, now=NOON)
    )
    assert row.cost_price.language_model.slug == DEVSTRAL and row.band == "base"
    assert row.exchange_rate and row.exchange_rate.rate == 1500
    assert row.markup_rule.markup == Decimal("0.10")


def test_a_visitor_is_quoted_list_prices(acme: stories.Company) -> None:
    set_markup(markup=Decimal("0.05"), effective_from=NOON, now=NOON, organization=acme.organization)
    price_book.forget()
    visitor = price_book.applied_rate(organization=None, model=DEVSTRAL, prompt_tokens=0, at=NOON)
    ours = price_book.applied_rate(organization=acme.organization, model=DEVSTRAL, prompt_tokens=0, at=NOON)
    assert (visitor.markup, ours.markup) == (Decimal("0.10"), Decimal("0.05"))


def test_on_hot_paths_the_book_answers_without_the_database(acme: stories.Company) -> None:
    """A process with an event loop leaves reading to a thread; then no question touches a connection."""
    price_book.stored(quoted(acme), now=NOON)
    for alias in ("default", "system"):
        connections[alias].close()
    asked: list[int] = []
    price_book.leave_refreshing_to_a_thread()
    try:
        for _time in range(1000):
            asked.append(price_book.stored(quoted(acme), now=NOON))
    finally:
        price_memory._memory.refreshed_by_a_thread = False
    assert len(set(asked)) == 1
    assert connections["system"].connection is None and connections["default"].connection is None


def quoted(company: stories.Company) -> price_book.Rate:
    return price_book.applied_rate(organization=company.organization, model=DEVSTRAL, prompt_tokens=0, at=NOON)


def as_system() -> psycopg.Connection[tuple[object, ...]]:
    """A connection of some other process."""
    settings = connections["system"].get_connection_params()
    return psycopg.connect(
        host=settings["host"],
        port=settings["port"],
        dbname=settings["dbname"],
        user=settings["user"],
        password=settings["password"],
    )


def test_a_change_that_commits_after_a_later_one_is_seen_too(
    acme: stories.Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row with the lower id becomes visible last: the highest id does not tell that anything changed."""
    assert connections["system"].settings_dict["USER"] == role("system")
    monkeypatch.setattr(price_memory, "SECONDS_BETWEEN_LOOKS", 0.0)
    model = LanguageModel.objects.get(slug=DEVSTRAL)
    with as_system() as slow:
        slow.execute(
            "INSERT INTO catalog_markuprule"
            " (language_model_id, provider_slug, markup, below_cost_approved, effective_from, reason, created_at)"
            " VALUES (%s, '', 0.4, false, %s, '', now())",
            [model.pk, NOON - timedelta(days=1)],
        )
        set_markup(markup=Decimal("0.05"), effective_from=NOON - timedelta(days=1), now=NOON)
        assert quoted(acme).markup == Decimal("0.05")
        slow.commit()
    assert quoted(acme).markup == Decimal("0.4")


def test_models_that_change_in_transactions_that_overlap_are_all_seen(
    acme: stories.Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_memory, "SECONDS_BETWEEN_LOOKS", 0.0)
    stories.make_model("acme/second", now=NOON)
    with as_system() as slow:
        slow.execute(
            "UPDATE catalog_languagemodel SET context_length = 1, updated_at = %s WHERE slug = %s", [NOON, DEVSTRAL]
        )
        later = LanguageModel.objects.using("system").get(slug="acme/second")
        later.context_length = 2
        later.save()
        assert price_book.find_model("acme/second").context_length == 2
        slow.commit()
    assert price_book.find_model(DEVSTRAL).context_length == 1


def test_a_rate_whose_storing_was_rolled_back_is_stored_again(acme: stories.Company) -> None:
    class Undone(Exception):
        pass

    rate = quoted(acme)
    with pytest.raises(Undone), transaction.atomic(using="system"):
        price_book.stored(rate, now=NOON)
        raise Undone
    assert price_book.stored(rate, now=NOON) == AppliedRate.objects.get().pk


def test_threads_of_one_process_store_a_rate_once(acme: stories.Company) -> None:
    rate, ids, start = quoted(acme), [], threading.Barrier(8)

    def ask() -> None:
        start.wait()
        ids.append(price_book.stored(rate, now=NOON))
        connections.close_all()

    askers = [threading.Thread(target=ask) for _number in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(ids) == 8 and set(ids) == set(AppliedRate.objects.values_list("pk", flat=True))
