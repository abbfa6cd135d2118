"""Strategies for the values that most tests of pricing draw: `st.from_type(TokenUsage)`, `st.from_type(PriceSheet)`."""

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st

from pricing.bands import Override, PriceSheet
from pricing.tokens import FIELD_OF, TokenClass, TokenUsage

# The machines that run these are shared and slow at times; how long an example takes is not what is tested.
settings.register_profile("pricing", deadline=None)
settings.load_profile("pricing")

unit_costs = st.integers(0, 10**12).map(lambda trillionths: Decimal(trillionths).scaleb(-12))


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    sign = draw(st.sampled_from([1, 1, -1]))
    counts = {field: draw(st.none() | st.integers(0, 10**7)) for field in FIELD_OF.values() if field != "requests"}
    counts["reasoning_tokens"] = draw(st.none() | st.integers(0, counts["output_tokens"] or 0))
    signed = {field: None if count is None else sign * count for field, count in counts.items()}
    return TokenUsage(requests=sign * draw(st.integers(0, 10)), **signed)


@st.composite
def overrides(draw: st.DrawFn) -> Override:
    window = draw(st.none() | st.tuples(st.integers(0, 1440), st.integers(0, 1440)))
    return Override(
        min_prompt_tokens=draw(st.none() | st.integers(0, 1_000_000)),
        utc_start=window and window[0],
        utc_end=window and window[1],
        utc_days=draw(st.none() | st.frozensets(st.integers(1, 7))),
        unit_costs=draw(st.dictionaries(st.sampled_from(TokenClass), unit_costs, max_size=4)),
    )


@st.composite
def price_sheets(draw: st.DrawFn) -> PriceSheet:
    base = draw(st.dictionaries(st.sampled_from(TokenClass), unit_costs))
    for required in (TokenClass.INPUT, TokenClass.OUTPUT):
        base[required] = draw(unit_costs)
    return PriceSheet(base, tuple(draw(st.lists(overrides(), max_size=4))))


st.register_type_strategy(TokenUsage, usages())
st.register_type_strategy(Override, overrides())
st.register_type_strategy(PriceSheet, price_sheets())
