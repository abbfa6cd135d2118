"""Sums by the value of a tag. Rollups do not know tags, so they are added up from the events themselves, over a month at most.

Any tag will do, none has to be declared; the sums are those of the rollups, because both are of the same events.
"""

from datetime import datetime

from django.db.models import F, Func, TextField, Value

from accounts.models import Organization
from metering.event_filters import EventFilter, matching
from metering.usage_queries import SUMS, UsageRow, UsageTable, add_up, sum_of

MOST_DAYS = 31
MOST_VALUES = 10_000


class TooManyValues(ValueError):
    """The tag has more values than anybody reads: it names single things. An export has them."""


def usage_by_tag(*, organization: Organization, start: datetime, end: datetime, tag: str) -> UsageTable:
    """Usage of [start, end) by the value of `tag`, the highest amount first. Needs the tenant's scope. Raises TooManyValues."""
    value = Func(F("tags"), Value(tag), function="jsonb_extract_path_text", output_field=TextField())
    events = matching(organization, EventFilter(start=start, end=end))
    found = list(events.annotate(value=value).values("value").annotate(**SUMS).order_by("value")[: MOST_VALUES + 1])
    if len(found) > MOST_VALUES:
        raise TooManyValues(f"more than {MOST_VALUES} values")
    rows = [UsageRow(tag=row["value"], total=sum_of(row)) for row in found]
    rows.sort(key=lambda row: (-row.total.amount, row.tag or ""))
    return UsageTable(rows=rows, total=add_up(row.total for row in rows))
