"""Ranges of time as the REST API takes them: ISO dates or datetimes, half-open, in the organization's zone."""

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import Organization
from ledger.periods import month_bounds

MOST_DAYS = 3660
EARLIEST_YEAR, LATEST_YEAR = 2020, 2100


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentField(serializers.Field[Any, Any, Any, Any]):
    """An ISO date (its first moment) or datetime; without an offset it is meant in the organization's zone."""

    def to_internal_value(self, text: Any) -> datetime:
        try:
            moment = (
                datetime.fromisoformat(text) if len(text) > len("2026-11-22") else _midnight(date.fromisoformat(text))
            )
        except (TypeError, ValueError):
            raise serializers.ValidationError("must be an ISO date or datetime, such as 2026-11-22") from None
        if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
            raise serializers.ValidationError(f"must lie between the years {EARLIEST_YEAR} and {LATEST_YEAR}")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.context["zone"])
        return moment

    def to_representation(self, value: Any) -> str:
        return str(value.isoformat())


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def context_of(organization: Organization) -> dict[str, Any]:
    """What a serializer with MomentFields must know."""
    return {"zone": ZoneInfo(organization.zone)}


def month_or(
    start: datetime | None,
    end: datetime | None,
    *,
    organization: Organization,
    now: datetime,
    most_days: int = MOST_DAYS,
) -> tuple[datetime, datetime]:
    """The range asked for; without `start` from the beginning of the month of its end, without both this month.

    Raises ValidationError for a range that is empty or longer than `most_days`.
    """
    if start is None:
        last = now if end is None else end - timedelta(microseconds=1)
        start, month_end = month_bounds(last, zone=organization.zone)
        end = end or month_end
    end = end or max(month_bounds(now, zone=organization.zone)[1], start + timedelta(hours=1))
    if not start < end:
        raise serializers.ValidationError({"to": "must be later than `from`"})
    if end - start > timedelta(days=most_days):
        raise serializers.ValidationError({"to": f"a range has at most {most_days} days here"})
    return start, end


def require_full_hours(start: datetime, end: datetime, *, organization: Organization) -> None:
    """Sums are kept by the hour. Raises ValidationError for a range that begins or ends within one."""
    zone = ZoneInfo(organization.zone)
    for name, moment in (("from", start), ("to", end)):
        local = moment.astimezone(zone)
        if (local.minute, local.second, local.microsecond) != (0, 0, 0):
            raise serializers.ValidationError(
                {name: f"must be a full hour in {organization.zone}: usage is summed by the hour"}
            )
