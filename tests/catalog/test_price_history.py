"""What a model cost since when: every change once, in agreement with what calls were priced at."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import ExchangePolicy
from catalog import price_book
from catalog.exchange_rates import publish_exchange_rate
from catalog.markups import set_markup
from catalog.models import CostTable, LanguageModel
from catalog.price_history import Change, DatedPrice, NotOnTheList, NotYetSold, price_at, price_history
from catalog.publishing import delist, publish_cost_price
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenClass
from tests import stories
from tests.stories import DEVSTRAL, NOON

INPUT = TokenClass.INPUT
DAY = timedelta(days=1)


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def publish(model: LanguageModel, pricing: Mapping[str, object], *, since: datetime) -> None:
    sheet = parse_openrouter_pricing(pricing)
    assert sheet
    publish_cost_price(
        cost_table=model.cost_table,
        language_model=model,
        sheet=sheet,
        effective_from=since,
        raw=pricing,
        origin="test",
        now=NOON,
    )


def price_of(prompt: str) -> dict[str, object]:
    return {"prompt": prompt, "completion": prompt}


def history(
    terms: price_book.Terms = price_book.PUBLIC_TERMS, *, model: str = DEVSTRAL, now: datetime = NOON
) -> list[DatedPrice]:
    price_book.forget()
    return price_history(terms=terms, model=price_book.find_model(model), now=now)


def test_every_change_is_a_row_and_says_what_changed(cast: stories.Cast) -> None:
    model = stories.make_model("acme-labs/new", now=NOON, since=NOON - 5 * DAY)
    publish(model, price_of("0.00000008"), since=NOON - 4 * DAY)
    set_markup(markup=Decimal("0.20"), effective_from=NOON - 3 * DAY, now=NOON, provider_slug="acme-labs")
    delist(cost_table=model.cost_table, language_model=model, effective_from=NOON - 2 * DAY, origin="test", now=NOON)
    set_markup(markup=Decimal("0.30"), effective_from=NOON - 36 * timedelta(hours=1), now=NOON)
    publish(model, price_of("0.00000002"), since=NOON - DAY)
    publish(model, price_of("0.00000001"), since=NOON + DAY)

    rows = history(model="acme-labs/new")
    assert [(row.changes, row.unit_prices(row.unit_costs).get(INPUT)) for row in rows] == [
        ((Change.LISTED,), Decimal("0.000066")),
        ((Change.COST,), Decimal("0.000132")),
        ((Change.MARKUP,), Decimal("0.000144")),
        ((Change.DELISTED,), None),
        ((Change.LISTED,), Decimal("0.000036")),
    ], "a rule that the provider's outweighs changes nothing, and what is to come is not announced"
    assert [row.until for row in rows] == [*(row.since for row in rows[1:]), None]


def test_a_month_brings_its_exchange_rate_and_a_day_for_who_is_billed_daily(cast: stories.Cast) -> None:
    for day, rate in ((date(2026, 11, 5), 1400), (date(2026, 11, 20), 1450)):
        recorded = datetime(day.year, day.month, day.day, 3, tzinfo=UTC)
        publish_exchange_rate(rate=Decimal(rate), published_on=day, source="test", now=recorded)
    stories.make_model("acme-labs/new", now=NOON, since=datetime(2026, 10, 31, tzinfo=UTC))
    monthly = history(model="acme-labs/new", now=NOON + 10 * DAY)
    assert [(row.since.astimezone(stories.SEOUL).date(), row.changes) for row in monthly] == [
        (date(2026, 10, 31), (Change.LISTED,)),
        (date(2026, 12, 1), (Change.EXCHANGE_RATE,)),
    ], "November's rate is October's"
    terms = price_book.Terms(
        organization_id=None, currency="KRW", exchange_policy=ExchangePolicy.DAILY, zone="Asia/Seoul"
    )
    daily = history(terms, model="acme-labs/new")
    assert [(row.since.astimezone(stories.SEOUL).isoformat(), row.exchange and row.exchange.rate) for row in daily] == [
        ("2026-10-31T09:00:00+09:00", 1500),
        ("2026-11-06T00:00:00+09:00", 1400),
        ("2026-11-21T00:00:00+09:00", 1450),
    ]


def test_the_same_value_published_anew_is_no_change_and_yet_named_for_its_time(cast: stories.Cast) -> None:
    start = datetime(2026, 10, 30, tzinfo=UTC)
    stories.make_model("acme-labs/new", now=NOON, since=start)
    set_markup(markup=Decimal("0.10"), effective_from=NOON - 3 * DAY, now=NOON, provider_slug="acme-labs")
    [row] = history(model="acme-labs/new")
    assert (row.since, row.until, row.changes) == (start, None, (Change.LISTED,))
    entry = price_book.find_model("acme-labs/new")
    first, last = (
        price_at(terms=price_book.PUBLIC_TERMS, model=entry, at=at, now=NOON) for at in (start, NOON - 2 * DAY)
    )
    assert (first.since, first.until) == (last.since, last.until) == (start, None)
    assert first.markup_rule_id != last.markup_rule_id
    assert first.exchange and last.exchange and first.exchange.published_on < last.exchange.published_on
    assert first.unit_prices(first.unit_costs) == last.unit_prices(last.unit_costs)


def test_an_organization_sees_its_own_terms_and_nobody_elses(cast: stories.Cast) -> None:
    acme, globex = cast.acme.organization, cast.globex.organization
    set_markup(markup=Decimal("0.50"), effective_from=NOON - DAY, now=NOON, organization=acme)
    set_markup(markup=Decimal("0.70"), effective_from=NOON - DAY, now=NOON, organization=globex)
    assert history(price_book.terms_of(acme))[-1].markup == Decimal("0.50")
    assert {row.markup for row in history()} == {Decimal("0.10")}
    in_dollars = price_book.Terms(organization_id=None, currency="USD", exchange_policy="monthly", zone="Asia/Seoul")
    [row] = history(in_dollars)
    assert (row.exchange, row.unit_prices(row.unit_costs)[INPUT]) == (None, Decimal("0.000000044"))


def test_before_rates_were_known_there_is_a_cost_and_no_price(cast: stories.Cast) -> None:
    stories.make_model("acme-labs/old", now=NOON, since=NOON - 400 * DAY)
    first, *_rest, last = history(model="acme-labs/old")
    assert (first.is_priced, first.unit_costs[INPUT], first.unit_prices(first.unit_costs)) == (
        False,
        Decimal("0.00000004"),
        {},
    )
    assert last.is_priced


def test_a_model_that_moved_keeps_what_it_cost_before(cast: stories.Cast) -> None:
    model = LanguageModel.objects.using("system").get(slug=DEVSTRAL)
    delist(cost_table=model.cost_table, language_model=model, effective_from=NOON - 5 * DAY, origin="test", now=NOON)
    publish(model, price_of("0.00000009"), since=NOON - 2 * DAY)
    model.cost_table = CostTable.objects.using("system").create(slug="self-hosted", name="Self-hosted")
    publish(model, price_of("0.00000003"), since=NOON - 4 * DAY)
    model.save()
    rows = [row for row in history() if Change.EXCHANGE_RATE not in row.changes]
    assert [(row.unit_costs.get(INPUT), row.changes) for row in rows] == [
        (Decimal("0.00000004"), (Change.LISTED,)),
        (None, (Change.DELISTED,)),
        (Decimal("0.00000003"), (Change.LISTED,)),
    ], "what the former table did later is not this model's price"


def test_the_price_then(cast: stories.Cast) -> None:
    model = LanguageModel.objects.get(slug=DEVSTRAL)
    publish(model, price_of("0.00000008"), since=NOON - 2 * DAY)
    delist(cost_table=model.cost_table, language_model=model, effective_from=NOON - DAY, origin="test", now=NOON)
    price_book.forget()
    entry = price_book.find_model(DEVSTRAL)

    def cost_at(at: datetime) -> Decimal:
        row = price_at(terms=price_book.PUBLIC_TERMS, model=entry, at=at, now=NOON)
        assert row.since <= at and (row.until is None or at < row.until)
        return row.unit_costs[INPUT]

    assert cost_at(NOON - 2 * DAY - timedelta(microseconds=1)) == Decimal("0.00000004")
    assert cost_at(NOON - 2 * DAY) == Decimal("0.00000008")
    assert cost_at(NOON - DAY - timedelta(microseconds=1)) == Decimal("0.00000008")
    with pytest.raises(NotOnTheList):
        cost_at(NOON - DAY)
    with pytest.raises(NotYetSold):
        cost_at(NOON - 151 * DAY)


def test_a_router_has_no_history(cast: stories.Cast) -> None:
    stories.make_model("openrouter/auto", now=NOON, pricing={"prompt": "-1", "completion": "-1"})
    assert history(model="openrouter/auto") == []
    with pytest.raises(price_book.NoPrice, match="no price of its own"):
        price_at(terms=price_book.PUBLIC_TERMS, model=price_book.find_model("openrouter/auto"), at=NOON, now=NOON)


hours = st.integers(min_value=1, max_value=24 * 140)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    costs=st.lists(st.tuples(hours, st.sampled_from(["0.00000001", "0.00000002", ""])), max_size=6),
    markups=st.lists(st.tuples(hours, st.sampled_from(["0.2", "0.3", ""]), st.booleans()), max_size=4),
    policy=st.sampled_from(["monthly", "daily"]),
    zone=st.sampled_from(["Asia/Seoul", "America/New_York", "UTC"]),
    asked=st.lists(hours, min_size=5, max_size=20),
)
def test_the_history_says_what_calls_were_priced_at(
    cast: stories.Cast,
    costs: list[tuple[int, str]],
    markups: list[tuple[int, str, bool]],
    policy: str,
    zone: str,
    asked: list[int],
) -> None:
    acme = stories.open_account(name="A", owner=None, now=NOON)
    model = stories.make_model(f"acme-labs/m{acme.pk}", now=NOON)
    for ago, text in dict(costs).items():
        if text:
            publish(model, price_of(text), since=NOON - timedelta(hours=ago))
        else:
            delist(
                cost_table=model.cost_table,
                language_model=model,
                effective_from=NOON - timedelta(hours=ago),
                origin="test",
                now=NOON,
            )
    for (ago, own), text in {(ago, own): text for ago, text, own in markups}.items():
        set_markup(
            markup=Decimal(text) if text else None,
            effective_from=NOON - timedelta(hours=ago),
            now=NOON,
            language_model=model,
            organization=acme if own else None,
        )
    terms = price_book.Terms(organization_id=acme.pk, currency="KRW", exchange_policy=policy, zone=zone)
    rows = history(terms, model=model.slug)
    edges = [edge for row in rows for edge in (row.since, row.since - timedelta(microseconds=1))]
    for at in [*edges, *(NOON - timedelta(hours=ago) for ago in asked)]:
        try:
            rate = price_book.quote(terms=terms, model=price_book.find_model(model.slug), prompt_tokens=0, at=at)
            expected = (rate.cost_price_id, rate.markup_rule_id, rate.exchange, rate.unit_prices[INPUT])
        except price_book.NoRate:
            expected = None
        try:
            row = price_at(terms=terms, model=price_book.find_model(model.slug), at=at, now=NOON)
            prices = row.unit_prices(row.unit_costs)
            found = (row.cost_price_id, row.markup_rule_id, row.exchange, prices[INPUT]) if prices else None
        except price_book.NoPrice:
            found = None
        assert found == expected, at
