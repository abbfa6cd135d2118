"""Our sums against an independent calculator: `genai-prices`, over every model that it knows of OpenRouter, and random usage.

Its prices take our way in (`pricing.openrouter_pricing`), its calculator adds up by itself. Both round a unit price to 12
decimals first; from there on every sum must be the same to the last digit, or have its reason in `EXPLAINED`.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from genai_prices import Usage
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Tier, TieredPrices

from catalog.seed.packaged_prices import KEYS, every_model, openrouter_pricing
from pricing.bands import IncompletePrice, PriceSheet
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.rating import COST_DECIMALS, MissingUnitPrice, rate
from pricing.tokens import TokenClass, TokenUsage

AT = datetime(2026, 11, 15, tzinfo=UTC)
USAGES_A_PRICE = 25

EXPLAINED = {
    "no price at all": "Their sum is 0. We do not list the model, unless its id says `:free`: what is unknown is never 0.",
    "no input or no output price": "Embedding and ranking models. Their sum charges what is priced; we refuse what lacks one.",
    "a search without a price": "Their sum leaves the search out. Ours refuses, and the event waits for a price.",
}
"""Every difference there is, as catalog/README.md states them too."""


def prices_of(info: ModelInfo) -> list[ModelPrice]:
    conditional = info.prices if isinstance(info.prices, list) else [ConditionalPrice(prices=info.prices)]
    return [price.prices for price in conditional]


def quantized(price: ModelPrice) -> ModelPrice:
    """Their prices (per million, per thousand) with the decimals that ours have per unit."""

    def at_step(value: Decimal, power: int) -> Decimal:
        return value.quantize(Decimal(1).scaleb(-COST_DECIMALS - power), rounding=ROUND_HALF_EVEN)

    values: dict[str, Decimal | TieredPrices | None] = {}
    for key, value in vars(price).items():
        power = KEYS[key][1]
        if isinstance(value, TieredPrices):
            tiers = [Tier(tier.start, at_step(tier.price, power)) for tier in value.tiers]
            values[key] = TieredPrices(at_step(value.base, power), tiers)
        elif value is not None:
            values[key] = at_step(value, power)
    return ModelPrice(**values)


def thresholds(sheet: PriceSheet) -> list[int]:
    return [override.min_prompt_tokens or 0 for override in sheet.overrides] or [128_000]


def usages(sheet: PriceSheet, dice: random.Random) -> Iterator[TokenUsage]:
    """Random ones, and one on each side of every long-context threshold."""
    for number in range(USAGES_A_PRICE):
        prompt = dice.choice(thresholds(sheet)) + number if number < 2 else dice.randrange(1, 1_000_000)
        cached, written, output = dice.randrange(prompt), dice.randrange(5_000), dice.randrange(1, 100_000)
        written = min(written, prompt - cached)
        yield TokenUsage(
            input_tokens=prompt - cached - written,
            cache_read_tokens=cached,
            cache_write_tokens=written,
            output_tokens=output,
            reasoning_tokens=dice.randrange(output),
            searches=dice.randrange(4) if TokenClass.SEARCHES in sheet.base else None,
        )


def their_sum(price: ModelPrice, usage: TokenUsage) -> Decimal:
    counts = Usage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        web_searches=usage.searches or 0,
    )
    return price.calc_price(counts)["total_price"]


def our_sum(sheet: PriceSheet, usage: TokenUsage) -> Decimal:
    return rate(usage, sheet.band(usage.prompt_tokens, AT).unit_costs)


def test_every_sum_is_the_same_to_the_last_digit_or_its_difference_is_explained() -> None:
    dice = random.Random(20261122)
    equal, different = 0, set()
    for info in every_model():
        for price in prices_of(info):
            pricing = openrouter_pricing(price)
            try:
                sheet = parse_openrouter_pricing(pricing)
            except IncompletePrice:
                different.add("no price at all" if not pricing else "no input or no output price")
                assert not pricing or "completion" not in pricing or "prompt" not in pricing
                continue
            assert sheet is not None
            theirs = quantized(price)
            for usage in usages(sheet, dice):
                assert our_sum(sheet, usage) == their_sum(theirs, usage), (info.id, usage)
                equal += 1
    assert equal > 20_000
    assert different | {"a search without a price"} == EXPLAINED.keys()


def test_a_search_without_a_price_is_left_out_by_them_and_refused_by_us() -> None:
    price = ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(2))
    sheet = parse_openrouter_pricing(openrouter_pricing(price))
    assert sheet is not None
    searched = TokenUsage(input_tokens=1_000, output_tokens=1_000, searches=2)
    assert their_sum(price, searched) == Decimal("0.003")
    with pytest.raises(MissingUnitPrice, match="searches"):
        our_sum(sheet, searched)
