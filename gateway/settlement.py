"""What becomes of a hold when its call is over: recorded and charged, given back, or left as a question.

Usage that is known is recorded, once, whoever still listens. A call that delivered nothing is free. What nobody knows is neither
free nor invented: its hold stays until the sweeper asks the upstream.
"""

import asyncio
import logging
import re
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from django.conf import settings

from catalog import price_book
from catalog.price_snapshot import ModelEntry
from gateway.calls import Call
from gateway.dialects.shown import Cost
from gateway.time_limits import time_limit
from gateway.upstreams.openai_answers import Observed
from gateway.writers import Release
from ledger.group_commit import WriterStopped
from ledger.questions import HoldNote
from metering import recording_at_once
from metering.reports import Outcome, Status, UsageReport

if TYPE_CHECKING:
    from gateway.process import Gateway

logger = logging.getLogger(__name__)
SECONDS_TO_RELEASE = 5.0
DATED_VERSION = re.compile(r"-\d{2,4}(-?\d{2}){0,2}")
HTTP_OK = 200


class Fate(StrEnum):
    """Of a hold."""

    RECORDED = "recorded"
    RELEASED = "released"
    QUESTION = "question"
    UNRECORDED = "unrecorded"
    """The usage is known, but its commit was not confirmed in time; it is still being tried."""


class Settled(msgspec.Struct, frozen=True):
    fate: Fate
    event_id: UUID | None = None
    cost: Cost | None = None
    """What was charged, where the price is known."""


async def settle(call: Call, observed: Observed, gateway: "Gateway", *, delivered: bool) -> Settled:
    """End a call after the upstream did. `delivered`: whether any of the answer reached us before it failed, if it did."""
    if observed.costs_nothing or (observed.usage is None and observed.error is not None and not delivered):
        return await release(call, gateway)
    if observed.usage is None:
        logger.warning("usage unknown", extra={"request_id": call.request_id, "generation_id": observed.generation_id})
        note_call(call, observed.generation_id, gateway, questioned=True)
        return Settled(Fate.QUESTION)
    call.tokens_used = observed.usage.counts.total_tokens
    outcome = await _record(usage_report(call, observed, gateway), gateway)
    if outcome is None:
        return Settled(Fate.UNRECORDED)
    cost = None if outcome.amount is None else Cost(outcome.amount, outcome.currency)
    return Settled(Fate.RECORDED, outcome.event_id, cost)


async def release(call: Call, gateway: "Gateway") -> Settled:
    """Give the hold back before the caller hears of the failure, so that its next try finds the money."""
    call.tokens_used = 0
    try:
        future = gateway.writers.releases.ask([Release(call.organization_id, call.hold_id)])
        await asyncio.wait_for(asyncio.shield(future), SECONDS_TO_RELEASE)
    except Exception as error:
        logger.error("hold not released", extra={"request_id": call.request_id, "error_type": type(error).__name__})
        return Settled(Fate.QUESTION)
    return Settled(Fate.RELEASED)


def note_call(call: Call, generation_id: str, gateway: "Gateway", *, questioned: bool = False) -> None:
    """Have it saved who answers a call and the answer's id there ("" if not known), and that nobody knows what it cost.

    The writer's thread does it, and nobody waits for it: a question that is lost becomes one when the hold's time is over.
    """
    note = HoldNote(
        organization_id=call.organization_id,
        hold_id=call.hold_id,
        upstream=call.candidate.upstream.name,
        model_id=call.candidate.model.id,
        generation_id=generation_id,
        questioned=questioned,
    )
    try:
        gateway.writers.notes.submit([note])
    except WriterStopped:
        logger.warning("call not noted", extra={"request_id": call.request_id, "generation_id": generation_id})


def usage_report(call: Call, observed: Observed, gateway: "Gateway") -> UsageReport:
    """What is recorded of a call: counts, model, ids, times – and nothing that was said."""
    usage = observed.usage
    assert usage is not None
    upstream, asked = call.candidate.upstream, call.candidate.model
    answered = observed.model if observed.model != call.candidate.name else ""
    answered = answering_model(asked, answered, trusted=upstream.trusts_model_ids)
    return UsageReport(
        organization_id=call.organization_id,
        source_id=gateway.source_id,
        key=str(call.hold_id),
        model=answered,
        requested_model=call.model.slug if answered != call.model.slug else None,
        occurred_at=call.admitted_at,
        usage=usage.counts,
        api_key_id=call.caller.identity.api_key_id,
        upstream=upstream.name,
        reported_cost=usage.cost,
        request_id=call.request_id,
        generation_id=observed.generation_id or None,
        attempt=call.hold.attempt,
        status=HTTP_OK,
        streamed=call.ask.streamed,
        latency_ms=call.latency_ms,
        first_token_ms=call.first_token_ms,
        finish_reason=observed.finish_reason or None,
        end_user=call.ask.end_user,
        tags=call.ask.tags,
        hold_id=call.hold_id,
    )


def answering_model(asked: ModelEntry, answered: str, *, trusted: bool) -> str:
    """The model to price. A name is believed of an upstream that shares our catalog's, and of a router's choice.

    A dated version of the requested model (`…-2507`, `…-2024-08-06`) that we do not know is that model under its full name; any
    other unknown model waits for a price.
    """
    if not answered or not (trusted or asked.is_router):
        return asked.slug
    if answered in price_book.current().models:
        return answered
    version = answered.removeprefix(asked.slug)
    return asked.slug if version != answered and DATED_VERSION.fullmatch(version) else answered


async def _record(report: UsageReport, gateway: "Gateway") -> Outcome | None:
    """What is committed, if that is known before the caller's patience ends; if it is not, recording goes on without the caller."""
    loop = asyncio.get_running_loop()
    until = loop.time() + settings.GATEWAY_COMMIT_SECONDS
    try:
        with time_limit(settings.GATEWAY_COMMIT_SECONDS):
            return _usable(await _written(report, gateway), report)
    except Exception as error:
        _log_failure(report, error)
    task = gateway.spawn(_record_on(report, gateway))
    try:
        return await asyncio.wait_for(asyncio.shield(task), until - loop.time())
    except TimeoutError:
        return None


async def _written(report: UsageReport, gateway: "Gateway") -> Outcome:
    if not recording_at_once.needs_decisions(report.organization_id):
        [written] = await gateway.writers.together.ask([report])
        if isinstance(written, Outcome):
            return written
    return (await gateway.writers.record.ask([report]))[0]


async def _record_on(report: UsageReport, gateway: "Gateway") -> Outcome | None:
    """Record until it is committed, for a bounded time; None if it is not. What was recorded before is not recorded again."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.GATEWAY_RECORD_SECONDS
    pause = 0.2
    while True:
        if loop.time() + pause > deadline:
            logger.error("usage not recorded; its hold remains", extra=_facts(report))
            return None
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)
        try:
            return _usable((await gateway.writers.record.ask([report]))[0], report)
        except WriterStopped:
            logger.error("usage not recorded; its hold remains", extra=_facts(report))
            return None
        except Exception as error:
            _log_failure(report, error)


def _log_failure(report: UsageReport, error: Exception) -> None:
    logger.warning("recording failed, trying again", extra={**_facts(report), "error_type": type(error).__name__})


def _facts(report: UsageReport) -> dict[str, object]:
    return {"request_id": report.request_id, "hold_id": str(report.hold_id)}


def _usable(outcome: Outcome, report: UsageReport) -> Outcome | None:
    """The outcome, if there is an event."""
    if outcome.status is Status.CONFLICT:
        logger.warning("the sweeper was earlier; its event stays", extra={"request_id": report.request_id})
    elif outcome.status not in (Status.ACCEPTED, Status.DUPLICATE):
        logger.error(
            "usage refused", extra={"request_id": report.request_id, "status": outcome.status, "reason": outcome.reason}
        )
        return None
    return outcome
