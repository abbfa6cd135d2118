"""`/models/<page_slug>`: what one model is, can do and costs, how to call it, and what it used to cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import dates, timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.estimates import public_buyer
from catalog import price_book
from catalog.models import CostPrice, CostTable, LanguageModel
from catalog.price_list import listed_model
from catalog.price_sheets import sheet_from_json
from dashboard.estimate_form import asked_estimate, estimate_of
from dashboard.model_facts import features_of, modalities_of, other_parameters
from dashboard.offers import LISTED_TOKENS, offer_of
from metering.token_labels import TOKEN_CLASSES
from pricing.bands import Override, PriceSheet
from pricing.tokens import PIECE_CLASSES, TokenClass

HISTORY_ROWS = 100
MAIN_CLASSES = (TokenClass.INPUT, TokenClass.OUTPUT)
"""Shown large; the other prices of a sheet stand below."""


@dataclass(frozen=True, slots=True)
class CostLine:
    """One price of the upstream's list: USD for a token, or (images, searches, requests) for one piece."""

    token_class: TokenClass
    cost: Decimal

    @property
    def label(self) -> Any:
        return TOKEN_CLASSES[self.token_class]

    @property
    def is_piece(self) -> bool:
        return self.token_class in PIECE_CLASSES


@dataclass(frozen=True, slots=True)
class Condition:
    """When other prices hold, in words, and which."""

    text: str
    lines: list[CostLine]


@dataclass(frozen=True, slots=True)
class PastPrice:
    """A version of an upstream's price, in force from `since` until its next one; without costs the model was off its list."""

    table: CostTable
    since: datetime
    until: datetime | None
    costs: dict[TokenClass, Decimal]

    @property
    def input_cost(self) -> Decimal | None:
        return self.costs.get(TokenClass.INPUT)

    @property
    def output_cost(self) -> Decimal | None:
        return self.costs.get(TokenClass.OUTPUT)

    @property
    def cached_cost(self) -> Decimal | None:
        return self.costs.get(TokenClass.CACHE_READ)


@require_safe
def model_page(request: HttpRequest, page_slug: str) -> HttpResponse:
    model = get_object_or_404(LanguageModel.objects.select_related("cost_table"), page_slug=page_slug)
    now = timezone.now()
    listed = listed_model(model, at=now)
    price = listed.price
    history = price_history(model, now=now)
    sheet = price and price_in_force(model, at=now)
    context = {
        "section": "models",
        "model": model,
        "offer": offer_of(listed),
        "description": description_of(model),
        "trail": trail_of(model),
        "modalities": modalities_of(model),
        "features": features_of(model),
        "other_parameters": other_parameters(model),
        "other_costs": other_costs(sheet) if sheet else [],
        "conditions": conditions(sheet) if sheet else [],
        "history": history,
        "ended_on": ended_on(model, history),
        "listed": estimate_of(
            model, input_tokens=LISTED_TOKENS, output_tokens=LISTED_TOKENS, buyer=public_buyer(), at=now
        ),
        "estimate": asked_estimate(request, model, at=now),
    }
    return render(request, "site/model.html", context)


@require_safe
def model_by_id(request: HttpRequest, model_id: str) -> HttpResponse:
    """`/models/mistralai/devstral-small`, as the id is written in code, leads to the page."""
    model = LanguageModel.objects.filter(slug=model_id).only("page_slug").first()
    if model is None:
        raise Http404(model_id)
    return redirect("dashboard:model", model.page_slug, permanent=True)


def description_of(model: LanguageModel) -> str:
    """In the reader's language, else in the one that there is."""
    both = (model.description_ko, model.description_en)
    return next(filter(None, both if get_language() == "ko" else reversed(both)), "")


def trail_of(model: LanguageModel) -> list[tuple[str, str | None]]:
    models = reverse("dashboard:models")
    return [(_("Models"), models), (model.provider, f"{models}?provider={model.provider_slug}"), (model.name, None)]


def price_history(model: LanguageModel, *, now: datetime) -> list[PastPrice]:
    """The newest first, of every price list that the model was ever sold from; prices of the future are not announced."""
    rows = CostPrice.objects.filter(language_model=model, effective_from__lte=now).select_related("cost_table")
    successors: dict[int, datetime] = {}
    history = []
    for row in rows.order_by("-effective_from", "-pk")[:HISTORY_ROWS]:
        costs = dict(sheet_from_json(row.sheet).base) if row.sheet else {}
        until = successors.get(row.cost_table_id)
        history.append(PastPrice(row.cost_table, row.effective_from, until, costs))
        successors[row.cost_table_id] = row.effective_from
    return history


def ended_on(model: LanguageModel, history: Sequence[PastPrice]) -> datetime | None:
    """Since when the model is off the list that it was sold from last."""
    own = next((past for past in history if past.table.pk == model.cost_table_id), None)
    return own.since if own and not own.costs else None


def price_in_force(model: LanguageModel, *, at: datetime) -> PriceSheet | None:
    dated = price_book.current().price(price_book.find_model(model.slug), at)
    return dated.value if dated else None


def cost_lines(costs: Mapping[TokenClass, Decimal]) -> list[CostLine]:
    """In the order of TokenClass; a piece that costs nothing is no price."""
    return [
        CostLine(token_class, costs[token_class])
        for token_class in TokenClass
        if token_class in costs and (costs[token_class] or token_class not in PIECE_CLASSES)
    ]


def other_costs(sheet: PriceSheet) -> list[CostLine]:
    """What the price list names besides input and output: cached tokens, images, searches …"""
    return [line for line in cost_lines(sheet.base) if line.token_class not in MAIN_CLASSES]


def conditions(sheet: PriceSheet) -> list[Condition]:
    return [Condition(condition_text(override), cost_lines(override.unit_costs)) for override in sheet.overrides]


def condition_text(override: Override) -> str:
    """`Prompts over 200,000 tokens · 16:30–00:30 UTC`."""
    parts = []
    if override.min_prompt_tokens is not None:
        parts.append(_("Prompts over %(count)s tokens") % {"count": f"{override.min_prompt_tokens:,}"})
    if override.utc_start is not None and override.utc_end is not None:
        parts.append(f"{clock(override.utc_start)}–{clock(override.utc_end)} UTC")
    if override.utc_days is not None:
        parts.append(", ".join(str(dates.WEEKDAYS_ABBR[day - 1]) for day in sorted(override.utc_days)))
    return " · ".join(parts)


def clock(minute: int) -> str:
    """A minute of the day as `16:30`."""
    return f"{minute // 60:02}:{minute % 60:02}"
