"""REST: take back or change what was reported, by our id of an event (`POST usage/events/{id}/void`, `…/amend`) or, in a batch, by
the reporter's own (`POST usage/corrections`). Who may is who reported it: no key reaches what the built-in gateway recorded."""

from typing import TypeVar
from uuid import UUID

import msgspec
from django.conf import settings
from django.http import Http404, HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import Caller, Reporter
from accounts.models import Scope
from accounts.tenancy import tenant_scope
from metering.asked_corrections import asked_by, asked_of, make_corrections, receipt_of
from metering.correction_decisions import UNKNOWN_CALL, AskedBy
from metering.correction_shapes import AmendShape, CorrectedAnswer, CorrectionShape, VoidShape
from metering.event_decoding import UNREADABLE, reason_of
from metering.formats.bodies import plain_body
from metering.ingestion import UNKNOWN_ORGANIZATION
from metering.push_api import PushView, verdicts
from metering.pushed_corrections import (
    Action,
    Amendment,
    Voiding,
    decode_corrections,
)
from metering.reported_calls import reported_calls
from metering.reporters import organization_ids
from metering.reports import Outcome, Status
from metering.usage_shapes import PushAnswer

MOST_CORRECTIONS = 1_000
Body = TypeVar("Body", Voiding, Amendment)


class CorrectionConflict(APIException):
    status_code = 409
    default_code = "conflict"


class NotCorrectable(APIException):
    status_code = 422
    default_code = "not_correctable"


class _CorrectOne(PushView):
    """A correction of the event that the address names."""

    def _correct(self, request: Request, event_id: UUID, action: Action, form: type[Body]) -> Response:
        reporter = _reporter(request)
        if isinstance(reporter, Caller):
            _require(event_id, reporter.organization_id, asked_by(reporter))
        body = _read(request, form)
        organization_id = organization_ids(
            {body.organization} if body.organization is not None else set(), reporter=reporter
        ).get(body.organization)
        if organization_id is None:
            raise serializers.ValidationError({"organization": UNKNOWN_ORGANIZATION})
        asked = asked_of(body, organization_id, call=event_id, action=action)
        if isinstance(asked, str):
            raise serializers.ValidationError({"api_key": asked})
        [outcome] = make_corrections([asked], by=asked_by(reporter), now=timezone.now())
        return _answer(outcome)


class VoidEvent(_CorrectOne):
    """A call that should never have been charged."""

    @extend_schema(
        operation_id="void_usage_event",
        summary="Take a reported call back",
        request=VoidShape,
        responses=CorrectedAnswer,
    )
    def post(self, request: Request, event_id: UUID) -> Response:
        """The charge is reversed, in the next open month if its own is closed; both stay readable. Again it changes nothing."""
        return self._correct(request, event_id, Action.VOID, Voiding)


class AmendEvent(_CorrectOne):
    """A call that was not what had been reported."""

    @extend_schema(
        operation_id="amend_usage_event",
        summary="Correct a reported call",
        request=AmendShape,
        responses=CorrectedAnswer,
    )
    def post(self, request: Request, event_id: UUID) -> Response:
        """The charge is reversed and made anew, at the price of the call's own moment. Again it changes nothing. An event is
        amended once; what replaced it may be amended in turn."""
        return self._correct(request, event_id, Action.AMEND, Amendment)


class Corrections(PushView):
    """Corrections by the ids that the reporter gave its calls."""

    @extend_schema(
        operation_id="correct_usage",
        summary="Void or amend reported calls, a batch at a time",
        request=CorrectionShape(many=True),
        responses={200: PushAnswer},
    )
    def post(self, request: Request) -> HttpResponse:
        """A JSON array; a verdict each, in order: accepted, duplicate (corrected the same way before), conflict (amended otherwise
        before: that stays), rejected with its reason. What is accepted is committed, all of it at once."""
        reporter = _reporter(request)
        corrections = decode_corrections(_body(request), at_most=MOST_CORRECTIONS)
        return verdicts(receipt_of(corrections, reporter=reporter, now=timezone.now()))


def _reporter(request: Request) -> Caller | Reporter:
    reporter: Caller | Reporter = request.auth  # type: ignore[assignment]
    if isinstance(reporter, Caller) and not reporter.may(scope=Scope.USAGE_WRITE, roles=()):
        raise PermissionDenied("The API key lacks the scope usage:write.")
    return reporter


def _require(event_id: UUID, organization_id: int, by: AskedBy) -> None:
    """Somebody else's event is not there, whatever is asked of it."""
    with tenant_scope([organization_id]):
        call = reported_calls([event_id], organization_id=organization_id).get(event_id)
    if call is None or call.source_id != by.source_id:
        raise Http404


def _body(request: Request) -> bytes:
    return plain_body(
        request._request.body, encoding=request.headers.get("Content-Encoding", ""), at_most=settings.USAGE_MAX_BODY
    )


def _read(request: Request, form: type[Body]) -> Body:
    try:
        body = msgspec.json.decode(_body(request), type=form)
    except UNREADABLE as fault:
        raise serializers.ValidationError(reason_of(fault)) from None
    if isinstance(body, Amendment) and not body.corrected_fields:
        raise serializers.ValidationError("nothing to amend: say what was wrong")
    return body


def _answer(outcome: Outcome) -> Response:
    if outcome.status is Status.CONFLICT:
        raise CorrectionConflict(outcome.reason)
    if outcome.status is Status.REJECTED:
        if outcome.reason == UNKNOWN_CALL:
            raise Http404
        raise NotCorrectable(outcome.reason)
    reason = {"reason": outcome.reason} if outcome.reason else {}
    return Response({"status": outcome.status.value, "event_id": str(outcome.event_id), **reason})
