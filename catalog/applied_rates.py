"""Store the unit prices of a charge with what they were made of: once, whoever asks at the same time."""

from django.db import transaction

from catalog.models import AppliedRate


def store_applied_rate(row: AppliedRate) -> int:
    """The id of the row with the origin of `row`: of `row` itself if it is the first, else of the one that came before."""
    with transaction.atomic(using="system"):
        AppliedRate.objects.using("system").bulk_create([row], ignore_conflicts=True)
    return (
        AppliedRate.objects.using("system")
        .values_list("pk", flat=True)
        .get(
            cost_price_id=row.cost_price_id,
            band=row.band,
            markup_rule_id=row.markup_rule_id,
            exchange_rate_id=row.exchange_rate_id,
            currency=row.currency,
        )
    )
