"""Reading usage: sums by any grouping, pages of events, and the receipt that anybody can recompute."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import Role
from catalog.markups import set_markup
from pricing.tokens import TokenUsage
from tests import stories

CLASS_NAMES = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "requests")


def at(day: int, hour: int = 12, month: int = 11) -> datetime:
    """A moment of 2026 in Seoul."""
    return datetime(2026, month, day, hour, tzinfo=stories.SEOUL).astimezone(UTC)


@pytest.fixture
def history(cast: stories.Cast) -> stories.Cast:
    """Acme calls on five days with and without a key, globex once; another model costs more."""
    stories.make_model("acme-labs/dear", now=stories.NOON, pricing={"prompt": "0.000001", "completion": "0.000003"})
    acme = cast.acme.organization
    for day in (1, 2, 3, 20, 22):
        stories.use(acme, at=at(day, 0), api_key_id=cast.acme.key.pk)
        stories.use(acme, at=at(day, 9), usage=TokenUsage(input_tokens=7, output_tokens=5, reasoning_tokens=2))
    stories.use(
        acme,
        at=at(3, 23),
        model="acme-labs/dear",
        usage=TokenUsage(input_tokens=10, cache_read_tokens=90, output_tokens=1),
    )
    stories.use(acme, at=at(31, 23, month=10))
    stories.use(cast.globex.organization, at=at(3))
    return cast


@pytest.mark.parametrize("group_by", ["hour", "day", "model", "api_key", "member", "tag", "none"])
def test_totals_are_the_sum_of_all_rows_of_all_pages(history: stories.Cast, as_acme: Client, group_by: str) -> None:
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        query = {"group_by": group_by, "limit": "2"} | ({"tag": "team"} if group_by == "tag" else {})
        answer = as_acme.get("/api/v1/usage", query | ({"cursor": cursor} if cursor else {})).json()
        rows += answer["data"]
        assert len(answer["data"]) <= 2
        if answer["next_cursor"] is None:
            break
        cursor = answer["next_cursor"]
    for name in CLASS_NAMES:
        assert sum(row[name] for row in rows) == answer["totals"][name]
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal(answer["totals"]["amount"])
    assert answer["totals"]["requests"] == 11 and answer["totals"]["input_tokens"] == 5 * 1007 + 10
    assert "cost" not in str(answer)


def test_days_are_those_of_the_organization(history: stories.Cast, as_acme: Client) -> None:
    rows = as_acme.get("/api/v1/usage").json()["data"]
    assert [row["day"] for row in rows] == ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-20", "2026-11-22"]
    assert rows[0]["requests"] == 2, "midnight in Seoul belongs to the day that begins"


def test_half_open_ranges(history: stories.Cast, as_acme: Client) -> None:
    def requests(**query: str) -> int:
        return int(as_acme.get("/api/v1/usage", query).json()["totals"]["requests"])

    assert requests(**{"from": "2026-11-02", "to": "2026-11-03"}) == 2
    assert requests(**{"from": "2026-11-02T09:00", "to": "2026-11-03T00:00:00+09:00"}) == 1
    assert requests(**{"from": "2026-10-01"}) == 12
    assert requests(to="2026-11-01") == 1, "the month of its end"
    assert requests(**{"from": "2026-11-02T00:00:00Z", "to": "2026-11-02T01:00:00Z"}) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"from": "2026-11-03", "to": "2026-11-03"},
        {"from": "2020-01-01", "to": "2031-01-01"},
        {"from": "2024-01-01", "to": "2026-01-01", "group_by": "hour"},
        {"from": "2026-01-01", "to": "2026-03-01", "group_by": "tag", "tag": "team"},
        {"group_by": "tag", "tag": ""},
        {"tag": "team"},
        {"from": "2026-11-03T00:30"},
        {"from": "1066-10-14"},
        {"group_by": "colour"},
        {"limit": "0"},
        {"limit": "201"},
        {"cursor": "nonsense"},
        {"cursor": "WyJhIl0"},
        {"cursor": "Wzk5OV0"},
    ],
)
def test_bad_queries(history: stories.Cast, as_acme: Client, query: dict[str, str]) -> None:
    answer = as_acme.get("/api/v1/usage", query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert answer.json()["error"]["field"] in {*query, "to"}


def test_groups_by_model_and_key(history: stories.Cast, as_acme: Client) -> None:
    by_model = as_acme.get("/api/v1/usage?group_by=model").json()["data"]
    assert [row["model"] for row in by_model] == [stories.DEVSTRAL, "acme-labs/dear"]
    by_key = as_acme.get("/api/v1/usage?group_by=api_key").json()["data"]
    assert [row["api_key"] and row["api_key"]["prefix"] for row in by_key] == [history.acme.key.prefix, None]


def test_groups_by_the_member_who_made_the_key(history: stories.Cast, as_acme: Client) -> None:
    acme, now = history.acme.organization, stories.NOON
    colleague = stories.make_member(acme, Role.DEVELOPER, now=now)
    for name in ("One", "Two"):
        key, _secret = stories.make_key(acme, now=now, name=name, created_by=colleague)
        stories.use(acme, at=at(21), api_key_id=key.pk, usage=TokenUsage(input_tokens=5_000))
    rows = as_acme.get("/api/v1/usage?group_by=member").json()["data"]
    assert [(row["member"], row["requests"]) for row in rows] == [
        (None, 11),
        ({"id": str(colleague.pk), "name": colleague.email}, 2),
    ]


def test_groups_by_any_tag(history: stories.Cast, as_acme: Client) -> None:
    acme = history.acme.organization
    for tags in ({"team": "search"}, {"team": "search", "1": "x"}, {"team": "검색"}, {"other": "search"}):
        stories.use(acme, at=at(21), tags=tags)

    def groups(tag: str) -> dict[str | None, int]:
        answer = as_acme.get("/api/v1/usage", {"group_by": "tag", "tag": tag}).json()
        return {row["tag"]: row["requests"] for row in answer["data"]}

    assert groups("team") == {"search": 2, "검색": 1, None: 12}
    assert groups("1") == {"x": 1, None: 14}
    assert groups("'; DROP TABLE x") == {None: 15}


def test_a_tag_of_countless_values_is_not_summed(
    history: stories.Cast, as_acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metering.tag_sums.MOST_VALUES", 2)
    for number in range(3):
        stories.use(history.acme.organization, at=at(21), tags={"session": str(number)})
    answer = as_acme.get("/api/v1/usage", {"group_by": "tag", "tag": "session"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "tag")


def test_years_of_usage_at_once(history: stories.Cast, as_acme: Client) -> None:
    for group_by in ("day", "model", "api_key", "member", "none"):
        query = {"group_by": group_by, "from": "2021-01-01", "to": "2030-01-01"}
        assert as_acme.get("/api/v1/usage", query).json()["totals"]["requests"] == 12


def test_events_page_by_page(history: stories.Cast, as_acme: Client) -> None:
    ids, query = [], {"limit": "4"}
    while True:
        answer = as_acme.get("/api/v1/usage/events", query).json()
        ids += [event["id"] for event in answer["data"]]
        if answer["next_cursor"] is None:
            break
        query = {"limit": "4", "cursor": answer["next_cursor"]}
        stories.use(history.acme.organization, at=stories.NOON)  # newer: does not disturb the pages
    assert len(ids) == len(set(ids)) == 11
    assert ids == sorted(ids, reverse=True)


def test_events_filtered(history: stories.Cast, as_acme: Client) -> None:
    def count(**query: str) -> int:
        return len(as_acme.get("/api/v1/usage/events", query).json()["data"])

    assert count(model="acme-labs/dear") == 1
    assert count(api_key=str(history.acme.key.pk)) == 5
    assert count(**{"from": "2026-11-03T09:00:00.5", "to": "2026-11-20"}) == 1
    assert as_acme.get("/api/v1/usage/events", {"model": "no/such"}).status_code == 400
    assert as_acme.get("/api/v1/usage/events", {"api_key": str(history.globex.key.pk)}).status_code == 404


def test_a_receipt_can_be_recomputed(history: stories.Cast, as_acme: Client) -> None:
    set_markup(
        markup=Decimal("0.25"), effective_from=at(22, 10), now=stories.NOON, organization=history.acme.organization
    )
    stories.price_book.forget()
    usage = TokenUsage(input_tokens=123, cache_read_tokens=45, output_tokens=67, reasoning_tokens=8)
    outcome = stories.use(history.acme.organization, at=at(22, 11), model="acme-labs/dear", usage=usage)
    receipt = as_acme.get(f"/api/v1/usage/events/{outcome.event_id}").json()
    rate = receipt["applied_rate"]
    assert (rate["markup"], rate["exchange_rate"], rate["exchange_rate_published_on"], rate["band"]) == (
        "0.25",
        "1500",
        "2026-10-31",
        "base",
    )
    assert [line["token_class"] for line in receipt["lines"]] == ["input", "cache_read", "output", "reasoning"]
    amount = Decimal(0)
    for line in receipt["lines"]:
        price = Decimal(line["unit_cost_usd"]) * (1 + Decimal(rate["markup"])) * Decimal(rate["exchange_rate"])
        assert price == Decimal(line["unit_price"]) == Decimal(rate["unit_prices"][line["token_class"]])
        amount += line["quantity"] * price
    assert amount == Decimal(receipt["amount"]) == outcome.amount
    assert amount == sum(_product(part) for part in receipt["formula"].replace("(1 + ", "(1+").split(" + "))


def _product(text: str) -> Decimal:
    """One product of a formula, worked out."""
    product = Decimal(1)
    for factor in text.split(" × "):
        product *= 1 + Decimal(factor[3:-1]) if factor.startswith("(1+") else Decimal(factor)
    return product


@pytest.mark.parametrize("path", ["/api/v1/usage/events/{id}"])
def test_a_neighbours_receipt_is_not_found(history: stories.Cast, path: str) -> None:
    outcome = stories.use(history.acme.organization, at=stories.NOON - timedelta(hours=1))
    globex = Client(headers=history.globex.headers)
    assert globex.get(path.format(id=outcome.event_id)).status_code == 404
    assert globex.get(path.format(id=uuid4())).status_code == 404
    assert globex.get(path.format(id="17")).status_code == 404


def test_a_correction_is_three_events_that_name_each_other(history: stories.Cast, as_acme: Client) -> None:
    before = as_acme.get("/api/v1/usage", {"group_by": "none"}).json()["totals"]
    first, back, again = map(str, stories.correct_usage(history.acme.organization, now=stories.NOON))

    events = {event["id"]: event for event in as_acme.get("/api/v1/usage/events").json()["data"]}
    assert {event["key"] for event in (events[first], events[back], events[again])} == {events[first]["key"]}
    assert (events[back]["kind"], events[back]["reverses"], events[back]["replaces"]) == ("reversal", first, None)
    assert (events[again]["kind"], events[again]["reverses"], events[again]["replaces"]) == ("usage", None, first)
    assert events[back]["usage"]["requests"] == -1
    assert Decimal(events[back]["amount"]) == -Decimal(events[first]["amount"])
    assert events[back]["reason"] == "The upstream had lowered its price."
    assert as_acme.get("/api/v1/usage", {"group_by": "none"}).json()["totals"] == before

    receipts = {name: as_acme.get(f"/api/v1/usage/events/{name}").json() for name in (first, back, again)}
    assert (receipts[first]["reversed_by"], receipts[first]["replaced_by"]) == (back, again)
    assert (receipts[back]["reversed_by"], receipts[again]["replaced_by"]) == (None, None)
    lines = receipts[back]["lines"]
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(receipts[back]["amount"])
    assert all(line["quantity"] < 0 for line in lines)
