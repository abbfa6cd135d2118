"""Something was priced wrong: put the right price, markup or exchange rate in force from a moment that is over, in a new row.

The wrong row stays, and so does what was charged by it until `manage.py rerate`. Usage of that time that comes late gets the right
one from now on.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from catalog.exchange_rates import publish_exchange_rate
from catalog.feed.outcomes import lock_feed
from catalog.markups import SellsBelowCost, sells_below_cost
from catalog.models import CostPrice, ExchangeRate, LanguageModel, MarkupRule
from catalog.price_sheets import sheet_to_json
from catalog.publishing import CORRECTION
from catalog.rate_history import BY_HAND
from pricing.bands import PriceSheet


class NotACorrection(ValueError):
    """What begins in the future is published, not corrected; and a correction says why."""


def correct_cost_price(
    *,
    language_model: LanguageModel,
    sheet: PriceSheet,
    effective_from: datetime,
    reason: str,
    now: datetime,
    actor: User | None,
) -> CostPrice | None:
    """Let `sheet` have been the model's price from a past moment until the next price began; None if it was anyway.

    Raises NotACorrection.
    """
    _check(effective_from, reason, now=now)
    stored = sheet_to_json(sheet)
    with transaction.atomic(using="system"):
        lock_feed(language_model.cost_table)
        rows = CostPrice.objects.using("system").filter(
            cost_table=language_model.cost_table_id, language_model=language_model
        )
        before = _in_force(rows, effective_from)
        if before is not None and before.sheet == stored:
            return None
        price = CostPrice.objects.using("system").create(
            cost_table_id=language_model.cost_table_id,
            language_model=language_model,
            sheet=stored,
            effective_from=effective_from,
            revision=_next_revision(rows, effective_from),
            raw=stored,
            origin=CORRECTION,
            created_at=now,
        )
        write_audit_entry(
            action="cost_price.corrected",
            target=language_model.slug,
            actor=actor,
            now=now,
            detail={"effective_from": effective_from.isoformat(), "revision": price.revision, "reason": reason},
            using="system",
        )
    return price


def correct_markup(
    *,
    markup: Decimal | None,
    effective_from: datetime,
    reason: str,
    now: datetime,
    actor: User | None,
    organization: Organization | None = None,
    language_model: LanguageModel | None = None,
    provider_slug: str = "",
    sell_below_cost: bool = False,
) -> MarkupRule | None:
    """Let `markup` have held for the target from a past moment on; None if it did. Raises NotACorrection, SellsBelowCost."""
    _check(effective_from, reason, now=now)
    is_below_cost = sells_below_cost(markup)
    if is_below_cost and not sell_below_cost:
        raise SellsBelowCost(f"a markup of {markup} sells below cost")
    target = {"organization": organization, "language_model": language_model, "provider_slug": provider_slug}
    with transaction.atomic(using="system"):
        rows = MarkupRule.objects.using("system").filter(**target)
        before = _in_force(rows, effective_from)
        if (before.markup if before else None) == markup:
            return None
        rule = MarkupRule.objects.using("system").create(
            **target,
            markup=markup,
            effective_from=effective_from,
            revision=_next_revision(rows, effective_from),
            below_cost_approved=is_below_cost,
            reason=reason,
            created_by=actor,
            created_at=now,
        )
        names = [organization and organization.slug, language_model and language_model.slug, provider_slug]
        write_audit_entry(
            action="markup.corrected",
            target=" × ".join(name for name in names if name) or "all",
            organization=organization,
            actor=actor,
            now=now,
            detail={
                "markup": None if markup is None else format(markup, "f"),
                "effective_from": effective_from.isoformat(),
                "revision": rule.revision,
                "reason": reason,
            },
            using="system",
        )
    return rule


def correct_exchange_rate(
    *, rate: Decimal, published_on: date, reason: str, now: datetime, actor: User | None
) -> ExchangeRate | None:
    """Let `rate` have been known on the day it was published, so that it holds from the next day (or month) on; None if it is.

    Entered by hand, it counts before every other of that day. Raises NotACorrection, InvalidRate.
    """
    _check(datetime.combine(published_on, time(), UTC), reason, now=now)
    return publish_exchange_rate(
        rate=rate,
        published_on=published_on,
        source=BY_HAND,
        now=now,
        actor=actor,
        detail={"reason": reason, "backdated": True},
        backdated=True,
    )


def _check(effective_from: datetime, reason: str, *, now: datetime) -> None:
    if effective_from > now:
        raise NotACorrection(f"{effective_from.isoformat()} is in the future: publish it instead")
    if not reason.strip():
        raise NotACorrection("a correction says why")


def _in_force(rows: QuerySet[Any], at: datetime) -> Any:
    """The row that holds at `at`."""
    return rows.filter(effective_from__lte=at).order_by("-effective_from", "-revision").first()


def _next_revision(rows: QuerySet[Any], at: datetime) -> int:
    """One more than what begins at the same moment; the unique key refuses a rival's."""
    return (rows.filter(effective_from=at).aggregate(last=Max("revision"))["last"] or 0) + 1
