"""What a month would cost with one model or with each: spread over requests to the token, never cheaper for what is not priced."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import estimates, what_if
from billing.what_if import Answer, Lack, Volume, compare, portions_of
from catalog import price_book
from catalog.markups import set_markup
from catalog.models import LanguageModel
from catalog.publishing import delist
from pricing.exact import exact_sum
from pricing.rating import rate
from pricing.tokens import TokenClass, TokenUsage
from pricing.totals import invoice_totals
from tests import stories

NOW = stories.NOON
VAT = Decimal("0.1")
LONG = {
    "prompt": "0.000001",
    "completion": "0.000003",
    "input_cache_read": "0.0000002",
    "request": "0.002",
    "overrides": [{"min_prompt_tokens": 1000, "prompt": "0.000002", "completion": "0.000009"}],
}


@pytest.fixture
def catalog(db: None) -> None:
    stories.make_catalog(now=NOW)
    stories.make_model("long/model", now=NOW, pricing=LONG, context_length=2000)


def ask(volume: Volume, model: str = "long/model", buyer: estimates.Buyer | None = None) -> Answer:
    return what_if.what_if(
        model=LanguageModel.objects.get(slug=model), volume=volume, buyer=buyer or estimates.public_buyer(), at=NOW
    )


def total(answer: Answer) -> tuple[Decimal, Decimal, Decimal] | None:
    totals = answer.totals
    return totals and (totals.subtotal, totals.tax, totals.total)


def test_the_published_example(catalog: None) -> None:
    answer = ask(Volume(), stories.DEVSTRAL)
    assert (total(answer), answer.cost_usd, answer.lack) == ((66, 6, 72), Decimal("0.04"), None)
    assert [part.rate.band for part in answer.parts] == ["base"]


@pytest.mark.parametrize(
    ("input_tokens", "requests", "bands"),
    [
        (3000, 3, [("base", 3)]),
        (3001, 3, [("0", 1), ("base", 2)]),
        (3002, 3, [("0", 2), ("base", 1)]),
        (3003, 3, [("0", 3)]),
        (3_000_000, 0, [("base", 0)]),
    ],
)
def test_each_request_is_priced_in_the_band_of_its_own_prompt(
    catalog: None, input_tokens: int, requests: int, bands: list[tuple[str, int]]
) -> None:
    answer = ask(Volume(input_tokens=input_tokens, output_tokens=0, requests=requests))
    assert [(part.rate.band, part.requests) for part in answer.parts] == bands


counts = st.integers(min_value=0, max_value=60_000)
requests = st.integers(min_value=1, max_value=40)
at_the_boundary = requests.flatmap(lambda number: st.tuples(st.just(number), st.integers(number * 999, number * 1002)))
"""Numbers of requests with inputs that make their prompts about as long as the base price allows."""


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spread_over=st.one_of(st.tuples(requests, counts), at_the_boundary),
    output_tokens=counts,
    cached_share=st.decimals(min_value=0, max_value=1, places=4),
)
def test_the_sum_is_that_of_the_requests_one_by_one(
    catalog: None, spread_over: tuple[int, int], output_tokens: int, cached_share: Decimal
) -> None:
    """As if each had been recorded: every request gets its whole tokens, and its own band."""
    number, input_tokens = spread_over
    volume = Volume(input_tokens=input_tokens, output_tokens=output_tokens, cached_share=cached_share, requests=number)

    def spread(total: int) -> list[int]:
        each, more = divmod(total, volume.requests)
        return [each + (number < more) for number in range(volume.requests)]

    entry, amounts = price_book.find_model("long/model"), []
    for prompt, cached, output in zip(
        spread(volume.input_tokens), spread(volume.cached_tokens), spread(volume.output_tokens), strict=True
    ):
        usage = TokenUsage(input_tokens=prompt - cached, cache_read_tokens=cached, output_tokens=output)
        quoted = price_book.quote(terms=price_book.PUBLIC_TERMS, model=entry, prompt_tokens=usage.prompt_tokens, at=NOW)
        amounts.append(rate(usage, quoted.unit_prices))
    model = LanguageModel(slug="long/model", context_length=None, input_modalities=["text"])
    answer = what_if.what_if(model=model, volume=volume, buyer=estimates.public_buyer(), at=NOW)
    assert exact_sum(part.amount for part in answer.parts) == exact_sum(amounts)
    assert answer.totals and answer.totals.total == invoice_totals(amounts, currency="KRW", tax_rate=VAT).total
    assert sum(part.requests for part in answer.parts) == volume.requests


@given(
    volume=st.builds(
        Volume,
        input_tokens=st.integers(0, 10**12),
        output_tokens=st.integers(0, 10**12),
        cached_share=st.decimals(min_value=0, max_value=1, places=6),
        requests=st.integers(0, 10**12),
        images=st.integers(0, 10**12),
    )
)
def test_no_token_is_lost_or_made_by_spreading(volume: Volume) -> None:
    portions = portions_of(volume)
    assert len(portions) <= 2
    for token_class, whole in {
        TokenClass.INPUT: volume.input_tokens - volume.cached_tokens,
        TokenClass.CACHE_READ: volume.cached_tokens,
        TokenClass.OUTPUT: volume.output_tokens,
        TokenClass.IMAGES: volume.images,
        TokenClass.REQUESTS: volume.requests,
    }.items():
        parts = [portion.counts[token_class] for portion in portions]
        assert sum(parts) == whole and min(parts) >= 0


def test_cached_tokens_have_their_own_price_or_that_of_the_others(catalog: None) -> None:
    half = Volume(input_tokens=1_000_001, output_tokens=0, cached_share=Decimal("0.5"))
    [part] = ask(half).parts
    assert [(line.token_class, line.quantity) for line in part.lines] == [
        (TokenClass.INPUT, 500_000),
        (TokenClass.CACHE_READ, 500_001),
    ]
    assert ask(half).cost_usd == Decimal("0.5") + Decimal("0.1000002")
    assert total(ask(half, stories.DEVSTRAL)) == total(
        ask(Volume(input_tokens=1_000_001, output_tokens=0), stories.DEVSTRAL)
    )


def test_fees_per_request_count_where_requests_are_told(catalog: None) -> None:
    assert ask(Volume(input_tokens=0, output_tokens=0, requests=10)).cost_usd == Decimal("0.02")
    assert ask(Volume(input_tokens=0, output_tokens=0)).cost_usd == 0


@pytest.mark.parametrize(
    ("pricing", "modalities", "lack", "cost"),
    [
        ({"image": "0.001"}, ["text", "image"], None, "0.002"),
        ({"image": "0.001"}, [], None, "0.002"),
        ({}, ["text"], Lack.TAKES_NO_IMAGES, None),
        ({"image": "0"}, ["text"], Lack.TAKES_NO_IMAGES, None),
        ({}, ["text", "image"], Lack.NO_PRICE_PER_IMAGE, None),
        ({"image": "0"}, ["text", "image"], Lack.NO_PRICE_PER_IMAGE, None),
        ({}, [], Lack.IMAGES_UNKNOWN, None),
        ({"prompt": "0", "completion": "0"}, ["text", "image"], None, "0"),
        ({"prompt": "0", "completion": "0"}, ["text"], Lack.TAKES_NO_IMAGES, None),
        ({"prompt": "0", "completion": "0"}, [], Lack.IMAGES_UNKNOWN, None),
    ],
)
def test_what_has_no_price_is_said_and_not_taken_for_nothing(
    catalog: None, pricing: dict[str, str], modalities: list[str], lack: Lack | None, cost: str | None
) -> None:
    stories.make_model("some/model", now=NOW, pricing=stories.DEVSTRAL_PRICE | pricing, input_modalities=modalities)
    answer = ask(Volume(input_tokens=0, output_tokens=0, images=2), "some/model")
    assert (answer.lack, answer.cost_usd) == (lack, cost and Decimal(cost))
    assert (answer.totals is None) == (lack is not None)


def test_a_prompt_that_does_not_fit_has_no_price(catalog: None) -> None:
    assert ask(Volume(input_tokens=2000 * 7, requests=7)).lack is None
    assert ask(Volume(input_tokens=2000 * 7 + 1, requests=7)).lack == Lack.PROMPT_TOO_LONG
    assert ask(Volume(input_tokens=10**9)).lack is None, "nobody said in how many requests"


def slugs(answers: Iterable[Answer]) -> list[str]:
    return [answer.model.slug for answer in answers]


def test_all_side_by_side_the_cheapest_first_and_what_is_not_sold_left_out(catalog: None) -> None:
    stories.make_model("a/free", now=NOW, pricing={"prompt": "0", "completion": "0"})
    stories.make_model("b/cheap", now=NOW, pricing={"prompt": "0.000000000001", "completion": "0.000000000001"})
    stories.make_model("openrouter/auto", now=NOW, pricing={"prompt": "-1", "completion": "-1"})
    stories.make_model("later/model", now=NOW, since=NOW + timedelta(days=1))
    gone = stories.make_model("gone/model", now=NOW)
    delist(cost_table=gone.cost_table, language_model=gone, effective_from=NOW, origin="test", now=NOW)
    price_book.forget()
    answers = compare(volume=Volume(), buyer=estimates.public_buyer(), at=NOW)
    assert slugs(answers) == ["a/free", "b/cheap", stories.DEVSTRAL, "long/model", "openrouter/auto"]
    assert answers[-1].lack == Lack.VARIES
    assert slugs(compare(volume=Volume(), buyer=estimates.public_buyer(), at=NOW, search="DEVSTRAL mistral")) == [
        stories.DEVSTRAL
    ]
    assert slugs(compare(volume=Volume(), buyer=estimates.public_buyer(), at=NOW, provider="long")) == ["long/model"]
    assert ask(Volume(), "gone/model").lack == ask(Volume(), "later/model").lack == Lack.NOT_SOLD


def test_a_new_name_is_seen_and_prices_are_ones_own(catalog: None) -> None:
    acme = stories.make_company("acme", now=NOW).organization
    set_markup(markup=Decimal(0), effective_from=NOW, now=NOW, organization=acme)
    price_book.forget()
    own = estimates.Buyer(terms=price_book.terms_of(acme), tax_rate=VAT)
    [devstral, _long] = compare(volume=Volume(), buyer=own, at=NOW)
    assert total(devstral) == (60, 6, 66)
    LanguageModel.objects.using("system").filter(slug=stories.DEVSTRAL).update(name="Renamed")
    price_book.forget()
    [devstral, _long] = compare(volume=Volume(), buyer=own, at=NOW)
    assert devstral.model.name == "Renamed"


def test_the_same_volume_costs_the_same_in_every_estimate(catalog: None) -> None:
    counts = {TokenClass.INPUT: 123_457, TokenClass.CACHE_READ: 123_456, TokenClass.OUTPUT: 76_543}
    one = what_if.estimate_counts(model="long/model", counts=counts, buyer=estimates.public_buyer(), at=NOW)
    other = ask(Volume(input_tokens=246_913, output_tokens=76_543, cached_share=Decimal("0.499999")))
    assert (one.totals, one.cost_usd) == (other.totals, other.cost_usd)
