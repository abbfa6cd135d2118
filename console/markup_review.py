"""What an operator reads before a markup is set: whom it touches, what it does to margins, and the prices of the biggest models."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from catalog.markup_comparison import Proposal
from catalog.markup_preview import Effect, MarkupPreview
from catalog.markups import sells_below_cost
from console.deeds import Row
from console.figures import figure
from metering.markup_effects import exchange_rate_of_examples, markup_effects
from pricing.tokens import TokenClass

CUSTOMERS_SHOWN = 10
MODELS_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkupReview:
    """`rows` for the list of facts; `customers` and `examples` for the tables below it."""

    rows: list[Row]
    customers: list[tuple[Organization, Effect]]
    more: int
    examples: list[dict[str, Any]]


def review_markup(proposal: Proposal, *, now: datetime) -> MarkupReview:
    """The preview of `proposal`, for reading."""
    preview = markup_effects(proposal=proposal, now=now)
    concerned = [effect for effect in preview.effects if effect.touched or effect.shadowed]
    organizations = Organization.objects.in_bulk([effect.organization_id for effect in concerned[:CUSTOMERS_SHOWN]])
    currency, _rate = exchange_rate_of_examples(proposal, now=now)
    return MarkupReview(
        rows=_facts(preview),
        customers=[(organizations[effect.organization_id], effect) for effect in concerned[:CUSTOMERS_SHOWN]],
        more=max(len(concerned) - CUSTOMERS_SHOWN, 0),
        examples=[
            {"model": example.model, "input": _prices(example, TokenClass.INPUT, currency)}
            | {"output": _prices(example, TokenClass.OUTPUT, currency)}
            for example in preview.examples
        ],
    )


def below_cost() -> str:
    """Why a markup is refused."""
    return gettext(
        "This sells below cost: the markup is less than %(floor)s. If it is meant, say so below; the reason is kept."
    ) % {"floor": figure("percent")(settings.MARKUP_FLOOR, 2)}


def _facts(preview: MarkupPreview) -> list[Row]:
    customers, models = len(preview.touched), preview.models
    rows: list[Row] = [
        (
            _("Touches"),
            ngettext("%(count)s customer", "%(count)s customers", customers) % {"count": figure("tokens")(customers)}
            + ", "
            + ngettext("%(count)s model", "%(count)s models", models) % {"count": figure("tokens")(models)},
        )
    ]
    if preview.shadowed:
        count = len(preview.shadowed)
        rows.append(
            (
                _("A more specific rule goes on for"),
                ngettext("%(count)s customer", "%(count)s customers", count) % {"count": figure("tokens")(count)},
            )
        )
    if preview.until:
        rows.append((_("Until"), figure("table_second")(preview.until)))
    if preview.unsold:
        rows.append((_("Mind"), _without_markup(preview)))
    if sells_below_cost(preview.proposal.markup):
        rows.append((_("Mind"), _("This sells below cost.")))
    return rows


def _without_markup(preview: MarkupPreview) -> str:
    named, count = ", ".join(preview.unsold[:MODELS_NAMED]), len(preview.unsold)
    text = ngettext(
        "%(count)s model would have no markup, and its usage would wait without a price: %(models)s",
        "%(count)s models would have no markup, and their usage would wait without a price: %(models)s",
        count,
    )
    return text % {"count": count, "models": named + (" …" if count > MODELS_NAMED else "")}


def _prices(example: Any, token_class: TokenClass, currency: str) -> str:
    """`₩66 → ₩72`, for a million tokens."""
    before, after = (
        figure("cost_per_million")((prices or {}).get(token_class), currency)
        for prices in (example.before, example.after)
    )
    return f"{before} → {after}"
