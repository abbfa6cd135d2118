"""Since when usage of which models waits for a price: how far the first price of a model may reach back."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import Min

from metering.models import UnratedUsage


def oldest_waiting(slugs: Collection[str]) -> dict[str, datetime]:
    """When the oldest waiting usage of each of these models occurred, whoever it belongs to."""
    waiting = UnratedUsage.objects.using("system").filter(model__in=list(slugs))
    return dict(
        waiting.order_by("model").values("model").annotate(oldest=Min("occurred_at")).values_list("model", "oldest")
    )
