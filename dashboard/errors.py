"""What a failed request is answered with: a page that says what to do next, or, under /api, the one error shape of the API."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views import defaults


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_program(request):
        return in_json(400, "bad_request", _("The request could not be read."))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_program(request):
        return in_json(403, "permission_denied", _("This is not allowed."))
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_program(request):
        return in_json(404, "not_found", _("There is nothing at this address."))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if is_program(request):
        return in_json(500, "internal_error", _("Something went wrong on our side."))
    return defaults.server_error(request)


def is_program(request: HttpRequest) -> bool:
    return request.path.startswith("/api/") and not request.path.startswith("/api/docs")


def in_json(status: int, code: str, message: str) -> JsonResponse:
    body: dict[str, Any] = {"error": {"code": code, "message": message}}
    return JsonResponse(body, status=status)
