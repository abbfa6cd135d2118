"""What the tables say of a cost table at the moment from which a list is to hold, and whether that moment can be."""

from datetime import datetime

from catalog.feed.comparison import Comparison, Known, PriceInForce
from catalog.feed.snapshot import SnapshotRefused
from catalog.models import AppliedRate, CostPrice, CostTable, LanguageModel, QuarantinedPrice
from catalog.publishing import LEAD


def load_known(cost_table: CostTable, *, at: datetime) -> Known:
    """All models, the prices of `cost_table` in force at `at`, and the doubts that stand."""
    rows = (
        CostPrice.objects.using("system")
        .filter(cost_table=cost_table, effective_from__lte=at)
        .order_by("language_model_id", "-effective_from", "-revision")
        .distinct("language_model_id")
    )
    standing = QuarantinedPrice.objects.using("system").filter(cost_table=cost_table, ended_at=None)
    return Known(
        cost_table_id=cost_table.pk,
        models={model.slug: model for model in LanguageModel.objects.using("system").all()},
        prices={
            model_id: PriceInForce(price_id, sheet, origin)
            for model_id, price_id, sheet, origin in rows.values_list("language_model_id", "pk", "sheet", "origin")
        },
        standing={row.slug: row for row in standing},
    )


def check_moment(
    cost_table: CostTable, found: Comparison, known: Known, *, since: datetime, now: datetime, approve: bool
) -> None:
    """No second price at one moment, and none dated back over what was charged. Raises SnapshotRefused.

    With `approve`, prices in doubt change too, and models that the list lacks end.

    Whether usage was charged at a price shows in its applied rates; not when, so any of them forbids going back.
    """
    changing = {change.model.pk for change in found.changed if change.model}
    if approve:
        changing |= {doubtful.model.pk for doubtful in found.doubtful if doubtful.model}
        waiting = [entry for entry in found.repeated if entry.status == QuarantinedPrice.Status.OPEN]
        changing |= {entry.language_model_id for entry in waiting if entry.language_model_id}
    prices = CostPrice.objects.using("system").filter(cost_table=cost_table, language_model__in=changing)
    if prices.filter(effective_from=since).exists():
        raise SnapshotRefused(f"Other prices begin at {since.isoformat()}, this very moment. Choose another one.")
    if since >= now + LEAD:
        return
    later = prices.filter(effective_from__gt=since).values_list("pk", flat=True)
    replaced = [known.prices[model_id].id for model_id in changing if model_id in known.prices]
    if AppliedRate.objects.using("system").filter(cost_price_id__in=[*later, *replaced]).exists():
        raise SnapshotRefused(
            f"Usage was charged at prices that would end at {since.isoformat()}: what lies behind cannot change."
        )
