"""A call arrives (the walk, DESIGN §2): key, body, model, limits, and the hold, committed before the upstream is called."""

import asyncio
import logging
import time
from concurrent.futures import Future
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from starlette.datastructures import Headers
from starlette.types import Receive

from accounts.models import Organization, Scope
from catalog.price_snapshot import ModelEntry
from gateway.asks import Ask, read_ask
from gateway.calls import Call
from gateway.errors import NotPermitted, QuotaExceeded, Unauthenticated, Unavailable
from gateway.keys import Caller, KeyCache
from gateway.request_bodies import decode_body, read_body
from gateway.reserving import output_cap, worst_case
from gateway.sold import find_sold
from gateway.upstreams.base import UpstreamRequest
from gateway.upstreams.forwarded_bodies import forwarded_body
from gateway.writers import Release, Writers
from ledger.event_ids import new_id
from ledger.group_commit import WriterStopped
from ledger.holds import HoldRequest, InsufficientFunds

logger = logging.getLogger(__name__)
SECONDS_TO_RESERVE = 10.0
BEARER = "bearer "


async def identify(headers: Headers, keys: KeyCache, *, now: datetime) -> Caller:
    """Whom the request's key speaks for, if it may call models. Raises Unauthenticated, NotPermitted, Unavailable."""
    authorization = headers.get("authorization", "")
    if authorization[: len(BEARER)].lower() != BEARER:
        raise Unauthenticated("Send your API key as 'Authorization: Bearer <key>'.")
    caller = await keys.find(authorization[len(BEARER) :].strip(), now=now)
    if Scope.INFERENCE not in caller.identity.scopes:
        raise NotPermitted(
            "This API key may not call models. Use a key with the scope 'inference'.", code="missing_scope"
        )
    if caller.identity.organization_status != Organization.Status.ACTIVE:
        raise NotPermitted(
            f"This organization is {caller.identity.organization_status}. Please see {settings.SITE_URL}/dashboard.",
            code="organization_inactive",
        )
    return caller


async def admit(
    receive: Receive,
    headers: Headers,
    *,
    endpoint: str,
    request_id: str,
    keys: KeyCache,
    writers: Writers,
    upstream: str,
) -> Call:
    """A call that may be made: its worst case is reserved, by a committed row. Raises GatewayError, CallerLeft."""
    began, now = time.monotonic(), timezone.now()
    caller = await identify(headers, keys, now=now)
    raw = await read_body(receive, headers, limit=settings.GATEWAY_MAX_BODY_BYTES)
    body = decode_body(raw)
    ask = read_ask(body)
    models = [find_sold(slug, caller=caller, now=now) for slug in (ask.model, *ask.fallbacks)]
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
        upstream=upstream,
    )
    if not await reserve(hold, writers=writers):
        raise _quota_exceeded(amount, caller=caller, prompt_bytes=len(raw), cap=cap * ask.answers)
    return _call(request_id, hold, began, caller, ask, models[0], body=body, cap=cap, endpoint=endpoint)


async def reserve(hold: HoldRequest, *, writers: Writers) -> bool:
    """Whether the hold is committed. Raises Unavailable if that cannot be known in time; a late hold is given back."""
    try:
        future = writers.reserve.submit([hold])
    except WriterStopped:
        raise Unavailable("The gateway is shutting down. Please try again.") from None
    try:
        async with asyncio.timeout(SECONDS_TO_RESERVE):
            results = await asyncio.shield(asyncio.wrap_future(future))
    except (DatabaseError, TimeoutError) as error:
        future.add_done_callback(lambda late: _give_back(late, hold, writers))
        logger.error("hold not committed", extra={"request_id": hold.request_id, "error_type": type(error).__name__})
        raise Unavailable("The call could not be admitted at the moment. Please try again shortly.") from None
    return results[0] is None


def _give_back(late: "Future[list[InsufficientFunds | None]]", hold: HoldRequest, writers: Writers) -> None:
    if late.cancelled() or late.exception() is not None or late.result()[0] is not None:
        return
    writers.releases.submit([Release(hold.organization_id, hold.id)])


def _call(
    request_id: str,
    hold: HoldRequest,
    began: float,
    caller: Caller,
    ask: Ask,
    model: ModelEntry,
    *,
    body: dict[str, Any],
    cap: int,
    endpoint: str,
) -> Call:
    request = UpstreamRequest(endpoint=endpoint, body=forwarded_body(body, ask, cap=cap), streamed=ask.streamed)
    return Call(
        request_id=request_id,
        hold_id=hold.id,
        admitted_at=hold.created_at,
        began=began,
        caller=caller,
        ask=ask,
        model=model,
        request=request,
    )


def _quota_exceeded(amount: Decimal, *, caller: Caller, prompt_bytes: int, cap: int) -> QuotaExceeded:
    shown = (
        f"₩{amount:,.0f}"
        if caller.identity.currency == "KRW" and amount >= 1
        else f"{amount:.4f} {caller.identity.currency}"
    )
    return QuotaExceeded(
        f"Your remaining credit does not cover this call, which may cost up to {shown} with tax ({prompt_bytes} bytes of "
        f"prompt, up to {cap} output tokens). Lower 'max_tokens', or add credit at "
        f"{settings.SITE_URL}/o/{caller.identity.organization_slug}/."
    )
