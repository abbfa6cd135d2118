"""Charts: geometry that fits its frame, a table that says the same, and nothing that a strict CSP would block."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.template import Context, Template
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from dashboard import charts
from dashboard.charts import Point
from dashboard.step_charts import WIDTH, Axis, Step, largest_of, step_path, strips

AMOUNTS = st.decimals(min_value=0, max_value=10**12, places=6)


def render(source: str, **context: object) -> str:
    with translation.override("en"):
        return Template("{% load charts %}" + source).render(Context(context))


@given(AMOUNTS.filter(lambda amount: amount > 0))
def test_the_axis_reaches_the_largest_value_without_waste(largest: Decimal) -> None:
    top = charts.top_of(largest)
    assert largest <= top <= largest * 2
    assert len(charts.ticks(top, str)) == charts.INTERVALS + 1


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=40))
def test_stacked_bars_stay_inside_the_frame(values: list[tuple[Decimal, Decimal]]) -> None:
    points = [Point(str(at), pair) for at, pair in enumerate(values)]
    top = charts.top_of(max(sum(pair, Decimal()) for pair in values))
    for slot in charts.bar_slots(points, series=("a", "b"), top=top, write=str):
        for _, x, y, width, height in slot.bars:
            assert int(slot.x) <= int(x) and int(x) + int(width) <= int(slot.x) + charts.SLOT
            assert int(height) > 0
            assert int(y) >= -8 and int(y) + int(height) <= charts.HEIGHT


@pytest.mark.parametrize("count", [1, 3, 7, 8, 24, 31, 90])
def test_few_labels_are_shown_and_the_last_one_always(count: int) -> None:
    shown = charts.shown_labels([Point(str(at), (1,)) for at in range(count)])
    assert shown[-1] == str(count - 1)
    assert 1 <= sum(map(bool, shown)) <= charts.LABELS_SHOWN


def test_a_bar_chart_has_tips_a_summary_and_a_table() -> None:
    days = [Point("11.01", (Decimal(3000), Decimal(1000)), "2026.11.01"), Point("11.02", (Decimal(0), Decimal("0.4")))]
    html = render('{% bar_chart days title="Spend" series=names %}', days=days, names=["<b>One</b>", "Two"])
    assert "total: ₩4,000; highest: 2026.11.01, ₩4,000" in html
    assert "<title>2026.11.01  ₩4,000\n&lt;b&gt;One&lt;/b&gt; ₩3,000\nTwo ₩1,000</title>" in html
    assert re.search(r'<th scope="row">11.02</th><td class="number">₩0</td><td class="number">₩0.4</td>', html)


def test_an_area_chart_dashes_what_is_expected_and_draws_the_limit() -> None:
    days = [Point("1", (10,)), Point("2", (20,)), Point("3", (30,), expected=True)]
    html = render('{% area_chart days title="Tokens" unit="tokens" limit=limit %}', days=days, limit=Decimal(40))
    assert 'class="chart-line" d="M50 750L150 500"' in html
    assert 'class="chart-line chart-line-expected" d="M150 500L250 250"' in html
    assert 'class="chart-limit"' in html and "Limit 40" in html


@pytest.mark.parametrize("tag", ["bar_chart", "area_chart"])
def test_no_data_is_no_error_and_no_style_is_inline(tag: str) -> None:
    for rows in ([], [("1", 5)], [("1", 0), ("2", 0)]):
        html = render(f'{{% {tag} rows title="Requests" unit="count" %}}', rows=rows)
        assert "style=" not in html and "<style" not in html
        assert "<figure" in html


def test_a_step_chart_breaks_off_where_nothing_held() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    steps = [
        Step(start, (Decimal(4), Decimal(8)), "January"),
        Step(start + timedelta(days=25), (None, Decimal(8)), "off the list"),
        Step(start + timedelta(days=50), (Decimal(2), Decimal(8)), "later"),
    ]
    source = '{% step_chart steps end title="Price" series=names currency="KRW" table="prices" %}'
    html = render(source, steps=steps, end=start + timedelta(days=100), names=["Input", "Output"])
    assert 'class="chart-line line-1" d="M0 500H600M1200 750H2400"' in html
    assert 'class="chart-line line-2" d="M0 0H600V0H1200V0H2400"' in html
    assert "<title>off the list\nInput –\nOutput ₩8</title>" in html
    assert 'aria-label="Price: 2 changes; now: Input ₩2, Output ₩8" aria-describedby="prices"' in html
    assert "style=" not in html


@given(st.lists(st.tuples(st.integers(1, 10**9), AMOUNTS), min_size=1, max_size=40, unique_by=lambda pair: pair[0]))
def test_steps_stay_inside_the_frame(held: list[tuple[int, Decimal]]) -> None:
    epoch = datetime(2026, 1, 1, tzinfo=UTC)
    steps = [Step(epoch + timedelta(seconds=at), (value,), "") for at, value in sorted(held)]
    axis = Axis(steps, epoch + timedelta(seconds=10**9 + 1))
    top = charts.top_of(largest_of(steps))
    numbers = [int(number) for number in re.findall(r"[0-9]+", step_path(steps, 0, axis=axis, top=top))]
    assert all(0 <= number <= max(WIDTH, charts.HEIGHT) for number in numbers)
    for strip in strips(steps, axis=axis, series=("a",), write=str):
        assert int(strip.x) >= 0 and int(strip.x) + int(strip.width) <= WIDTH + 1
