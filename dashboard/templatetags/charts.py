"""Charts as inline SVG with a table beside them. `{% bar_chart days title=_("Spend by day") unit="money" %}`"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django import template
from django.utils import timezone
from django.utils.translation import get_language, gettext

from dashboard import charts, step_charts
from dashboard.templatetags import figures

register = template.Library()


def writer(unit: str, currency: str) -> Callable[[Decimal], str]:
    """How an amount of `unit` ("money", "tokens", "count") is written in tips and in the table."""
    return partial(figures.money, currency=currency) if unit == "money" else lambda value: figures.tokens(int(value))


def axis_writer(unit: str, currency: str) -> Callable[[Decimal], str]:
    """Ticks have little room: tokens in their short form."""
    return writer(unit, currency) if unit == "money" else lambda value: figures.tokens_compact(int(value))


def summary(points: Sequence[charts.Point], write: Callable[[Decimal], str], *, cumulative: bool) -> str:
    """What a reader who does not see the chart is told first."""
    if not points:
        return gettext("No data")
    sums = [sum(map(Decimal, point.values), Decimal()) for point in points]
    peak = max(range(len(sums)), key=sums.__getitem__)
    return gettext("total: %(total)s; highest: %(name)s, %(peak)s") % {
        "total": write(sums[-1] if cumulative else sum(sums, Decimal())),
        "name": points[peak].name or points[peak].label,
        "peak": write(sums[peak]),
    }


def frame(points: Sequence[charts.Point], top: Decimal, unit: str, currency: str) -> dict[str, Any]:
    return {
        "width": str(max(len(points), 1) * charts.SLOT),
        "height": str(charts.HEIGHT),
        "grid": [str(charts.HEIGHT * part // charts.INTERVALS) for part in range(charts.INTERVALS)],
        "ticks": charts.ticks(top, axis_writer(unit, currency)),
    }


@register.inclusion_tag("components/bar_chart.html")
def bar_chart(
    rows: Sequence[charts.Point | tuple[str, Decimal | int]],
    title: str,
    unit: str = "money",
    currency: str = "KRW",
    series: Sequence[str] = (),
    short: bool = False,
    label_heading: str = "",
) -> dict[str, Any]:
    """Bars, stacked where points have several values (then `series` names them, at most five)."""
    points = charts.points_of(rows)
    write = writer(unit, currency)
    names = list(series) or [title]
    top = charts.top_of(max((sum(map(Decimal, point.values), Decimal()) for point in points), default=Decimal()))
    return frame(points, top, unit, currency) | {
        "title": title,
        "summary": summary(points, write, cumulative=False),
        "series": names,
        "legend": [(f"series-{number}", name) for number, name in enumerate(names, start=1)] if len(names) > 1 else [],
        "slots": charts.bar_slots(points, series=names, top=top, write=write),
        "short": short,
        "label_heading": label_heading or gettext("Date"),
    }


@register.inclusion_tag("components/area_chart.html")
def area_chart(
    rows: Sequence[charts.Point | tuple[str, Decimal | int]],
    title: str,
    unit: str = "money",
    currency: str = "KRW",
    limit: Decimal | None = None,
    limit_label: str = "",
    short: bool = False,
    label_heading: str = "",
) -> dict[str, Any]:
    """One line over its area; expected points (at the end) are dashed; `limit` is a level across the plot."""
    points = charts.points_of(rows)
    write = writer(unit, currency)
    largest = max((Decimal(point.values[0]) for point in points), default=Decimal())
    top = charts.top_of(max(largest, limit or Decimal()))
    known = [point for point in points if not point.expected]
    limit_name = limit_label or gettext("Limit")
    return frame(points, top, unit, currency) | {
        "title": title,
        "summary": summary(points, write, cumulative=True),
        "series": [title],
        "slots": charts.line_slots(points, write=write),
        "area": charts.area_path(known, top),
        "line": charts.line_path(known, top),
        "expected_line": charts.line_path(points[max(len(known) - 1, 0) :], top, first=max(len(known) - 1, 0))
        if len(known) < len(points)
        else "",
        "limit": str(charts.HEIGHT - charts.height_of(limit, top)) if limit else "",
        "limit_text": f"{limit_name} {write(limit)}" if limit else "",
        "short": short,
        "label_heading": label_heading or gettext("Date"),
    }


@register.inclusion_tag("components/step_chart.html")
def step_chart(
    steps: Sequence[step_charts.Step], end: datetime, title: str, series: Sequence[str], currency: str, table: str = ""
) -> dict[str, Any]:
    """What held since when, until `end`: prices for 1M tokens. The table with the id `table` says the same."""
    write = partial(figures.price_text, currency=currency)
    axis = step_charts.Axis(steps, end)
    top = charts.top_of(step_charts.largest_of(steps))
    now = [f"{name} {write(value)}" for name, value in zip(series, steps[-1].values, strict=True)]
    return {
        "title": title,
        "summary": gettext("%(count)s changes; now: %(now)s") % {"count": len(steps) - 1, "now": ", ".join(now)},
        "legend": [(f"line-{number}", name) for number, name in enumerate(series, start=1)],
        "width": str(step_charts.WIDTH),
        "height": str(charts.HEIGHT),
        "grid": [str(charts.HEIGHT * part // charts.INTERVALS) for part in range(charts.INTERVALS)],
        "ticks": charts.ticks(top, write),
        "labels": axis.labels(month_or_day(steps[0].since, end)),
        "lines": [
            (f"line-{number}", step_charts.step_path(steps, number - 1, axis=axis, top=top))
            for number in range(len(series), 0, -1)
        ],
        "strips": step_charts.strips(steps, axis=axis, series=series, write=write),
        "table": table,
    }


def month_or_day(start: datetime, end: datetime) -> Callable[[datetime], str]:
    """How moments of a long or a short range are written under it."""
    if (end - start).days < 120:
        return figures.table_date
    form = "%Y.%m" if get_language() == "ko" else "%Y-%m"
    return lambda moment: timezone.localtime(moment).strftime(form)
