"""What a token costs whom, when and why."""

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connections

from accounts.models import ExchangePolicy
from catalog import price_book, price_memory
from catalog.applied_rates import store_applied_rate
from catalog.exchange_rates import publish_exchange_rate
from catalog.markups import set_markup
from catalog.models import AppliedRate, CostPrice, ExchangeRate, LanguageModel, MarkupRule
from catalog.price_snapshot import PriceSnapshot, load_snapshot
from catalog.publishing import delist, publish_cost_price
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenClass
from tests import stories
from tests.stories import DEVSTRAL, NOON

INPUT = TokenClass.INPUT


@pytest.fixture
def acme(db: None) -> stories.Company:
    return stories.meet_the_cast(now=NOON).acme


def terms(company: stories.Company | None = None, **changes: str) -> price_book.Terms:
    given = {"currency": "KRW", "exchange_policy": ExchangePolicy.MONTHLY, "zone": "Asia/Seoul"} | changes
    return price_book.Terms(organization_id=company.organization.pk if company else None, **given)


def quote(
    *, at: datetime = NOON, who: price_book.Terms | None = None, model: str = DEVSTRAL, prompt_tokens: int = 0
) -> price_book.Rate:
    price_book.forget()
    return price_book.quote(
        terms=who or terms(), model=price_book.find_model(model), prompt_tokens=prompt_tokens, at=at
    )


def test_a_rate_is_cost_times_markup_times_exchange_rate_with_its_provenance(acme: stories.Company) -> None:
    rate = quote(who=terms(acme))
    assert rate.unit_costs[INPUT] == Decimal("0.00000004")
    assert rate.unit_prices[INPUT] == Decimal("0.000066")
    assert (rate.markup, rate.band, rate.currency) == (Decimal("0.10"), "base", "KRW")
    assert rate.exchange and (rate.exchange.rate, rate.exchange.published_on) == (1500, date(2026, 10, 31))


def test_unknown_models_and_missing_prices_are_never_free(acme: stories.Company) -> None:
    with pytest.raises(price_book.UnknownModel):
        quote(model="nobody/nothing")
    with pytest.raises(price_book.NoPrice):
        quote(at=NOON - timedelta(days=151))
    stories.make_model("openrouter/auto", now=NOON, pricing={"prompt": "-1", "completion": "-1"})
    with pytest.raises(price_book.NoPrice):
        quote(model="openrouter/auto")


def test_a_price_holds_until_its_successor_begins(acme: stories.Company) -> None:
    model = LanguageModel.objects.get(slug=DEVSTRAL)
    raw = {"prompt": "0.00000008", "completion": "0.00000008"}
    sheet = parse_openrouter_pricing(raw)
    assert sheet
    change = {"cost_table": model.cost_table, "language_model": model, "origin": "test", "now": NOON}
    assert publish_cost_price(sheet=sheet, raw=raw, effective_from=NOON, **change)
    assert publish_cost_price(sheet=sheet, raw=raw, effective_from=NOON + timedelta(days=1), **change) is None

    assert quote(at=NOON - timedelta(microseconds=1)).unit_costs[INPUT] == Decimal("0.00000004")
    assert quote(at=NOON).unit_costs[INPUT] == Decimal("0.00000008")


def test_a_tombstone_delists_and_the_history_stays(acme: stories.Company) -> None:
    model = LanguageModel.objects.get(slug=DEVSTRAL)
    assert delist(cost_table=model.cost_table, language_model=model, effective_from=NOON, origin="test", now=NOON)
    with pytest.raises(price_book.NoPrice):
        quote(at=NOON)
    assert quote(at=NOON - timedelta(seconds=1)).unit_costs[INPUT] == Decimal("0.00000004")


def test_a_long_prompt_gets_the_band_of_the_whole_prompt(acme: stories.Company) -> None:
    long_context = {
        "prompt": "0.000001",
        "completion": "0.000004",
        "overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000002"}],
    }
    stories.make_model("acme/long", now=NOON, pricing=long_context)
    at_the_boundary = quote(model="acme/long", prompt_tokens=200_000)
    one_above = quote(model="acme/long", prompt_tokens=200_001)
    assert (at_the_boundary.band, at_the_boundary.unit_costs[INPUT]) == ("base", Decimal("0.000001"))
    assert (one_above.band, one_above.unit_costs[INPUT]) == ("0", Decimal("0.000002"))
    highest = price_book.highest_unit_prices(terms=terms(), model=price_book.find_model("acme/long"), at=NOON)
    assert highest[INPUT] == one_above.unit_prices[INPUT]


def test_the_most_specific_markup_wins_and_ends_where_it_says(acme: stories.Company) -> None:
    model = LanguageModel.objects.get(slug=DEVSTRAL)
    for markup, target in (
        ("0.11", {"provider_slug": "mistralai"}),
        ("0.12", {"language_model": model}),
        ("0.13", {"organization": acme.organization}),
        ("0.14", {"organization": acme.organization, "language_model": model}),
    ):
        set_markup(markup=Decimal(markup), effective_from=NOON, now=NOON, **target)  # type: ignore[arg-type]
        assert quote(who=terms(acme)).markup == Decimal(markup)
    assert quote().markup == Decimal("0.12")
    later = NOON + timedelta(days=1)
    set_markup(markup=None, effective_from=later, now=NOON, organization=acme.organization, language_model=model)
    assert quote(who=terms(acme), at=later).markup == Decimal("0.13")


@pytest.mark.parametrize(
    ("at", "policy", "zone", "published_on"),
    [
        ("2026-11-30T14:59", "monthly", "Asia/Seoul", "2026-10-31"),
        ("2026-11-30T15:00", "monthly", "Asia/Seoul", "2026-11-25"),
        ("2026-11-30T15:00", "monthly", "UTC", "2026-10-31"),
        ("2026-11-25T14:59", "daily", "Asia/Seoul", "2026-10-31"),
        ("2026-11-25T15:00", "daily", "Asia/Seoul", "2026-11-25"),
    ],
)
def test_the_exchange_rate_is_the_last_published_before_the_month_or_the_day(
    acme: stories.Company, at: str, policy: str, zone: str, published_on: str
) -> None:
    publish_exchange_rate(rate=Decimal(1400), published_on=date(2026, 11, 25), source="test", now=NOON)
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    rate = quote(at=moment, who=terms(acme, exchange_policy=policy, zone=zone))
    assert rate.exchange and rate.exchange.published_on == date.fromisoformat(published_on)


def test_a_stale_exchange_rate_is_an_alarm_never_one(acme: stories.Company) -> None:
    stories.make_model("acme/future", now=NOON)
    with pytest.raises(price_book.NoExchangeRate):
        quote(at=NOON + timedelta(days=70))


def test_a_dollar_customer_needs_no_exchange_rate(acme: stories.Company) -> None:
    rate = quote(who=terms(acme, currency="USD"))
    assert (rate.exchange, rate.unit_prices[INPUT]) == (None, Decimal("0.000000044"))


def test_a_correction_of_a_day_is_a_new_revision_and_the_newest_counts(acme: stories.Company) -> None:
    publish = {"published_on": date(2026, 10, 31), "source": "demo", "now": NOON}
    assert publish_exchange_rate(rate=Decimal(1500), **publish) is None  # type: ignore[arg-type]
    corrected = publish_exchange_rate(rate=Decimal("1498.5"), **publish)  # type: ignore[arg-type]
    assert corrected and corrected.revision == 2
    rate = quote()
    assert rate.exchange and rate.exchange.rate == Decimal("1498.5")


def test_a_change_is_seen_without_being_told(acme: stories.Company, monkeypatch: pytest.MonkeyPatch) -> None:
    model = price_book.find_model(DEVSTRAL)
    assert price_book.quote(terms=terms(), model=model, prompt_tokens=0, at=NOON).markup == Decimal("0.10")
    set_markup(markup=Decimal("0.50"), effective_from=NOON, now=NOON)
    monkeypatch.setattr(price_memory, "SECONDS_BETWEEN_LOOKS", 0.0)
    assert price_book.quote(terms=terms(), model=model, prompt_tokens=0, at=NOON).markup == Decimal("0.50")


def test_what_is_made_of_old_prices_is_forgotten_with_them_however_late_it_is_remembered(
    acme: stories.Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread reads the new price after this one looked up the old, before it remembers the sale."""
    price_book.forget()
    model, who, next_change = price_book.find_model(DEVSTRAL), terms(acme), PriceSnapshot.next_change

    def overtaken(snapshot: PriceSnapshot, *about: Any) -> datetime:
        monkeypatch.undo()
        set_markup(markup=Decimal("0.50"), effective_from=NOON, now=NOON)
        price_book.refresh()
        return next_change(snapshot, *about)

    monkeypatch.setattr(PriceSnapshot, "next_change", overtaken)
    asked = [price_book.quote(terms=who, model=model, prompt_tokens=0, at=NOON) for _turn in range(2)]
    assert [rate.markup for rate in asked] == [Decimal("0.10"), Decimal("0.50")]


def test_who_reads_the_tables_has_an_answer_though_another_forgets_them(
    acme: stories.Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgotten_meanwhile() -> PriceSnapshot:
        snapshot = load_snapshot()
        price_book.forget()
        return snapshot

    price_book.forget()
    monkeypatch.setattr(price_memory, "load_snapshot", forgotten_meanwhile)
    assert DEVSTRAL in price_book.refresh().models

    class ForgottenMeanwhile(tuple[object, ...]):
        def __ne__(self, other: object) -> bool:
            price_book.forget()
            return False

        __hash__ = tuple.__hash__

    book = price_memory.current_book()
    monkeypatch.setattr(price_memory._memory, "book", replace(book, version=ForgottenMeanwhile(book.version)))
    assert price_book.refresh() is book.snapshot


def test_while_the_database_is_away_the_book_answers_from_memory(
    acme: stories.Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = price_book.find_model(DEVSTRAL)

    def unreachable() -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(price_memory, "SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(price_memory, "_newest_book", unreachable)
    assert price_book.quote(terms=terms(), model=model, prompt_tokens=0, at=NOON).markup == Decimal("0.10")


def test_a_rate_is_stored_once_whoever_asks_first(acme: stories.Company) -> None:
    rate = quote(who=terms(acme))
    ids: list[int] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        ids.append(store_applied_rate(price_book.applied_rate_row(rate, now=NOON)))
        connections.close_all()

    askers = [threading.Thread(target=ask) for _number in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(ids) == 8 and len(set(ids)) == 1
    assert AppliedRate.objects.count() == 1


def test_prices_markups_and_rates_are_history(acme: stories.Company) -> None:
    price_book.stored(quote(), now=NOON)
    for model in (AppliedRate, CostPrice, MarkupRule, ExchangeRate):
        table = model._meta.db_table
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET created_at = now()"):
            with pytest.raises(DatabaseError, match="history"), connections["system"].cursor() as cursor:
                cursor.execute(statement)


@pytest.mark.parametrize("bad", ["NaN", "-1", "1e3", "", "0.123456789012345678901"])
def test_the_database_refuses_unit_prices_that_are_none(acme: stories.Company, bad: str) -> None:
    rate = quote()
    price_book.stored(rate, now=NOON)
    row = AppliedRate.objects.get()
    row.pk, row.band, row.unit_prices = None, "1", {"input": bad}
    with pytest.raises(DatabaseError, match="applied_rate_unit_prices_are_prices"):
        row.save()
