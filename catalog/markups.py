"""Set what is added to the upstream cost, for all, a provider, a model, an organization, or both. A new dated row each time."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from catalog.models import LanguageModel, MarkupRule


def set_markup(
    *,
    markup: Decimal | None,
    effective_from: datetime,
    now: datetime,
    organization: Organization | None = None,
    language_model: LanguageModel | None = None,
    provider_slug: str = "",
    reason: str = "",
    actor: User | None = None,
) -> MarkupRule:
    """Let `markup` (a fraction of cost, at most 4 decimals; None ends the rule) hold for the target from `effective_from` on."""
    with transaction.atomic(using="system"):
        rule = MarkupRule.objects.using("system").create(
            organization=organization,
            language_model=language_model,
            provider_slug=provider_slug,
            markup=markup,
            effective_from=effective_from,
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
            detail={
                "markup": None if markup is None else format(markup, "f"),
                "effective_from": effective_from.isoformat(),
            },
            using="system",
        )
    return rule


def _target(organization: Organization | None, language_model: LanguageModel | None, provider_slug: str) -> str:
    parts = [organization and organization.slug, language_model and language_model.slug, provider_slug]
    return " × ".join(part for part in parts if part) or "all"
