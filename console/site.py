"""The admin site: Django's with Unfold's face, entered through allauth, for operators only."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.sites import UnfoldAdminSite

from console.access import is_operator

SOURCES_OF_UNFOLD = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}
"""Alpine, which Unfold's pages are moved by, evaluates the expressions in their attributes, and their colours stand in a <style>.
Scripts still come from our own files only; the entrance keeps the site's strict policy."""


class ConsoleSite(UnfoldAdminSite):
    """Its pages of our own are added by `page`; models are registered by the module of their area."""

    index_title = _("Home")
    site_title = _("InvoiceDream console")

    def __init__(self) -> None:
        super().__init__(name="admin")
        self.pages: list[URLPattern] = []

    def has_permission(self, request: HttpRequest) -> bool:
        return is_operator(request.user)

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Callable[..., HttpResponse]:
        inner = super().admin_view(view, cacheable)

        def widened(*args: Any, **kwargs: Any) -> HttpResponse:
            response = inner(*args, **kwargs)
            response.more_sources = SOURCES_OF_UNFOLD
            return response

        return widened

    def extra_urls(self) -> list[URLPattern]:
        return self.pages

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        from console.home import home  # it links to pages of areas, which are added to this site

        return home(request)

    def app_index(self, request: HttpRequest, app_label: str, extra_context: Any = None) -> HttpResponse:
        return redirect("admin:index")  # areas are not apps

    @method_decorator(require_POST)
    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        logout(request)
        return redirect("account_login")

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("account_login")

    def render(self, request: HttpRequest, template: str, *, title: Any, **context: Any) -> TemplateResponse:
        """A page of our own within the console's frame."""
        return TemplateResponse(
            request, template, {**self.each_context(request), "title": title, "subtitle": None, **context}
        )


site = ConsoleSite()
