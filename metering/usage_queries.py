"""What was used, read from the rollups: sums by hour, day, model, key or member, over any range of an organization's time.

For the dashboard and the REST API. Every function needs the organization's tenant scope. Amounts are exact, before tax; what we
pay the upstream is in the receipts of single events only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from django.db import connections
from django.db.models import F, Sum

from accounts.models import ApiKey, Organization, User
from catalog.models import LanguageModel
from metering.models import UnratedUsage, UsageRollup
from metering.rollup_tags import TagKind
from metering.rollups import COUNTS
from pricing.exact import ZERO, exact_sum

Grouping = Literal["hour", "day", "model", "api_key", "member", "tag", "none"]
GROUPINGS: tuple[Grouping, ...] = ("hour", "day", "model", "api_key", "member", "tag", "none")
"""Sums by tag are those of `tag_sums`."""

_KEYS: Mapping[str, Any] = {
    "hour": F("hour"),
    "model": F("model_id"),
    "api_key": F("api_key_id"),
    "member": F("api_key_id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """The sum of some usage: disjoint counts (reasoning inside output), calls, and the exact amount in the billing currency."""

    counts: Mapping[str, int]
    amount: Decimal

    @property
    def requests(self) -> int:
        return self.counts["requests"]

    @property
    def prompt_tokens(self) -> int:
        """All that was read, caches included."""
        return sum(self.counts[name] for name in PROMPT_COUNTS)

    @property
    def completion_tokens(self) -> int:
        """All that was written, reasoning included once."""
        return sum(self.counts[name] for name in COMPLETION_COUNTS)


SUMS: Mapping[str, Any] = {f"sum_{name}": Sum(name) for name in (*COUNTS, "amount")}
SUMS_BY_DAY = f"""
SELECT date_trunc('day', hour, %s) AS day, {", ".join(f"sum({name}) AS {name}" for name in SUMS)}
FROM (
    SELECT hour, {", ".join(f"sum({name}) AS sum_{name}" for name in (*COUNTS, "amount"))} FROM metering_usagerollup
    WHERE organization_id = %s AND hour >= %s AND hour < %s GROUP BY hour
) AS by_hour GROUP BY 1 ORDER BY 1
"""  # noqa: S608  (names of our own columns)
PROMPT_COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_cache_read_tokens",
    "image_input_tokens",
)
COMPLETION_COUNTS = ("output_tokens", "audio_output_tokens", "image_output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One group: its start (hour, day), its model, its key (None: no key was named), the member who made the keys (None: no key,
    or nobody's), or the value of a tag (None: what else `tag_kind` says)."""

    start: datetime | None = None
    model: LanguageModel | None = None
    api_key: ApiKey | None = None
    member: User | None = None
    tag: str | None = None
    tag_kind: TagKind | None = None
    total: UsageSum


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTable:
    """The groups of a range in order (time; else the highest amount first), and their sum."""

    rows: Sequence[UsageRow]
    total: UsageSum


def usage_by(*, organization: Organization, start: datetime, end: datetime, group_by: Grouping) -> UsageTable:
    """Usage of the half-open range [start, end), whose ends are full hours of the organization's zone."""
    rollups = UsageRollup.objects.for_organization(organization).filter(hour__gte=start, hour__lt=end)
    if group_by == "day":
        found = _by_day(organization, start, end)
        return UsageTable(rows=_rows(organization, group_by, found), total=add_up(total for _key, total in found))
    key = _KEYS.get(group_by)
    if key is None:
        total = sum_of(rollups.aggregate(**SUMS))
        return UsageTable(rows=[UsageRow(total=total)], total=total)
    found = [
        (row["key"], sum_of(row)) for row in rollups.annotate(key=key).values("key").annotate(**SUMS).order_by("key")
    ]
    return UsageTable(rows=_rows(organization, group_by, found), total=add_up(total for _key, total in found))


def _by_day(organization: Organization, start: datetime, end: datetime) -> list[tuple[Any, UsageSum]]:
    """Sums by hour, and of these by day: telling the day of every rollup would cost as much as all sums of it."""
    with connections["default"].cursor() as cursor:
        cursor.execute(SUMS_BY_DAY, [organization.zone, organization.pk, start, end])
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [(row["day"], sum_of(row)) for row in rows]


def add_up(sums: Iterable[UsageSum]) -> UsageSum:
    """The sum of sums."""
    parts = list(sums)
    return UsageSum(
        counts={name: sum(part.counts[name] for part in parts) for name in COUNTS},
        amount=exact_sum(part.amount for part in parts),
    )


def waiting_events(*, organization: Organization) -> int:
    """How many events wait for a price."""
    return UnratedUsage.objects.for_organization(organization).count()


def sum_of(row: Mapping[str, Any]) -> UsageSum:
    return UsageSum(counts={name: int(row[f"sum_{name}"] or 0) for name in COUNTS}, amount=row["sum_amount"] or ZERO)


def _rows(organization: Organization, group_by: Grouping, found: Sequence[tuple[Any, UsageSum]]) -> list[UsageRow]:
    if group_by in ("hour", "day"):
        return [UsageRow(start=key, total=total) for key, total in found]
    by_amount = sorted(found, key=lambda row: (-row[1].amount, row[0]))
    if group_by == "model":
        models = LanguageModel.objects.in_bulk([key for key, _total in found])
        return [UsageRow(model=models[key], total=total) for key, total in by_amount]
    keys = ApiKey.objects.for_organization(organization).select_related("created_by")
    by_id = keys.in_bulk([key for key, _total in found])
    if group_by == "member":
        return _by_member(by_id, found)
    return [UsageRow(api_key=by_id.get(key), total=total) for key, total in by_amount]


def _by_member(keys: Mapping[int, ApiKey], found: Sequence[tuple[int, UsageSum]]) -> list[UsageRow]:
    """The sums of keys as sums of those who made them."""
    sums: dict[User | None, list[UsageSum]] = {}
    for key_id, total in found:
        key = keys.get(key_id)
        sums.setdefault(key.created_by if key else None, []).append(total)
    rows = [UsageRow(member=member, total=add_up(totals)) for member, totals in sums.items()]
    return sorted(rows, key=lambda row: (-row.total.amount, row.member.pk if row.member else 0))
