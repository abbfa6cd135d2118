from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.bands import PriceSheet
from pricing.exact import exact_product
from pricing.rating import AmountTooLarge, MissingUnitPrice, rate, unit_prices
from pricing.tokens import TokenClass, TokenUsage
from pricing.worst_case import worst_case_amount

PRICES = dict.fromkeys(TokenClass, Decimal(0)) | {
    TokenClass.INPUT: Decimal("0.001"),
    TokenClass.CACHE_WRITE_1H: Decimal("0.002"),
    TokenClass.OUTPUT: Decimal("0.01"),
    TokenClass.AUDIO_OUTPUT: Decimal("0.02"),
    TokenClass.IMAGES: Decimal(3),
    TokenClass.SEARCHES: Decimal(4),
    TokenClass.REQUESTS: Decimal(5),
}


def worst(**arguments: Any) -> Decimal:
    return worst_case_amount(
        **{
            "prompt_bytes": 0,
            "max_output_tokens": 0,
            "highest_unit_prices": PRICES,
            "tax_rate": Decimal(0),
            **arguments,
        }
    )


def test_each_part_at_its_dearest() -> None:
    assert worst() == 5
    assert worst(prompt_bytes=1_000) == 7
    assert worst(prompt_bytes=500, media_tokens=500) == 7
    assert worst(max_output_tokens=1_000) == 25
    assert worst(images=2) == 11
    assert worst(searches=2) == 13
    assert worst(prompt_bytes=1_000, max_output_tokens=1_000, tax_rate=Decimal("0.10")) == Decimal("29.7")


def test_tax_that_makes_more_than_twenty_decimals_is_rounded_up() -> None:
    prices = PRICES | {TokenClass.REQUESTS: Decimal("0.00000000000000010001")}
    assert worst(highest_unit_prices=prices, tax_rate=Decimal("0.1")) == Decimal("0.00000000000000011002")


@pytest.mark.parametrize(
    "name", ["prompt_bytes", "max_output_tokens", "media_tokens", "images", "searches", "tax_rate"]
)
def test_nothing_is_negative(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} -1 is negative"):
        worst(**{name: Decimal(-1) if name == "tax_rate" else -1})


@pytest.mark.parametrize("token_class", list(TokenClass))
def test_a_class_without_a_price_is_not_free(token_class: TokenClass) -> None:
    with pytest.raises(MissingUnitPrice, match=token_class):
        worst(searches=1, highest_unit_prices={name: price for name, price in PRICES.items() if name != token_class})


def test_who_does_not_search_needs_no_price_for_it() -> None:
    assert worst(highest_unit_prices={name: price for name, price in PRICES.items() if name != "searches"}) == 5


def test_it_fits_its_column() -> None:
    with pytest.raises(AmountTooLarge):
        worst(highest_unit_prices=PRICES | {TokenClass.REQUESTS: Decimal("1e18")})


def forwards(usage: TokenUsage) -> TokenUsage:
    """What was used: a reversal turned round."""
    is_reversal = any((getattr(usage, field) or 0) < 0 for field in TokenUsage.__slots__)
    return usage.negated() if is_reversal else usage


@given(
    sheet=st.from_type(PriceSheet),
    usage=st.from_type(TokenUsage).map(forwards),
    at=st.datetimes(timezones=st.just(UTC)),
    markup=st.decimals(min_value=-1, max_value=3, places=4),
    media_share=st.floats(0, 1),
)
def test_no_call_within_its_bounds_costs_more(
    sheet: PriceSheet, usage: TokenUsage, at: datetime, markup: Decimal, media_share: float
) -> None:
    rates = {"markup": markup, "exchange_rate": Decimal("1393.5")}
    media_tokens = int(usage.prompt_tokens * media_share)
    tax_rate = Decimal("0.1")
    searches = usage.searches if TokenClass.SEARCHES in sheet.base else None
    usage = TokenUsage(
        **{field: getattr(usage, field) for field in TokenUsage.__slots__ if field not in ("requests", "searches")},
        searches=searches,
        requests=min(abs(usage.requests), 1) if usage.total_tokens or usage.images or searches else 1,
    )
    held = worst_case_amount(
        prompt_bytes=usage.prompt_tokens - media_tokens,
        media_tokens=media_tokens,
        max_output_tokens=usage.completion_tokens,
        images=usage.images or 0,
        searches=usage.searches or 0,
        highest_unit_prices=unit_prices(sheet.highest_unit_costs(), **rates),
        tax_rate=tax_rate,
    )
    charged = rate(usage, unit_prices(sheet.band(usage.prompt_tokens, at).unit_costs, **rates))
    assert held >= exact_product(charged, 1 + tax_rate)
