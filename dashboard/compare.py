"""`/models/compare`: what one's own month would cost with every model, some of them side by side. One address says it all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.what_if import Answer, answers_for, by_total, compare
from catalog.models_in_memory import all_models
from catalog.provider_names import provider_choices
from dashboard.compare_form import CompareForm, compare_form
from dashboard.compare_rows import Row
from dashboard.model_facts import MODALITIES, embeds, handles
from dashboard.pages import page_links, page_of
from dashboard.readers import Reader, keep_private, reader_of
from pricing.tokens import TokenClass

MOST_PINNED = 4
DEFAULT_SORT = "total"


@dataclass(frozen=True, slots=True)
class Query:
    """What the address asks for; whatever it does not know is ignored."""

    form: CompareForm
    chosen: str
    search: str
    provider: str
    modality: str
    paid: bool
    sort: str
    pins: tuple[str, ...]

    @classmethod
    def of(cls, request: HttpRequest, form: CompareForm, reader: Reader) -> "Query":
        asked = request.GET
        sort = asked.get("sort", DEFAULT_SORT)
        known = {model.slug for model in all_models()}
        return cls(
            form=form,
            chosen=reader.chosen,
            search=asked.get("q", "").strip()[:100],
            provider=asked.get("provider", ""),
            modality=asked.get("modality", "") if asked.get("modality") in {each.value for each in MODALITIES} else "",
            paid=asked.get("paid") == "1",
            sort=sort if sort.removeprefix("-") in SORT_KEYS else DEFAULT_SORT,
            pins=tuple(dict.fromkeys(slug for slug in asked.getlist("pin") if slug in known))[:MOST_PINNED],
        )

    @property
    def is_narrow(self) -> bool:
        return bool(self.search or self.provider or self.modality or self.paid)

    def address(self, *, pins: Sequence[str] | None = None, **changes: str) -> str:
        """The address of this view with `changes`; on the first page."""
        values = self.form.changed | {
            "for": self.chosen,
            "q": self.search,
            "provider": self.provider,
            "modality": self.modality,
            "paid": "1" if self.paid else "",
            "sort": "" if self.sort == DEFAULT_SORT else self.sort,
            **changes,
        }
        pinned = [("pin", slug) for slug in (self.pins if pins is None else pins)]
        return "?" + urlencode([*((name, value) for name, value in values.items() if value), *pinned])

    def pin_address(self, slug: str) -> str:
        """With the model beside the others, or without it; empty where there is no room for one more."""
        if slug in self.pins:
            return self.address(pins=[pin for pin in self.pins if pin != slug])
        return self.address(pins=[*self.pins, slug]) if len(self.pins) < MOST_PINNED else ""


def _unit_price(answer: Answer, token_class: TokenClass) -> Decimal | None:
    return answer.parts[0].rate.unit_prices[token_class] if answer.parts else None


SORT_KEYS: Mapping[str, Callable[[Answer], Any]] = {
    "total": lambda answer: by_total(answer)[1] if answer.totals else None,
    "name": lambda answer: answer.model.name.casefold(),
    "input": lambda answer: _unit_price(answer, TokenClass.INPUT),
    "output": lambda answer: _unit_price(answer, TokenClass.OUTPUT),
    "context": lambda answer: answer.model.context_length,
}
"""What the list may be sorted by. None is unknown, and stands last in either direction."""


@require_safe
def compare_models(request: HttpRequest) -> HttpResponse:
    now, form = timezone.now(), compare_form(request)
    reader = reader_of(request, now=now)
    query = Query.of(request, form, reader)
    answers: list[Answer] = []
    pinned: list[Answer] = []
    if form.volume:
        answers = compare(volume=form.volume, buyer=reader.buyer, at=now, search=query.search, provider=query.provider)
        models = {model.slug: model for model in all_models()}
        pinned = answers_for([models[slug] for slug in query.pins], volume=form.volume, buyer=reader.buyer, at=now)
    wanted = [each for each in MODALITIES if each.value == query.modality]
    answers = [
        answer
        for answer in answers
        if all(handles(answer.model, each) for each in wanted) and not (query.paid and is_free(answer))
        if wanted or not embeds(answer.model)  # which writes nothing, so it would always be the cheapest
    ]
    page = page_of(request, sorted_by(query.sort, answers))
    context = {
        "section": "models",
        "trail": [(_("Models"), reverse("dashboard:models")), (_("Compare prices"), None)],
        "reader": reader,
        "currency": reader.buyer.terms.currency,
        "tax_rate": reader.buyer.tax_rate,
        "buyer": reader.buyer,
        "form": form,
        "query": query,
        "page": page,
        "rows": [row_of(answer, query, now) for answer in page],
        "pinned": [row_of(answer, query, now) for answer in pinned],
        "lowest": lowest_of(pinned),
        "most_pinned": MOST_PINNED,
        "providers": provider_choices(),
        "modalities": MODALITIES,
        "sorts": {name: heading(query, name) for name in SORT_KEYS},
        **page_links(request, page),
    }
    with timezone.override(reader.zone):
        return keep_private(render(request, "site/compare.html", context), reader)


def row_of(answer: Answer, query: Query, now: datetime) -> Row:
    slug = answer.model.slug
    return Row(answer, now, slug in query.pins, query.pin_address(slug))


def is_free(answer: Answer) -> bool:
    """Whether nothing of the model has a price, whatever the volume."""
    return bool(answer.parts) and not any(answer.parts[0].rate.unit_costs.values())


def lowest_of(pinned: Sequence[Answer]) -> Decimal | None:
    """The smallest total, if there is something to compare it with."""
    totals = [answer.totals.total for answer in pinned if answer.totals]
    return min(totals) if len(totals) > 1 else None


def sorted_by(sort: str, answers: list[Answer]) -> list[Answer]:
    key = SORT_KEYS[sort.removeprefix("-")]
    ordered = sorted(answers, key=by_total)
    known = sorted((answer for answer in ordered if key(answer) is not None), key=key, reverse=sort.startswith("-"))
    return known + [answer for answer in ordered if key(answer) is None]


def heading(query: Query, name: str) -> dict[str, str]:
    """A column heading: where a click leads, and how the column is sorted now."""
    if query.sort == name:
        return {"url": query.address(sort=f"-{name}"), "state": "ascending"}
    state = "descending" if query.sort == f"-{name}" else "none"
    return {"url": query.address(sort="" if name == DEFAULT_SORT else name), "state": state}
