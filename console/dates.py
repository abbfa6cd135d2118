"""From when a new price, markup or rate may hold: not in the past, because what was charged then is charged."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext

from catalog.models import CostPrice, LanguageModel
from catalog.publishing import LEAD
from console.deeds import Refused
from metering.models import UnratedUsage

SEOUL = ZoneInfo("Asia/Seoul")


def start_of(wanted: datetime | None, *, now: datetime, earliest: datetime | None = None) -> datetime:
    """When a change takes effect: as wanted, or as soon as all processes know it. Raises Refused for the past.

    `earliest` is given for what may be backdated.
    """
    if wanted is None:
        return earliest or now + LEAD
    wanted = wanted.astimezone(UTC)
    if earliest is not None and wanted >= earliest:
        return wanted
    if wanted < now - timedelta(minutes=1):  # the picker has no seconds
        raise Refused(gettext("This lies in the past: what was charged since then would have had another price."))
    return max(wanted, now + LEAD)


def earliest_price(model: LanguageModel | None, slug: str, *, now: datetime) -> datetime | None:
    """How far a model's first price may reach back: to its oldest event that waits for one, else not at all."""
    if model is not None and CostPrice.objects.filter(language_model=model, cost_table_id=model.cost_table_id).exists():
        return None
    oldest = (
        UnratedUsage.objects.filter(model=slug).order_by("occurred_at").values_list("occurred_at", flat=True).first()
    )
    return oldest if oldest is not None and oldest < now else None
