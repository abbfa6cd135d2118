"""Pages of a list that Django's admin does not make: numbered ones, and of large tables the rows before an id."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

PER_PAGE = 50


def newest_first(
    request: HttpRequest, rows: QuerySet[Any], *, key: str = "id"
) -> tuple[list[Any], dict[str, str | None]]:
    """The page of `rows` before the id that the query names, and the queries of the pages beside it."""

    def fetch(before: UUID | None, limit: int) -> list[Any]:
        wanted = rows if before is None else rows.filter(**{f"{key}__lt": before})
        return list(wanted.order_by(f"-{key}")[:limit])

    return before_an_id(request, fetch, key=key)


def before_an_id(
    request: HttpRequest, fetch: Callable[[UUID | None, int], list[Any]], *, key: str = "id"
) -> tuple[list[Any], dict[str, str | None]]:
    """The same of what `fetch` finds before an id, if given, and up to a limit. Ids are made of time, so the newest stand first."""
    before = _uuid_of(request.GET.get("before"))
    found = fetch(before, PER_PAGE + 1)
    page = found[:PER_PAGE]
    return page, {
        "older": query_with(request, before=getattr(page[-1], key)) if len(found) > PER_PAGE else None,
        "newest": query_with(request, before=None) if before is not None else None,
    }


def _uuid_of(text: str | None) -> UUID | None:
    """The id that a query names; None for what is none."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def page_of(request: HttpRequest, rows: Any, *, name: str = "page") -> Page[Any]:
    """The numbered page of `rows`, a list or a query, that the parameter `name` asks for."""
    return Paginator(rows, PER_PAGE).get_page(request.GET.get(name))


def pages(request: HttpRequest, page: Page[Any], *, name: str) -> dict[str, str | None]:
    """The queries of the first and the next page; `name` is the parameter that counts them."""
    return {
        "first_page": query_with(request, **{name: None}) if page.has_previous() else None,
        "next_page": query_with(request, **{name: page.next_page_number()}) if page.has_next() else None,
    }


def query_with(request: HttpRequest, **changes: object) -> str:
    """The same page's query with these values; None takes one out."""
    query = request.GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return f"?{query.urlencode()}"
