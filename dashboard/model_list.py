"""`/models`: everything sold, to be searched, filtered and sorted. One address says it all, so a view can be shared."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from catalog.price_list import models_sold
from catalog.provider_names import provider_choices
from dashboard.model_facts import MODALITIES, handles, modalities_of
from dashboard.offers import Offer, offer_of
from dashboard.pages import page_links, page_of

DEFAULT_SORT = "name"


@dataclass(frozen=True, slots=True)
class Query:
    """What the address asks for; whatever it does not know is ignored."""

    search: str
    provider: str
    modality: str
    free: bool
    sort: str

    @classmethod
    def of(cls, request: HttpRequest) -> "Query":
        asked = request.GET
        sort = asked.get("sort", DEFAULT_SORT)
        return cls(
            search=asked.get("q", "").strip()[:100],
            provider=asked.get("provider", ""),
            modality=asked.get("modality", "") if asked.get("modality") in {each.value for each in MODALITIES} else "",
            free=asked.get("free") == "1",
            sort=sort if sort.removeprefix("-") in SORT_KEYS else DEFAULT_SORT,
        )

    @property
    def is_narrow(self) -> bool:
        return bool(self.search or self.provider or self.modality or self.free)

    def address(self, **changes: Any) -> str:
        """The address of this view with `changes`; always on the first page unless it names one."""
        values = {
            "q": self.search,
            "provider": self.provider,
            "modality": self.modality,
            "free": "1" if self.free else "",
            "sort": "" if self.sort == DEFAULT_SORT else self.sort,
            **changes,
        }
        return "?" + urlencode({name: value for name, value in values.items() if value})


def by_price(offer: Offer) -> tuple[bool, Decimal]:
    return (offer.cost_sum is None, offer.cost_sum or Decimal())


def by_context(offer: Offer) -> tuple[bool, int]:
    return (offer.model.context_length is None, offer.model.context_length or 0)


def by_name(offer: Offer) -> tuple[bool, str]:
    return (False, offer.model.name.casefold())


SORT_KEYS: dict[str, Callable[[Offer], tuple[bool, Any]]] = {"name": by_name, "price": by_price, "context": by_context}
"""Each key says first whether the value is unknown: what is unknown stands last in either direction."""


@require_safe
def model_list(request: HttpRequest) -> HttpResponse:
    query = Query.of(request)
    sold = models_sold(at=timezone.now(), search=query.search, provider=query.provider)
    offers = sorted_by(query.sort, [offer for offer in map(offer_of, sold) if matches(offer, query)])
    page = page_of(request, offers)
    context = {
        "section": "models",
        "query": query,
        "inclusive": settings.PRICES_INCLUDE_VAT,
        "page": page,
        "rows": [(offer, modalities_of(offer.model)) for offer in page],
        "providers": provider_choices(),
        "modalities": MODALITIES,
        "sorts": {name: heading(query, name) for name in SORT_KEYS},
        **page_links(request, page),
    }
    response = render(request, "site/models.html", context)
    if request.htmx:  # without what the form left empty
        response["HX-Push-Url"] = request.path + query.address().removesuffix("?")
    return response


def matches(offer: Offer, query: Query) -> bool:
    if query.free and not offer.is_free:
        return False
    return all(handles(offer.model, each) for each in MODALITIES if each.value == query.modality)


def sorted_by(sort: str, offers: list[Offer]) -> list[Offer]:
    key = SORT_KEYS[sort.removeprefix("-")]
    ordered = sorted(offers, key=by_name)
    known = sorted((offer for offer in ordered if not key(offer)[0]), key=key, reverse=sort.startswith("-"))
    return known + [offer for offer in ordered if key(offer)[0]]


def heading(query: Query, name: str) -> dict[str, str]:
    """A column heading: where a click leads, and how the column is sorted now."""
    if query.sort == name:
        return {"url": query.address(sort=f"-{name}"), "state": "ascending"}
    return {"url": query.address(sort=name), "state": "descending" if query.sort == f"-{name}" else "none"}
