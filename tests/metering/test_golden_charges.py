"""Golden cases: an upstream's price text and a usage on one side, the exact won on the other, through the whole recording path.

Every sum was done by hand: tokens × USD × 1.1 (markup) × 1,500 (won a dollar), that is USD × 1,650.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from catalog import price_book
from catalog.models import LanguageModel
from catalog.publishing import delist, publish_cost_price
from metering import unrated
from metering.reports import Outcome, Status
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON, SEOUL

Pricing = Mapping[str, object]

LONG = {"prompt": "0.00000125", "completion": "0.00001", "input_cache_read": "0.000000125", "overrides": [
    {"min_prompt_tokens": 200_000, "prompt": "0.0000025", "completion": "0.000015"}
]}  # fmt: skip
CACHED = {
    "prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003", "input_cache_write": "0.00000375",
    "input_cache_write_1h": "0.000006",
}  # fmt: skip
PIECES = {"prompt": "0", "completion": "0", "image": "0.0048", "request": "0.005", "web_search": "0.01"}
SOUND = {"prompt": "0.000001", "completion": "0.000002", "audio": "0.00001", "audio_output": "0.00008"}

CASES: Mapping[str, tuple[Pricing, TokenUsage, str]] = {
    "half a million in, half a million out": (
        stories.DEVSTRAL_PRICE, TokenUsage(input_tokens=500_000, output_tokens=500_000), "66",
    ),
    "a long prompt at the boundary": (
        LONG, TokenUsage(input_tokens=200_000, output_tokens=1_000), "429",
    ),
    "a long prompt one token above it": (
        LONG, TokenUsage(input_tokens=200_001, output_tokens=1_000), "849.754125",
    ),
    "the cache counts into the length of the prompt and keeps its own price": (
        LONG, TokenUsage(input_tokens=150_000, cache_read_tokens=50_001, output_tokens=1_000), "653.81270625",
    ),
    "read from the cache, written for five minutes and for an hour": (
        CACHED,
        TokenUsage(
            input_tokens=1_000, cache_read_tokens=2_000, cache_write_tokens=3_000, cache_write_1h_tokens=4_000,
            output_tokens=500,
        ),
        "76.4775",
    ),
    "a cache without a price of its own costs what input costs": (
        stories.DEVSTRAL_PRICE, TokenUsage(cache_read_tokens=500_000, cache_write_tokens=500_000), "66",
    ),
    "reasoning at a price of its own": (
        {"prompt": "0", "completion": "0.00001", "internal_reasoning": "0.00002"},
        TokenUsage(output_tokens=1_000, reasoning_tokens=400), "23.1",
    ),
    "reasoning listed at 0 is output": (
        {"prompt": "0", "completion": "0.00001", "internal_reasoning": "0"},
        TokenUsage(output_tokens=1_000, reasoning_tokens=400), "16.5",
    ),
    "two images, a request, three searches": (
        PIECES, TokenUsage(input_tokens=10, images=2, searches=3), "73.59",
    ),
    "an image without a price of its own is in the prompt's tokens": (
        stories.DEVSTRAL_PRICE, TokenUsage(input_tokens=1_000_000, images=2), "66",
    ),
    "sound in and out": (
        SOUND, TokenUsage(input_tokens=1_000, output_tokens=500, audio_input_tokens=700, audio_output_tokens=90), "26.73",
    ),
    "free": (
        {"prompt": "0", "completion": "0"}, TokenUsage(input_tokens=500_000, output_tokens=500_000), "0",
    ),
    "a discount of a quarter": (
        {"prompt": "0.000002", "completion": "0.000004", "discount": 0.25},
        TokenUsage(input_tokens=1_000_000, output_tokens=1_000_000), "7425",
    ),
    "a unit cost of more than twelve decimals is rounded half to even first": (
        {"prompt": "0.0000000000125", "completion": "0.0000000000135"},
        TokenUsage(input_tokens=1_000_000_000, output_tokens=1_000_000_000), "42.9",
    ),
    "a condition that we do not know is skipped": (
        stories.DEVSTRAL_PRICE | {"overrides": [{"moon": "full", "prompt": "1"}]},
        TokenUsage(input_tokens=500_000, output_tokens=500_000), "66",
    ),
    "of two overrides the later wins, key by key": (
        {"prompt": "0.000001", "completion": "0.000001", "overrides": [
            {"min_prompt_tokens": 10, "prompt": "0.000002", "completion": "0.000002"},
            {"min_prompt_tokens": 20, "prompt": "0.000003"},
        ]},
        TokenUsage(input_tokens=1_000, output_tokens=1_000), "8.25",
    ),
}  # fmt: skip


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


@pytest.fixture
def charge(cast: stories.Cast) -> Callable[..., Outcome]:
    """Record one call of acme to the model under test."""

    def call(usage: TokenUsage, *, at: datetime = NOON, now: datetime | None = None) -> Outcome:
        return stories.use(cast.acme.organization, at=at, now=now or NOON, model="golden/model", usage=usage)

    return call


def sell(pricing: Pricing, **options: object) -> LanguageModel:
    return stories.make_model("golden/model", now=NOON, pricing=pricing, **options)  # type: ignore[arg-type]


def change_price(model: LanguageModel, pricing: Pricing, *, since: datetime) -> None:
    sheet = parse_openrouter_pricing(pricing)
    assert sheet is not None
    publish_cost_price(
        cost_table=model.cost_table,
        language_model=model,
        sheet=sheet,
        effective_from=since,
        raw=pricing,
        origin="test",
        now=NOON,
    )
    price_book.forget()


@pytest.mark.parametrize("case", CASES)
def test_golden(charge: Callable[..., Outcome], case: str) -> None:
    pricing, usage, won = CASES[case]
    sell(pricing)
    outcome = charge(usage)
    assert outcome.status == Status.ACCEPTED
    assert outcome.amount == Decimal(won)


def test_a_router_is_charged_as_the_model_that_answered_and_never_by_itself(
    cast: stories.Cast, charge: Callable[..., Outcome]
) -> None:
    sell({"prompt": "-1", "completion": "-1"})
    usage = TokenUsage(input_tokens=500_000, output_tokens=500_000)
    assert charge(usage).amount is None
    answered = stories.use(
        cast.acme.organization, at=NOON, model=stories.DEVSTRAL, requested_model="golden/model", usage=usage
    )
    assert answered.amount == 66


@pytest.mark.parametrize(
    ("clock", "won"), [("21:59:59", "1650"), ("22:00:00", "825"), ("01:59:59", "825"), ("02:00:00", "1650")]
)
def test_a_window_that_wraps_past_midnight(charge: Callable[..., Outcome], clock: str, won: str) -> None:
    night = {"utc_start": 2200, "utc_end": 200, "prompt": "0.0000005"}
    sell({"prompt": "0.000001", "completion": "0.000001", "overrides": [night]})
    at = datetime.fromisoformat(f"2026-11-20T{clock}+00:00")
    assert charge(TokenUsage(input_tokens=1_000_000), at=at).amount == Decimal(won)


@pytest.mark.parametrize("zone", [UTC, SEOUL], ids=["UTC", "Seoul"])
def test_a_price_that_changes_at_midnight(charge: Callable[..., Outcome], zone: object) -> None:
    midnight = datetime(2026, 11, 20, tzinfo=zone)  # type: ignore[arg-type]
    model = sell({"prompt": "0.000001", "completion": "0.000001"})
    change_price(model, {"prompt": "0.000003", "completion": "0.000003"}, since=midnight)
    usage = TokenUsage(input_tokens=1_000_000)
    assert charge(usage, at=midnight - timedelta(microseconds=1)).amount == 1650
    assert charge(usage, at=midnight).amount == 4950


def test_what_was_used_before_a_delisting_is_charged_and_what_came_after_waits(charge: Callable[..., Outcome]) -> None:
    model = sell({"prompt": "0.000001", "completion": "0.000001"})
    end = NOON - timedelta(days=1)
    delist(cost_table=model.cost_table, language_model=model, effective_from=end, origin="test", now=NOON)
    price_book.forget()
    usage = TokenUsage(input_tokens=1_000_000)
    assert charge(usage, at=end - timedelta(seconds=1)).amount == 1650
    after = charge(usage, at=end)
    assert (after.status, after.amount) == (Status.ACCEPTED, None)


def test_a_first_price_that_is_dated_back_charges_what_waited_for_it(charge: Callable[..., Outcome]) -> None:
    usage = TokenUsage(input_tokens=1_000_000)
    assert charge(usage, at=NOON - timedelta(days=2)).amount is None
    sell({"prompt": "0.000001", "completion": "0.000001"}, since=NOON - timedelta(days=2))
    assert unrated.rate_waiting(now=NOON) == 1
    repeated = charge(usage, at=NOON - timedelta(days=2))
    assert repeated.amount == 1650


def test_one_request_of_half_a_million_tokens_costs_what_half_a_million_requests_of_one_token_cost(
    cast: stories.Cast, charge: Callable[..., Outcome]
) -> None:
    """By the rate: what one token costs is what each of many costs, and no request rounds."""
    sell({"prompt": "0.000000000007", "completion": "0.000000000007"})
    one = charge(TokenUsage(input_tokens=1)).amount
    many = charge(TokenUsage(input_tokens=500_000)).amount
    assert one is not None and many == 500_000 * one
    assert (one, many) == (Decimal("0.00000001155"), Decimal("0.005775"))
