"""Set what is added to the upstream cost, for all, a provider, a model, an organization, or both. A new dated row each time."""

from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from catalog.models import LanguageModel, MarkupRule


class SellsBelowCost(ValueError):
    """The markup is below MARKUP_FLOOR, and nobody decided that it should be, or why."""


def set_markup(
    *,
    markup: Decimal | None,
    effective_from: datetime,
    now: datetime,
    organization: Organization | None = None,
    language_model: LanguageModel | None = None,
    provider_slug: str = "",
    reason: str = "",
    sell_below_cost: bool = False,
    actor: User | None = None,
) -> MarkupRule:
    """Let `markup` (a fraction of cost, at most 4 decimals; None ends the rule) hold for the target from `effective_from` on.

    Raises SellsBelowCost unless `sell_below_cost` is said and a reason given, which the row and the audit log keep.
    """
    is_below_cost = sells_below_cost(markup)
    if is_below_cost and not (sell_below_cost and reason.strip()):
        raise SellsBelowCost(f"a markup of {markup} is less than {settings.MARKUP_FLOOR}")
    detail = {
        "markup": None if markup is None else format(markup, "f"),
        "effective_from": effective_from.isoformat(),
        "reason": reason,
    }
    with transaction.atomic(using="system"):
        rule = MarkupRule.objects.using("system").create(
            organization=organization,
            language_model=language_model,
            provider_slug=provider_slug,
            markup=markup,
            effective_from=effective_from,
            below_cost_approved=is_below_cost,
            reason=reason,
            created_by=actor,
            created_at=now,
        )
        write_audit_entry(
            action="markup.set",
            target=_target(organization, language_model, provider_slug),
            organization=organization,
            actor=actor,
            now=now,
            detail=detail | ({"below_cost": True} if is_below_cost else {}),
            using="system",
        )
    return rule


def sells_below_cost(markup: Decimal | None) -> bool:
    """Whether a sale with `markup` earns less than it costs, fees included."""
    return markup is not None and markup < settings.MARKUP_FLOOR


def _target(organization: Organization | None, language_model: LanguageModel | None, provider_slug: str) -> str:
    parts = [organization and organization.slug, language_model and language_model.slug, provider_slug]
    return " × ".join(part for part in parts if part) or "all"
