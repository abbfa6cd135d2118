"""Sums by the value of a tag: of a declared one from the rollups, over any range; of any other from events, over a month at most.

Events tell everything. Rollups know a tag only of what was recorded while it was declared; the rest has a row of its own, so that
the total is that of every other sum. Where both could answer, rollups do if nothing of the range can be missing in them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from django.db.models import F, Func, TextField, Value

from accounts.models import Organization
from accounts.tag_declarations import Declared, history_of_tags
from metering.event_filters import EventFilter, matching
from metering.models import UsageRollup
from metering.rollup_tags import TagKind, read, text_about
from metering.rollups import COUNTS
from metering.stored_events import Look, archived_of, in_database
from metering.usage_queries import SUMS, UsageRow, UsageSum, UsageTable, add_up, sum_of
from pricing.exact import EXACT, ZERO

MOST_DAYS = 31
"""Days over which events are added up."""
MOST_VALUES = 10_000
SETTLED = timedelta(minutes=10)
"""After this time nobody records without a new declaration any more; reporters' clocks may be 5 minutes ahead."""


class TooManyValues(ValueError):
    """The tag has more values than anybody reads: it names single things. An export has them."""


class RangeTooLong(ValueError):
    """Nothing was ever summed by this tag, and the range has more events than can be added up on demand."""


@dataclass(frozen=True, slots=True)
class TagSums:
    """The groups of a range, highest amount first, and what they were read from; since when the tag is declared, if it is now."""

    table: UsageTable
    read_from: Literal["rollups", "events"]
    declared_since: datetime | None


def usage_by_tag(*, organization: Organization, start: datetime, end: datetime, tag: str) -> TagSums:
    """Usage of the full hours [start, end) by the value of `tag`. Needs the tenant's scope. Raises TooManyValues, RangeTooLong."""
    times = [one for one in history_of_tags(organization) if one.key == tag]
    declared_since = _declared_since(times)
    complete = declared_since is not None and declared_since + SETTLED <= start
    short = end - start <= timedelta(days=MOST_DAYS)
    if not times and not short:
        raise RangeTooLong(f"a range has at most {MOST_DAYS} days for a tag that was never declared")
    if complete or not short:
        return TagSums(_of_rollups(organization, start, end, tag), "rollups", declared_since)
    return TagSums(_of_events(organization, start, end, tag), "events", declared_since)


def _declared_since(times: list[Declared]) -> datetime | None:
    return next((one.since for one in times if one.until is None), None)


def _of_rollups(organization: Organization, start: datetime, end: datetime, tag: str) -> UsageTable:
    rollups = UsageRollup.objects.for_organization(organization).filter(hour__gte=start, hour__lt=end)
    found = rollups.annotate(text=text_about(tag)).values("text").annotate(**SUMS).order_by("text")[: MOST_VALUES + 1]
    rows = []
    for row in found:
        kind, value = read(row["text"], tag)
        rows.append(UsageRow(tag=value, tag_kind=kind, total=sum_of(row)))
    return _table(rows)


def _of_events(organization: Organization, start: datetime, end: datetime, tag: str) -> UsageTable:
    asked = matching(organization, EventFilter(start=start, end=end))
    found = _of_archives(asked, tag)  # first, because it keeps months from being archived in between
    value = Func(F("tags"), Value(tag), function="jsonb_extract_path_text", output_field=TextField())
    events = in_database(asked).annotate(value=value).values("value").annotate(**SUMS)
    for row in events.order_by("value")[: MOST_VALUES + 1]:
        own, before = sum_of(row), found.get(row["value"])
        found[row["value"]] = add_up([before, own]) if before else own
    return _table(
        [
            UsageRow(tag=value, tag_kind=TagKind.NONE if value is None else TagKind.VALUE, total=total)
            for value, total in found.items()
        ]
    )


def _table(rows: list[UsageRow]) -> UsageTable:
    if len(rows) > MOST_VALUES:
        raise TooManyValues(f"more than {MOST_VALUES} values")
    rows.sort(key=lambda row: (-row.total.amount, row.tag or "", row.tag_kind or ""))
    return UsageTable(rows=rows, total=add_up(row.total for row in rows))


def _of_archives(asked: Look, tag: str) -> dict[str | None, UsageSum]:
    """The sums of archived events by the tag's value. Values beyond the most that are shown are not looked for."""
    counts: dict[str | None, list[int]] = {}
    amounts: dict[str | None, Decimal] = {}
    for tags, amount, *numbers in archived_of(asked, "tags", "amount", *COUNTS):
        value = (tags or {}).get(tag)
        amounts[value] = EXACT.add(amounts.get(value, ZERO), amount)
        before = counts.get(value, [0] * len(COUNTS))
        counts[value] = [one + (other or 0) for one, other in zip(before, numbers, strict=True)]
        if len(counts) > MOST_VALUES:
            break
    return {
        value: UsageSum(counts=dict(zip(COUNTS, counts[value], strict=True)), amount=amounts[value]) for value in counts
    }
