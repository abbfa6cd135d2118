"""`/models/<page_slug>`: what one model is, can do and costs, how to call it, and what it used to cost."""

from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.estimates import public_buyer
from catalog import price_book
from catalog.models import LanguageModel
from catalog.price_list import ListedModel, listed_model
from catalog.price_snapshot import ModelEntry
from dashboard.estimate_form import asked_estimate, estimate_of
from dashboard.model_facts import embeds, features_of, modalities_of, other_parameters
from dashboard.model_prices import MAIN_CLASSES, condition_text, price_lines, provenance_of
from dashboard.offers import LISTED_TOKENS, offer_of
from dashboard.price_steps import history_part, tombstone_of
from dashboard.readers import keep_private, reader_of


@require_safe
def model_page(request: HttpRequest, page_slug: str) -> HttpResponse:
    model = get_object_or_404(LanguageModel.objects.select_related("cost_table"), page_slug=page_slug)
    now = timezone.now()
    reader = reader_of(request, now=now)
    listed = listed_model(model, at=now)
    context = {
        "section": "models",
        "model": model,
        "offer": offer_of(listed),
        "description": description_of(model),
        "trail": trail_of(model),
        "modalities": modalities_of(model),
        "embeds": embeds(model),
        "features": features_of(model),
        "other_parameters": other_parameters(model),
        "reader": reader,
        "inclusive": reader.inclusive,
        "listed": estimate_of(
            model, input_tokens=LISTED_TOKENS, output_tokens=LISTED_TOKENS, buyer=public_buyer(), at=now
        ),
        "estimate": asked_estimate(request, model, at=now),
    }
    with timezone.override(reader.zone):
        entry = entry_of(model)
        if entry is not None:
            context |= prices_part(listed, entry, at=now) | history_part(request, entry, reader, now=now)
        return keep_private(render(request, "site/model.html", context), reader)


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


def entry_of(model: LanguageModel) -> ModelEntry | None:
    """The model in the price book; None for the moment in which it is not there yet."""
    try:
        return price_book.find_model(model.slug)
    except price_book.UnknownModel:
        return None


def prices_part(listed: ListedModel, entry: ModelEntry, *, at: datetime) -> dict[str, Any]:
    """The upstream's price list beside input and output, where the list price comes from, or since when it is gone."""
    if listed.price is None:
        return {"ended_on": tombstone_of(entry, at=at)}
    dated = price_book.current().price(entry, at)
    sheet = dated and dated.value
    return {
        "provenance": provenance_of(listed.model, listed.price.rate, price_book.PUBLIC_TERMS),
        "other_costs": [line for line in price_lines(sheet.base) if line.token_class not in MAIN_CLASSES]
        if sheet
        else [],
        "conditions": [(condition_text(each), price_lines(each.unit_costs)) for each in sheet.overrides]
        if sheet
        else [],
    }
