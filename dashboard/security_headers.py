"""What every answer says to browsers (Content-Security-Policy: our own files only, no frames), and what no address may hold."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse

POLICY: Mapping[str, Sequence[str]] = {
    "default-src": ("'self'",),
    "img-src": ("'self'", "data:"),
    "object-src": ("'none'",),
    "base-uri": ("'none'",),
    "form-action": ("'self'",),
    "frame-ancestors": ("'none'",),
}
"""`data:` is for the QR code of the second factor."""

View = Callable[..., HttpResponse]


class RefuseNulMiddleware:
    """Answers 400 to an address with a NUL character: no column can hold one, so no page can be meant."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise SuspiciousOperation("NUL in the address")
        return self.get_response(request)


class ContentSecurityPolicyMiddleware:
    """Writes the policy. A response widens it by an attribute `more_sources`: {"script-src": ["'unsafe-inline'"]}."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if "Content-Security-Policy" not in response:
            response["Content-Security-Policy"] = policy_text(getattr(response, "more_sources", {}))
        return response


def policy_text(more_sources: Mapping[str, Sequence[str]]) -> str:
    """The header's value. A directive that stands only in `more_sources` starts from what `default-src` allows."""
    merged = {directive: list(sources) for directive, sources in POLICY.items()}
    for directive, sources in more_sources.items():
        merged[directive] = [*merged.get(directive, POLICY["default-src"]), *sources]
    return "; ".join(f"{directive} {' '.join(sources)}" for directive, sources in merged.items())


def allow_sources(**more: Sequence[str]) -> Callable[[View], View]:
    """Widen the policy of one view: `@allow_sources(script_src=["'unsafe-inline'"])`."""
    more_sources = {directive.replace("_", "-"): sources for directive, sources in more.items()}

    def decorate(view: View) -> View:
        @wraps(view)
        def widened(*args: Any, **kwargs: Any) -> HttpResponse:
            response = view(*args, **kwargs)
            response.more_sources = more_sources  # type: ignore[attr-defined]
            return response

        return widened

    return decorate
