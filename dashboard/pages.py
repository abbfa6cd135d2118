"""Numbered pages of a list, with the links that components/pager.html wants."""

from collections.abc import Sequence
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

PAGE_SIZE = 50


def page_of(request: HttpRequest, rows: "QuerySet[Any] | Sequence[Any]", *, size: int = PAGE_SIZE) -> Page:
    """The page that the address names; one that does not exist is the nearest that does."""
    return Paginator(rows, size).get_page(request.GET.get("page"))


def page_links(request: HttpRequest, page: Page) -> dict[str, str]:
    """Addresses of the pages before and after, all else in the address kept."""
    return {
        "previous_url": _address(request, page.previous_page_number()) if page.has_previous() else "",
        "next_url": _address(request, page.next_page_number()) if page.has_next() else "",
    }


def _address(request: HttpRequest, number: int) -> str:
    asked = request.GET.copy()
    asked["page"] = str(number)
    return f"?{asked.urlencode()}"
