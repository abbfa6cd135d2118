"""`/`: the landing page, with the bill of the model that every example uses, and some prices to compare."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from catalog.price_list import models_sold
from dashboard.estimate_form import asked_estimate
from dashboard.offers import Offer, offer_of
from dashboard.templatetags.figures import percent

EXAMPLE = "mistralai/devstral-small"
FEATURED = (
    "mistralai/devstral-small",
    "openai/gpt-4o-mini",
    "anthropic/claude-sonnet-4",
    "google/gemini-2.5-flash",
    "deepseek/deepseek-chat-v3.1",
    "qwen/qwen3-coder",
)
"""Models to compare on the first page, as far as they are sold; others fill the gaps."""


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    sold = models_sold(at=now)
    priced = {listed.model.slug: listed for listed in sold if listed.price}
    example = priced.get(request.GET.get("model", "")) or priced.get(EXAMPLE) or next(iter(priced.values()), None)
    context = {
        "model_count": len(sold),
        "inclusive": settings.PRICES_INCLUDE_VAT,
        "estimate": example and asked_estimate(request, example.model, at=now),
        "estimate_models": [(slug, listed.model.name) for slug, listed in priced.items()],
        "markup_percent": example and example.price and percent(example.price.rate.markup),
        "featured_models": [row_of(offer_of(priced[slug])) for slug in featured(list(priced))],
    }
    return render(request, "site/home.html", context)


def featured(slugs: list[str]) -> list[str]:
    known = [slug for slug in FEATURED if slug in slugs]
    return (known + [slug for slug in slugs if slug not in known])[: len(FEATURED)]


def row_of(offer: Offer) -> dict[str, Any]:
    month = offer.month
    return {
        "url": reverse("dashboard:model", args=[offer.model.page_slug]),
        "name": offer.model.name,
        "provider": offer.model.provider,
        "context_length": offer.model.context_length,
        "input_cost": offer.input_cost,
        "output_cost": offer.output_cost,
        "total": month and month.total,
    }
