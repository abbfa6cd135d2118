import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.bands import IncompletePrice, Override, PriceSheet
from pricing.openrouter_pricing import CLASS_OF_KEY, InvalidPrice, parse_openrouter_pricing
from pricing.tokens import TokenClass

PLAIN = {"prompt": "0.00000004", "completion": "0.00000012"}


def parse(**more: object) -> PriceSheet:
    sheet = parse_openrouter_pricing({**PLAIN, **more})
    assert sheet is not None
    return sheet


def test_every_class_has_one_key() -> None:
    assert sorted(CLASS_OF_KEY.values()) == sorted(TokenClass)


def test_a_plain_price() -> None:
    assert parse() == PriceSheet({TokenClass.INPUT: Decimal("4E-8"), TokenClass.OUTPUT: Decimal("1.2E-7")})


def test_every_key_is_read() -> None:
    prices = {key: f"0.00000000{place:02}" for place, key in enumerate(CLASS_OF_KEY, start=1)}
    sheet = parse_openrouter_pricing(prices)
    assert sheet is not None
    assert sheet.base == {CLASS_OF_KEY[key]: Decimal(price) for key, price in prices.items()}


def test_unknown_and_null_keys_are_left_out() -> None:
    assert parse(video="0.5", image=None, overrides=None, discount=None) == parse()


def test_a_zero_is_a_price_except_for_reasoning_which_is_then_charged_as_output() -> None:
    sheet = parse(internal_reasoning="0", input_cache_read="0", image="0")
    assert sheet.base[TokenClass.CACHE_READ] == 0
    assert TokenClass.REASONING not in sheet.base
    assert sheet.band(1, datetime(2026, 1, 1, tzinfo=UTC)).unit_costs[TokenClass.REASONING] == Decimal("1.2E-7")


@pytest.mark.parametrize("routed", [{"prompt": "-1", "completion": "-1"}, {"prompt": "-1.0"}, {"completion": "-1e0"}])
def test_a_router_has_no_price_of_its_own(routed: dict[str, str]) -> None:
    assert parse_openrouter_pricing({**PLAIN, "request": "-1", **routed}) is None


class TestDiscount:
    @pytest.mark.parametrize("discount", ["0.25", 0.25, Decimal("0.25"), json.loads("0.25")])
    def test_a_fraction_comes_off_every_price(self, discount: object) -> None:
        sheet = parse(discount=discount, web_search="0.01", overrides=[{"min_prompt_tokens": 9, "prompt": "0.0000001"}])
        assert sheet.base[TokenClass.INPUT] == Decimal("3E-8")
        assert sheet.base[TokenClass.OUTPUT] == Decimal("9E-8")
        assert sheet.base[TokenClass.SEARCHES] == Decimal("0.0075")
        assert sheet.overrides[0].unit_costs == {TokenClass.INPUT: Decimal("7.5E-8")}

    def test_a_float_discount_keeps_the_digits_that_were_sent(self) -> None:
        assert parse(discount=json.loads("0.1")).base[TokenClass.INPUT] == Decimal("3.6E-8")

    @pytest.mark.parametrize(("discount", "cost"), [(0, "4E-8"), (1, "0"), ("1", "0")])
    def test_from_nothing_to_everything(self, discount: object, cost: str) -> None:
        assert parse(discount=discount).base[TokenClass.INPUT] == Decimal(cost)

    @pytest.mark.parametrize("discount", ["-0.1", "1.1", 2, "NaN", float("nan"), float("inf"), "", True, [0.1]])
    def test_anything_else_is_refused(self, discount: object) -> None:
        with pytest.raises(InvalidPrice, match=r"^discount: "):
            parse(discount=discount)


class TestRounding:
    @pytest.mark.parametrize(
        ("price", "cost"),
        [
            ("0.0000000000005", None),
            ("0.0000000000015", "2E-12"),
            ("0.0000000000025", "2E-12"),
            ("0.0000000000025000001", "3E-12"),
            ("0.0000004350000", "4.35E-7"),
        ],
    )
    def test_half_even_to_twelve_decimals_and_never_to_nothing(self, price: str, cost: str | None) -> None:
        if cost is None:
            with pytest.raises(InvalidPrice, match=r"^prompt: .* rounded to nothing"):
                parse(prompt=price)
        else:
            assert parse(prompt=price).base[TokenClass.INPUT] == Decimal(cost)

    def test_a_price_is_rounded_after_its_discount(self) -> None:
        assert parse(prompt="0.000000000005", discount="0.5").base[TokenClass.INPUT] == Decimal("2E-12")

    @given(st.integers(0, 10**6), st.sampled_from(["0", "0.1", "0.333", "0.95"]))
    def test_a_rounded_price_is_at_most_half_a_step_off(self, trillionths: int, discount: str) -> None:
        gross = Decimal(trillionths).scaleb(-8)
        cost = parse(prompt=str(gross), discount=discount).base[TokenClass.INPUT]
        assert abs(cost - gross * (1 - Decimal(discount))) <= Decimal("5E-13")


@pytest.mark.parametrize("key", CLASS_OF_KEY)
@pytest.mark.parametrize(
    "price",
    [
        "NaN",
        "Infinity",
        "-inf",
        "-0.1",
        "-0",
        "-2",
        "",
        "free",
        "1e999",
        "1000000.1",
        "1e50",
        0,
        0.1,
        Decimal(1),
        True,
        [],
    ],
)
def test_a_price_that_cannot_be_believed_is_refused(key: str, price: object) -> None:
    with pytest.raises(InvalidPrice) as refused:
        parse(**{key: price})
    assert refused.value.key == key
    with pytest.raises(InvalidPrice):
        parse(overrides=[{"min_prompt_tokens": 1, key: price}])


def test_minus_one_beside_a_price_is_negative() -> None:
    with pytest.raises(InvalidPrice, match=r"^image: -1 is negative"):
        parse(image="-1")


@pytest.mark.parametrize("missing", ["prompt", "completion"])
def test_prompt_and_completion_are_required(missing: str) -> None:
    with pytest.raises(IncompletePrice):
        parse(**{missing: None})


class TestOverrides:
    def test_conditions_are_read(self) -> None:
        sheet = parse(
            overrides=[
                {"min_prompt_tokens": 200000, "prompt": "0.0000001", "input_cache_read": "0.00000001"},
                {"utc_start": 1630, "utc_end": 30, "completion": "0.00000003"},
                {"utc_days": ["saturday", "sunday"], "utc_start": 0, "utc_end": 2400, "prompt": "0"},
            ]
        )
        assert sheet.overrides == (
            Override(
                min_prompt_tokens=200_000,
                unit_costs={TokenClass.INPUT: Decimal("1E-7"), TokenClass.CACHE_READ: Decimal("1E-8")},
            ),
            Override(utc_start=990, utc_end=30, unit_costs={TokenClass.OUTPUT: Decimal("3E-8")}),
            Override(utc_start=0, utc_end=1440, utc_days=frozenset({6, 7}), unit_costs={TokenClass.INPUT: Decimal(0)}),
        )

    @pytest.mark.parametrize("number", [200000, 200000.0, Decimal("2E5"), "200000"])
    def test_a_number_however_json_wrote_it(self, number: object) -> None:
        assert parse(overrides=[{"min_prompt_tokens": number}]).overrides[0].min_prompt_tokens == 200_000

    @pytest.mark.parametrize(
        "unknown",
        [{"region": "eu"}, {"min_completion_tokens": 5}, {"utc_days": ["monday", "holiday"]}, {"utc_days": [1]}],
    )
    def test_an_override_with_an_unknown_condition_is_skipped(self, unknown: dict[str, object]) -> None:
        known = {"min_prompt_tokens": 5, "prompt": "0.0000001"}
        assert parse(overrides=[{**known, **unknown}, known]) == parse(overrides=[known])

    def test_a_null_condition_is_no_condition_and_no_day_is_never(self) -> None:
        always, never = parse(overrides=({"utc_days": None, "region": None}, {"utc_days": []})).overrides
        assert always.utc_days is None
        assert never.utc_days == frozenset()

    @pytest.mark.parametrize(
        "entry",
        [
            {"utc_start": 2401, "utc_end": 0},
            {"utc_start": 60, "utc_end": 100},
            {"utc_start": -100, "utc_end": 100},
            {"utc_start": 100},
            {"utc_end": 100},
            {"utc_days": "monday"},
            {"min_prompt_tokens": 1.5},
            {"min_prompt_tokens": "many"},
            {"min_prompt_tokens": True},
            {"min_prompt_tokens": [1]},
            "prompt",
        ],
    )
    def test_a_condition_that_makes_no_sense_is_refused(self, entry: object) -> None:
        with pytest.raises(InvalidPrice):
            parse(overrides=[entry])

    def test_overrides_are_a_list(self) -> None:
        with pytest.raises(InvalidPrice, match=r"^overrides: is not a list"):
            parse(overrides={"prompt": "0"})
