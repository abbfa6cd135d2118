"""What a failed request is answered with: a page that says what to do next, or, under /api/, the API's one error shape.

These are Django's handlers, for what happens outside of REST views; `config.api_errors` answers for those.
A page keeps the site's frame, with the reader's sign-in and language; should even that fail, it is written without.
"""

import logging

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views import defaults

logger = logging.getLogger(__name__)
API_PREFIX = "/api/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(API_PREFIX):
        return in_json(400, "bad_request", "The request cannot be read.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(API_PREFIX):
        return in_json(403, "permission_denied", "You may not do this.")
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(API_PREFIX):
        return in_json(404, "not_found", "There is no such address.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if request.path.startswith(API_PREFIX):
        return in_json(500, "internal_error", "Something failed on our side, and we have been told.")
    try:
        return render(request, "500.html", status=500)
    except Exception:
        logger.exception("the page of an error failed, too")
        return defaults.server_error(request)


def in_json(status: int, code: str, message: str) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)
