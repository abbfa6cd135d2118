"""Usage of a range: drawn over time, added up by day, hour, model, key, member or declared tag, rows lead to their requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts.models import Organization
from accounts.tag_declarations import declared_tags
from dashboard.access import organization_page
from dashboard.charts import Point
from dashboard.download_links import download_links
from dashboard.pages import page_links, page_of
from dashboard.templatetags.figures import prose_date, table_date
from dashboard.time_ranges import CHOICES, TimeRange, address, asked_range
from metering.rollup_tags import TagKind
from metering.tag_sums import TooManyValues, usage_by_tag
from metering.usage_queries import UsageRow, UsageSum, UsageTable, usage_by

GROUPS = (
    ("day", gettext_lazy("Day")),
    ("hour", gettext_lazy("Hour")),
    ("model", gettext_lazy("Model")),
    ("api_key", gettext_lazy("API key")),
    ("member", gettext_lazy("Member")),
)
TAG = "tag:"
"""Before the name of a tag, in addresses."""
TAG_KINDS = {
    TagKind.NONE: gettext_lazy("Without this tag"),
    TagKind.OTHER: gettext_lazy("Other values"),
    TagKind.UNDECLARED: gettext_lazy("Recorded before the tag was declared"),
}
MEASURES = (
    ("amount", gettext_lazy("Amount")),
    ("tokens", gettext_lazy("Tokens")),
    ("requests", gettext_lazy("Requests")),
)
HOURS_ARE_DRAWN_FOR = 3
"""Days up to which the chart has a bar for every hour."""
PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Group:
    """A row of the table: its name, what it leads to, and its sum."""

    name: str
    detail: str
    url: str
    total: UsageSum
    row: UsageRow


@organization_page()
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    organization, now = request.organization, timezone.now()
    zone = ZoneInfo(organization.zone)
    span = asked_range(request.GET, zone=zone, now=now)
    declared = [(f"{TAG}{key}", key) for key in declared_tags(organization)]
    group_by = chosen(request, "group", (*GROUPS, *declared))
    measure = chosen(request, "show", MEASURES)
    over_time = "hour" if span.days <= HOURS_ARE_DRAWN_FOR else "day"
    tables = {grouping: table_of(organization, span, grouping) for grouping in {group_by, over_time}}
    table = tables[group_by]
    newest_first = list(reversed(table.rows)) if group_by in ("day", "hour") else list(table.rows)
    page = page_of(request, newest_first, size=PAGE_SIZE)
    here = {
        **span.parameters,
        "group": group_by if group_by != "day" else "",
        "show": measure if measure != "amount" else "",
    }
    context = {
        "section": "usage",
        "span": span,
        "group_by": group_by,
        "measure": measure,
        "total": table.total,
        "groups": [group_of(row, group_by, span, zone) for row in page],
        "points": points(tables[over_time].rows, span, over_time, measure, zone),
        "series": [_("Input tokens"), _("Output tokens")] if measure == "tokens" else [],
        "measure_label": dict(MEASURES)[measure],
        "ranges": [
            (name, label, address(**here | {"range": name, "from": "", "to": "", "hour": ""}))
            for name, label in CHOICES
        ],
        "kept": [("group", here["group"]), ("show", here["show"])],
        "requests_query": address(**span.parameters),
        "downloads": download_links("usage_export", organization.slug, **span.parameters),
        "groupings": [(name, label, address(**here | {"group": name})) for name, label in (*GROUPS, *declared)],
        "tag": group_by.removeprefix(TAG) if group_by.startswith(TAG) else "",
        "measures": [(name, label, address(**here | {"show": name})) for name, label in MEASURES],
        **page_links(request, page),
    }
    return render(request, "dashboard/usage.html", context)


def table_of(organization: Organization, span: TimeRange, grouping: str) -> UsageTable:
    """The sums of a range by one of GROUPS, or by a declared tag: without rows if that has more values than anybody reads."""
    asked: dict[str, Any] = {"organization": organization, "start": span.start, "end": span.end}
    if not grouping.startswith(TAG):
        return usage_by(**asked, group_by=grouping)
    try:
        return usage_by_tag(**asked, tag=grouping.removeprefix(TAG)).table
    except TooManyValues:
        return UsageTable(rows=[], total=usage_by(**asked, group_by="none").total)


def chosen(request: HttpRequest, name: str, choices: Sequence[tuple[str, Any]]) -> str:
    """The choice that the address names, else the first."""
    wanted = request.GET.get(name, "")
    return wanted if wanted in dict(choices) else choices[0][0]


def group_of(row: UsageRow, group_by: str, span: TimeRange, zone: ZoneInfo) -> Group:
    if row.model is not None:
        url = address(**span.parameters, model=row.model.slug)
        return Group(row.model.name, row.model.slug, f"requests{url}", row.total, row)
    if row.tag_kind is not None:
        return tag_group(row, group_by.removeprefix(TAG), span)
    if group_by == "member":
        return Group(row.member.get_full_name() if row.member else _("Nobody’s key"), "", "", row.total, row)
    if row.start is None:
        key = row.api_key
        url = f"requests{address(**span.parameters, key=str(key.pk))}" if key else ""
        return Group(key.name if key else _("Without a key"), f"{key.prefix}…" if key else "", url, row.total, row)
    local = row.start.astimezone(zone)
    if group_by == "hour":
        return Group(
            f"{table_date(local)} {local:%H:%M}", "", f"requests{address(hour=f'{local:%Y-%m-%dT%H}')}", row.total, row
        )
    day = local.date().isoformat()
    return Group(table_date(local), "", f"requests{address(**{'from': day, 'to': day})}", row.total, row)


def tag_group(row: UsageRow, key: str, span: TimeRange) -> Group:
    if row.tag is None:
        return Group(str(TAG_KINDS[row.tag_kind]), "", "", row.total, row)
    url = f"requests{address(**span.parameters, tag=f'{key}={row.tag}')}"
    return Group(row.tag or _("(empty)"), "", url, row.total, row)


def points(rows: Sequence[UsageRow], span: TimeRange, over_time: str, measure: str, zone: ZoneInfo) -> list[Point]:
    """A bar for every day or hour of the range, those without usage included. Days are matched by date, hours as instants:
    a day on which clocks change has 23 or 25 of them."""
    if over_time == "hour":
        start, end = span.start.astimezone(UTC), span.end.astimezone(UTC)
        by_hour = {row.start.astimezone(UTC): row.total for row in rows if row.start}
        hours = [start + timedelta(hours=number) for number in range((end - start) // timedelta(hours=1))]
        return [hour_point(at.astimezone(zone), by_hour.get(at), measure) for at in hours]
    by_day = {row.start.astimezone(zone).date(): row.total for row in rows if row.start}
    days = [span.first + timedelta(days=number) for number in range(span.days)]
    return [Point(day_label(day, span), values(by_day.get(day), measure), prose_date(day)) for day in days]


def hour_point(at: datetime, total: UsageSum | None, measure: str) -> Point:
    return Point(f"{at:%H}", values(total, measure), f"{prose_date(at)} {at:%H:%M}")


def day_label(day: date, span: TimeRange) -> str:
    """The day of the month; the month with it where the range has more than one."""
    return (
        str(day.day)
        if (span.first.year, span.first.month) == (span.last.year, span.last.month)
        else f"{day.month}.{day.day}"
    )


def values(total: UsageSum | None, measure: str) -> tuple[Any, ...]:
    if measure == "tokens":
        return (total.prompt_tokens, total.completion_tokens) if total else (0, 0)
    if total is None:
        return (0,)
    return (total.amount,) if measure == "amount" else (total.requests,)
