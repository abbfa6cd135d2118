from datetime import UTC, datetime
from decimal import Decimal, localcontext
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.bands import Override, PriceSheet
from pricing.exact import decimal_places, exact_sum
from pricing.rating import (
    AmountTooLarge,
    InexactPrice,
    MissingUnitPrice,
    NegativePrice,
    RatedLine,
    explain,
    rate,
    unit_price,
    unit_prices,
)
from pricing.tokens import TokenClass, TokenUsage

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
markups = st.decimals(min_value=-1, max_value=10, places=4)
exchange_rates = st.decimals(min_value="0.0001", max_value=99_999, places=4)
# Drawn as wide as their columns and for every class, so that the amounts use the digits they may.
price_lists = st.fixed_dictionaries(
    {token_class: st.integers(0, 10**24).map(lambda units: Decimal(units).scaleb(-20)) for token_class in TokenClass}
)


class TestUnitPrice:
    @pytest.mark.parametrize(
        ("cost", "markup", "exchange_rate", "price"),
        [
            ("0.00000004", "0.30", "1393.50", "0.000072462"),
            ("0.00000012", "0", "1", "0.00000012"),
            ("0.000000000001", "0.0001", "0.0001", "0.00000000000000010001"),
            ("0.000003", "-0.1", "1400", "0.00378"),
            ("0", "0.3", "1393.5", "0"),
            ("0.01", "-1", "1393.5", "0"),
        ],
    )
    def test_golden(self, cost: str, markup: str, exchange_rate: str, price: str) -> None:
        assert unit_price(Decimal(cost), Decimal(markup), Decimal(exchange_rate)) == Decimal(price)

    @pytest.mark.parametrize(
        ("cost", "markup", "exchange_rate", "named"),
        [
            ("1E-13", "0", "1", "cost"),
            ("1", "0.00001", "1", "markup"),
            ("1", "0", "1.00001", "exchange rate"),
            ("NaN", "0", "1", "cost"),
            ("sNaN", "0", "1", "cost"),
            ("1", "Infinity", "1", "markup"),
            ("1", "0", "-Infinity", "exchange rate"),
        ],
    )
    def test_a_factor_with_too_many_decimals_is_refused(
        self, cost: str, markup: str, exchange_rate: str, named: str
    ) -> None:
        with pytest.raises(InexactPrice, match=f"^{named} "):
            unit_price(Decimal(cost), Decimal(markup), Decimal(exchange_rate))

    def test_trailing_zeros_are_no_decimals(self) -> None:
        assert unit_price(Decimal("1.00000000000000"), Decimal("0.300000"), Decimal("1393.500000")) == Decimal(
            "1811.55"
        )

    @pytest.mark.parametrize(
        ("cost", "markup", "exchange_rate"), [("-1", "0", "1"), ("1", "-1.01", "1"), ("1", "0", "0")]
    )
    def test_a_price_never_pays_the_customer(self, cost: str, markup: str, exchange_rate: str) -> None:
        with pytest.raises(NegativePrice):
            unit_price(Decimal(cost), Decimal(markup), Decimal(exchange_rate))

    def test_a_price_fits_its_column(self) -> None:
        with pytest.raises(AmountTooLarge):
            unit_price(Decimal("1e18"), Decimal(0), Decimal(1))

    @given(st.integers(0, 10**15), markups, exchange_rates)
    def test_it_is_exact_and_has_at_most_twenty_decimals(
        self, trillionths: int, markup: Decimal, exchange_rate: Decimal
    ) -> None:
        cost = Decimal(trillionths).scaleb(-12)
        with localcontext(prec=6):
            price = unit_price(cost, markup, exchange_rate)
        assert decimal_places(price) <= 20
        with localcontext(prec=100):
            assert price == cost * (1 + markup) * exchange_rate

    def test_a_list_of_costs(self) -> None:
        costs = {TokenClass.INPUT: Decimal("0.00000004"), TokenClass.OUTPUT: Decimal("0.00000012")}
        assert unit_prices(costs, markup=Decimal("0.3"), exchange_rate=Decimal("1393.5")) == {
            TokenClass.INPUT: Decimal("0.000072462"),
            TokenClass.OUTPUT: Decimal("0.000217386"),
        }


class TestRate:
    sheet = PriceSheet(
        base={
            TokenClass.INPUT: Decimal("0.000003"),
            TokenClass.OUTPUT: Decimal("0.000015"),
            TokenClass.CACHE_READ: Decimal("0.0000003"),
            TokenClass.CACHE_WRITE: Decimal("0.00000375"),
        },
        overrides=(
            Override(
                min_prompt_tokens=200_000,
                unit_costs={TokenClass.INPUT: Decimal("0.000006"), TokenClass.OUTPUT: Decimal("0.0000225")},
            ),
        ),
    )

    def rated(self, usage: TokenUsage, markup: str = "0.30", exchange_rate: str = "1393.50") -> Decimal:
        costs = self.sheet.band(usage.prompt_tokens, NOON).unit_costs
        return rate(usage, unit_prices(costs, markup=Decimal(markup), exchange_rate=Decimal(exchange_rate)))

    def test_a_call_with_a_cached_prompt(self) -> None:
        usage = TokenUsage(
            input_tokens=1_000,
            cache_read_tokens=20_000,
            cache_write_tokens=500,
            output_tokens=800,
            reasoning_tokens=300,
        )
        # 0.003 + 0.006 + 0.001875 + 0.012 = $0.022875; reasoning costs what output does
        assert self.rated(usage) == Decimal("0.022875") * Decimal("1.3") * Decimal("1393.5") == Decimal("41.439206250")

    def test_the_cache_counts_towards_the_band_and_the_band_prices_the_whole_call(self) -> None:
        short = TokenUsage(input_tokens=100_000, cache_read_tokens=100_000, output_tokens=1_000)
        long = TokenUsage(input_tokens=100_000, cache_read_tokens=100_001, output_tokens=1_000)
        assert self.rated(short, "0", "1") == Decimal("0.3") + Decimal("0.03") + Decimal("0.015")
        assert self.rated(long, "0", "1") == Decimal("0.6") + Decimal("0.0300003") + Decimal("0.0225")

    def test_nothing_used_costs_nothing(self) -> None:
        assert rate(TokenUsage(requests=0), {}) == 0

    def test_a_used_class_without_a_price_is_never_free(self) -> None:
        prices = {TokenClass.INPUT: Decimal(1), TokenClass.REQUESTS: Decimal(0)}
        assert rate(TokenUsage(input_tokens=2, output_tokens=0), prices) == 2
        with pytest.raises(MissingUnitPrice, match="output") as missing:
            rate(TokenUsage(input_tokens=2, output_tokens=1), prices)
        assert missing.value.token_class is TokenClass.OUTPUT
        with pytest.raises(MissingUnitPrice):
            explain(TokenUsage(output_tokens=1), prices)

    @pytest.mark.parametrize("price", ["999999999999999999", "1E-21", "NaN", "Infinity"])
    def test_an_amount_fits_its_column(self, price: str) -> None:
        usage = TokenUsage(input_tokens=2, requests=0)
        for rating in (rate, explain):
            with pytest.raises(AmountTooLarge):
                rating(usage, {TokenClass.INPUT: Decimal(price)})

    def test_the_widest_amount(self) -> None:
        widest = Decimal("999999999999999999.99999999999999999999")
        assert rate(TokenUsage(), {TokenClass.REQUESTS: widest}) == widest

    def test_a_float_price_is_refused(self) -> None:
        with pytest.raises(TypeError):
            rate(TokenUsage(), {TokenClass.REQUESTS: 0.1})  # type: ignore[dict-item]

    @given(st.from_type(TokenUsage), price_lists)
    def test_the_explanation_adds_up(self, usage: TokenUsage, prices: dict[TokenClass, Decimal]) -> None:
        lines = explain(usage, prices)
        assert exact_sum(line.amount for line in lines) == rate(usage, prices)
        assert [(line.token_class, line.quantity) for line in lines] == list(usage.billable_quantities())
        with localcontext(prec=100):
            assert all(line.amount == line.quantity * line.unit_price for line in lines)

    def test_an_explanation(self) -> None:
        prices = {TokenClass.INPUT: Decimal("0.5"), TokenClass.REQUESTS: Decimal(0)}
        assert explain(TokenUsage(input_tokens=3), prices) == (
            RatedLine(TokenClass.INPUT, 3, Decimal("0.5"), Decimal("1.5")),
            RatedLine(TokenClass.REQUESTS, 1, Decimal(0), Decimal(0)),
        )
        assert str(explain(TokenUsage(requests=-1), prices)[0].amount) == "0"

    @given(st.from_type(TokenUsage), price_lists)
    def test_a_reversal_takes_back_exactly(self, usage: TokenUsage, prices: dict[TokenClass, Decimal]) -> None:
        assert exact_sum([rate(usage, prices), rate(usage.negated(), prices)]) == 0

    @given(st.lists(st.from_type(TokenUsage), max_size=5), price_lists, st.randoms())
    def test_events_add_up_in_any_order(
        self, usages: list[TokenUsage], prices: dict[TokenClass, Decimal], random: Random
    ) -> None:
        amounts = [rate(usage, prices) for usage in usages]
        quantities: dict[TokenClass, int] = {}
        for usage in usages:
            for token_class, quantity in usage.billable_quantities():
                quantities[token_class] = quantities.get(token_class, 0) + quantity
        random.shuffle(amounts)
        with localcontext(prec=100):
            assert exact_sum(amounts) == sum(quantity * prices[name] for name, quantity in quantities.items())

    def test_one_event_of_half_a_million_tokens_costs_as_much_as_half_a_million_of_one(self) -> None:
        prices = {TokenClass.INPUT: Decimal("0.00000000000000010001"), TokenClass.REQUESTS: Decimal(0)}
        one_by_one = exact_sum([rate(TokenUsage(input_tokens=1), prices)] * 500_000)
        assert one_by_one == rate(TokenUsage(input_tokens=500_000), prices) == Decimal("0.000000000050005")

    @given(st.integers(1, 2_147_483_647), st.integers(0, 10**26).map(lambda units: Decimal(units).scaleb(-20)))
    def test_many_small_or_one_large(self, tokens: int, price: Decimal) -> None:
        small, large = TokenUsage(output_tokens=1, requests=0), TokenUsage(output_tokens=tokens, requests=0)
        with localcontext(prec=100):
            assert rate(small, {TokenClass.OUTPUT: price}) * tokens == rate(large, {TokenClass.OUTPUT: price})
