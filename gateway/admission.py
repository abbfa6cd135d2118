"""A call arrives (the walk of ARCHITECTURE.md): key, body, model, limits, and the hold, committed before the upstream is called."""

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from starlette.types import Receive

from accounts.models import Organization, Scope
from gateway.calls import Call
from gateway.dialects.base import Dialect
from gateway.errors import GatewayError, ModelNotFound, NotPermitted, Unauthenticated, Unavailable
from gateway.keys import Caller, KeyCache
from gateway.receipts import asks_for_cost
from gateway.refused_holds import refused
from gateway.repetitions import call_key, repeated_call
from gateway.request_bodies import decode_body, read_body
from gateway.reserving import output_cap, worst_case
from gateway.sold import find_sold
from gateway.suspended_accounts import suspended
from gateway.upstreams.base import UpstreamRequest
from gateway.writers import Release, Writers
from gateway.writing_together import UNDECIDED
from ledger import holds
from ledger.call_keys import RepeatedCall
from ledger.event_ids import new_id
from ledger.group_commit import WriterStopped
from ledger.holds import HoldRequest, Refusal

if TYPE_CHECKING:
    from gateway.process import Gateway

logger = logging.getLogger(__name__)
SECONDS_TO_RESERVE = 10.0
BEARER = "bearer "


async def identify(headers: Mapping[str, str], keys: KeyCache, *, now: datetime) -> Caller:
    """Whom the request's key speaks for, if it may call models. Raises Unauthenticated, NotPermitted, Unavailable."""
    authorization = headers.get("authorization", "")
    if authorization[: len(BEARER)].lower() != BEARER:
        raise Unauthenticated("Send your API key as 'Authorization: Bearer <key>'.")
    caller = await keys.find(authorization[len(BEARER) :].strip(), now=now)
    if Scope.INFERENCE not in caller.identity.scopes:
        raise NotPermitted(
            "This API key may not call models. Use a key with the scope 'inference'.", code="missing_scope"
        )
    if caller.suspended_for is not None:
        raise suspended(caller.suspended_for)
    if caller.identity.organization_status != Organization.Status.ACTIVE:
        raise NotPermitted(
            f"This organization is {caller.identity.organization_status}. Please see {settings.SITE_URL}/dashboard.",
            code="organization_inactive",
        )
    return caller


async def admit(
    receive: Receive,
    headers: Mapping[str, str],
    *,
    dialect: Dialect,
    request_id: str,
    gateway: "Gateway",
) -> Call:
    """A call that may be made: its worst case is reserved, by a committed row. Raises GatewayError, CallerLeft."""
    began, now = time.monotonic(), timezone.now()
    caller = await identify(headers, gateway.keys, now=now)
    raw = await read_body(receive, headers, limit=settings.GATEWAY_MAX_BODY_BYTES)
    body = decode_body(raw)
    ask = dialect.read_ask(body)
    if asks_for_cost(headers):
        ask = msgspec.structs.replace(ask, wants_usage=True, wants_cost=True)
    models = [find_sold(slug, caller=caller, now=now) for slug in (ask.model, *ask.fallbacks)]
    candidates = gateway.upstreams.candidates(models)
    if not candidates:
        raise ModelNotFound(ask.model)
    cap = output_cap(ask, models, prompt_bytes=len(raw))
    amount = worst_case(ask, models, caller=caller, prompt_bytes=len(raw), cap=cap, now=now)
    hold = HoldRequest(
        organization_id=caller.identity.organization_id,
        id=new_id(now),
        created_at=now,
        expires_at=now + timedelta(seconds=settings.HOLD_SECONDS),
        api_key_id=caller.identity.api_key_id,
        model_id=models[0].id,
        amount=amount,
        request_id=request_id,
        upstream=candidates[0].upstream.name,
        end_user=ask.end_user,
        tags=ask.tags,
        call_key=call_key(headers),
    )
    request = UpstreamRequest(
        endpoint=dialect.path, body=dialect.forwarded_body(body, ask, cap=cap), streamed=ask.streamed
    )
    allowance = await gateway.rates.take(caller.identity, ask, prompt_bytes=len(raw), cap=cap)
    try:
        refusal = await reserve(hold, writers=gateway.writers)
        if isinstance(refusal, RepeatedCall):
            raise await repeated_call(refusal.hold_id, caller=caller, threads=gateway.threads)
        if refusal is not None:
            raise refused(refusal, amount, caller=caller, prompt_bytes=len(raw), cap=cap * ask.answers, now=now)
    except GatewayError as error:
        gateway.rates.correct(allowance, tokens=0)
        error.headers |= allowance.headers
        raise
    return Call(
        request_id=request_id,
        hold=hold,
        began=began,
        caller=caller,
        dialect=dialect,
        ask=ask,
        model=models[0],
        request=request,
        candidates=candidates,
        candidate=candidates[0],
        allowance=allowance,
    )


async def reserve(hold: HoldRequest, *, writers: Writers) -> Refusal | None:
    """Why the hold is refused; None if it is committed. Raises Unavailable if that stays unknown; a late hold is given back."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SECONDS_TO_RESERVE
    writer = writers.together if holds.without_decisions([hold]) else writers.reserve
    try:
        future: asyncio.Future[Any] = writer.ask([hold])
        await asyncio.wait((future,), timeout=SECONDS_TO_RESERVE)
        if future.done() and future.exception() is None and future.result()[0] is UNDECIDED:
            future = writers.reserve.ask([hold])
            await asyncio.wait((future,), timeout=until - loop.time())
    except WriterStopped:
        raise Unavailable("The gateway is shutting down. Please try again.") from None
    error = future.exception() if future.done() else TimeoutError()
    if error is None:
        refusal: Refusal | None = future.result()[0]
        return refusal
    if not isinstance(error, DatabaseError | TimeoutError):
        raise error
    future.add_done_callback(lambda late: _give_back(late, hold, writers))
    logger.error("hold not committed", extra={"request_id": hold.request_id, "error_type": type(error).__name__})
    raise Unavailable("The call could not be admitted at the moment. Please try again shortly.") from None


def _give_back(late: "asyncio.Future[Any]", hold: HoldRequest, writers: Writers) -> None:
    if late.cancelled() or late.exception() is not None or late.result()[0] is not None:
        return
    writers.releases.submit([Release(hold.organization_id, hold.id)])
