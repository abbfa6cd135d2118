"""What becomes dearer or cheaper, in whatever situation a call is made."""

from decimal import Decimal
from fractions import Fraction

from pricing.cost_changes import CostChange, cost_changes
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenClass

HALF = Fraction(1, 2)


def changes(before: dict[str, object], after: dict[str, object]) -> dict[TokenClass, CostChange]:
    plain = {"prompt": "0.000001", "completion": "0.000004"}
    sheets = [parse_openrouter_pricing(plain | pricing) for pricing in (before, after)]
    assert sheets[0] and sheets[1]
    return {change.token_class: change for change in cost_changes(*sheets)}


def test_the_same_price_in_other_words_is_no_change() -> None:
    assert changes({}, {"prompt": "1e-6"}) == {}
    assert changes({}, {"internal_reasoning": "0.000004", "input_cache_read": "0.000001"}) == {}
    again = {"overrides": [{"min_prompt_tokens": 1000, "prompt": "0.000001"}]}
    assert changes({}, again) == {}


def test_a_change_is_measured_by_what_was_charged_before() -> None:
    found = changes({"prompt": "0.000000435"}, {"prompt": "0.000001416"})[TokenClass.INPUT]
    assert found.share == Fraction(1416, 435) - 1 and found.exceeds(HALF)
    exactly_half = changes({}, {"prompt": "0.0000015"})[TokenClass.INPUT]
    assert exactly_half.share == HALF and not exactly_half.exceeds(HALF)
    assert changes({}, {"prompt": "0.000001500001"})[TokenClass.INPUT].exceeds(HALF)
    assert changes({}, {"prompt": "0.00000049"})[TokenClass.INPUT].exceeds(HALF)


def test_a_class_that_appears_is_compared_with_what_it_was_charged_as() -> None:
    found = changes({}, {"input_cache_read": "0.0000001"})
    assert found.keys() == {TokenClass.CACHE_READ}, "cached audio only follows"
    assert found[TokenClass.CACHE_READ].share == Fraction(-9, 10)
    fee = changes({}, {"request": "0.01"})[TokenClass.REQUESTS]
    assert fee.begins_to_cost and fee.share is None and fee.exceeds(HALF)


def test_a_class_without_a_price_may_get_one_but_not_lose_it() -> None:
    """Searches without a price wait for one: nothing was charged that could change."""
    gets = changes({}, {"web_search": "0.01"})[TokenClass.SEARCHES]
    assert (gets.before, gets.after) == (None, Decimal("0.01")) and not gets.exceeds(HALF)
    loses = changes({"web_search": "0.01"}, {})[TokenClass.SEARCHES]
    assert loses.loses_its_cost and loses.exceeds(HALF)


def test_what_reads_zero_is_told_apart() -> None:
    found = changes({}, {"prompt": "0"})
    assert found.keys() == {TokenClass.INPUT} and found[TokenClass.INPUT].becomes_free


def test_a_class_that_falls_back_on_another_one_than_before_is_told() -> None:
    found = changes({"input_cache_read": "0.0000001"}, {"input_cache_read": "0.0000001", "audio": "0.000003"})
    assert found[TokenClass.AUDIO_INPUT].share == 2
    assert found[TokenClass.AUDIO_CACHE_READ].share == 29, "cached audio was charged as text from the cache"


def test_a_limit_that_moves_changes_the_prompts_in_between() -> None:
    def banded(limit: int) -> dict[str, object]:
        return {"overrides": [{"min_prompt_tokens": limit, "prompt": "0.000002"}]}

    assert changes(banded(200_000), banded(200_000)) == {}
    assert changes(banded(200_000), banded(128_000))[TokenClass.INPUT].share == 1
    assert changes(banded(128_000), banded(200_000))[TokenClass.INPUT].share == Fraction(-1, 2)


def test_hours_and_weekdays_are_looked_at() -> None:
    night = {"utc_start": 2200, "utc_end": 200, "prompt": "0.0000001"}
    assert changes({}, {"overrides": [night]})[TokenClass.INPUT].share == Fraction(-9, 10)
    fridays = {"overrides": [night | {"utc_days": ["friday"]}]}
    sundays = {"overrides": [night | {"utc_days": ["sunday"]}]}
    assert changes(fridays, sundays)[TokenClass.INPUT].share == 9
    assert changes(fridays, fridays) == {}


def test_of_a_class_the_greatest_change_is_told() -> None:
    found = changes({}, {"prompt": "0.0000011", "overrides": [{"min_prompt_tokens": 9, "prompt": "0.000003"}]})
    assert found[TokenClass.INPUT].share == 2
