"""One error shape everywhere under /api: `{"error": {"code", "message", "field"?, "details"?}}`.

REST framework's handler for what views raise; `dashboard/errors.py` writes the same shape for what fails outside of them.
"""

import logging
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from billing.collection import AmountNotPossible, InvoiceNotOpen
from billing.processors.selection import NoCardProcessor
from billing.tax.proofs import CardRefused
from catalog import price_book
from ledger.retrying import is_transient
from metering.archive_files import ArchiveDamaged
from metering.formats.bodies import BodyTooLarge, UnknownEncoding
from metering.formats.selection import UnknownFormat
from metering.ingestion import RecordingUnavailable
from metering.pushed_events import MalformedBatch, TooManyEvents

logger = logging.getLogger(__name__)
RETRY_SECONDS = 1
ARCHIVE_UNAVAILABLE = "The archive of that month cannot be read at the moment. Nothing is lost, and we are told."


def error_body(code: str, message: str, **more: object) -> dict[str, Any]:
    """The one shape; `more` may be `field` and `details`, left out where empty."""
    return {"error": {"code": code, "message": message} | {name: value for name, value in more.items() if value}}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to what a REST view raised; None for a defect, which Django logs and `dashboard.errors.server_error` answers."""
    answer = _answer(error)
    if answer is not None:
        set_rollback()
    return answer


def _answer(error: Exception) -> Response | None:
    match error:
        case exceptions.ValidationError():
            return _invalid(error)
        case exceptions.APIException():
            headers = {
                name: str(getattr(error, attribute)) for name, attribute in _HEADERS if getattr(error, attribute, None)
            }
            return Response(error_body(_code(error), str(error.detail)), status=error.status_code, headers=headers)
        case Http404():
            return Response(error_body("not_found", "There is no such thing here."), status=404)
        case PermissionDenied():
            return Response(error_body("permission_denied", "You may not do this."), status=403)
        case RequestDataTooBig():
            return Response(error_body("too_large", "The request body is too large."), status=413)
        case SuspiciousOperation() | UnreadablePostError() | RecursionError():
            return Response(error_body("bad_request", "The request cannot be read."), status=400)
        case price_book.UnknownModel():
            return Response(error_body("model_not_found", str(error), field="model"), status=404)
        case price_book.NoRate():
            return Response(error_body("no_price", str(error), field="model"), status=422)
        case InvoiceNotOpen():
            return Response(error_body("invoice_not_open", str(error)), status=409)
        case CardRefused():
            message = "This invoice gets a tax invoice, so it is paid by transfer to the bank account on it."
            return Response(error_body("paid_by_transfer", message), status=409)
        case AmountNotPossible() | NoCardProcessor():
            message = "This invoice cannot be paid by card here. Transfer the amount to the bank account on it."
            return Response(error_body("card_payment_not_possible", message), status=422)
        case MalformedBatch():
            return Response(error_body("malformed_request", str(error)), status=400)
        case TooManyEvents():
            return Response(error_body("too_many_events", str(error)), status=413)
        case BodyTooLarge():
            return Response(error_body("too_large", str(error)), status=413)
        case UnknownFormat() | UnknownEncoding():
            return Response(error_body("unsupported_media_type", str(error)), status=415)
        case ArchiveDamaged():
            logger.error("an archive cannot be read: %s", error)
            return Response(error_body("archive_unavailable", ARCHIVE_UNAVAILABLE), status=503)
        case RecordingUnavailable():
            return _unavailable(error)
        case DatabaseError() if is_transient(error):
            return _unavailable(error)
    return None


_HEADERS = (("WWW-Authenticate", "auth_header"), ("Retry-After", "wait"))
_CODES = {"throttled": "rate_limit_exceeded", "parse_error": "malformed_request"}


def _code(error: exceptions.APIException) -> str:
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else error.default_code
    return _CODES.get(code, code)


def _invalid(error: exceptions.ValidationError) -> Response:
    faults = list(_faults(error.detail, ""))
    field, message = faults[0]
    details = [{"field": field, "message": message} if field else {"message": message} for field, message in faults]
    body = error_body("invalid", message, field=field, details=details if len(details) > 1 else None)
    return Response(body, status=error.status_code)


def _faults(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every fault of a serializer as (field, message); fields inside others are written with a dot."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from _faults(inner, f"{path}.{own}".strip("."))
    elif isinstance(detail, list | tuple):
        for inner in detail:
            yield from _faults(inner, path)
    else:
        yield path, str(detail)


def _unavailable(error: Exception) -> Response:
    logger.warning("answered 503", extra={"error_type": type(error).__name__})
    return Response(
        error_body("temporarily_unavailable", "Nothing is lost: send the same request again."),
        status=status.HTTP_503_SERVICE_UNAVAILABLE,
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
