"""What a reporter sends to take back or change what it reported: one element of the array at POST /api/v1/usage/corrections.

A field that is left out stays as it was; null makes it unknown. Which call it is, whose and when stay: another moment or another
organization is another call.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from metering.event_decoding import UNREADABLE, readable_id, reason_of, split_elements
from metering.pushed_events import (
    PRINTABLE,
    Count,
    InvalidEvent,
    Milliseconds,
    Name,
    Small,
    Tags,
    Text,
    TooManyEvents,
    Word,
    cost_of,
)
from metering.reports import UsageReport
from metering.rollups import COUNTS
from pricing.tokens import InvalidUsage

Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=PRINTABLE)]
SAME_NAME = (
    "requested_model",
    "request_id",
    "generation_id",
    "upstream",
    "attempt",
    "status",
    "streamed",
    "latency_ms",
    "first_token_ms",
    "finish_reason",
    "end_user",
)


class Action(StrEnum):
    VOID = "void"
    AMEND = "amend"


class Amendment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why, and what the call really was: the fields of a pushed event that were wrong."""

    reason: Reason
    organization: Name | None = None
    model: Name | UnsetType = UNSET
    input_tokens: Count | UnsetType | None = UNSET
    cache_read_tokens: Count | UnsetType | None = UNSET
    cache_write_tokens: Count | UnsetType | None = UNSET
    cache_write_1h_tokens: Count | UnsetType | None = UNSET
    output_tokens: Count | UnsetType | None = UNSET
    reasoning_tokens: Count | UnsetType | None = UNSET
    audio_input_tokens: Count | UnsetType | None = UNSET
    audio_cache_read_tokens: Count | UnsetType | None = UNSET
    audio_output_tokens: Count | UnsetType | None = UNSET
    image_input_tokens: Count | UnsetType | None = UNSET
    image_output_tokens: Count | UnsetType | None = UNSET
    images: Count | UnsetType | None = UNSET
    searches: Count | UnsetType | None = UNSET
    requests: Count | UnsetType = UNSET
    api_key: Name | UnsetType | None = UNSET
    upstream: Word | UnsetType | None = UNSET
    cost_usd: str | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET
    requested_model: Name | UnsetType | None = UNSET
    request_id: Name | UnsetType | None = UNSET
    generation_id: Name | UnsetType | None = UNSET
    attempt: Small | UnsetType | None = UNSET
    status: Small | UnsetType | None = UNSET
    streamed: bool | UnsetType | None = UNSET
    latency_ms: Milliseconds | UnsetType | None = UNSET
    first_token_ms: Milliseconds | UnsetType | None = UNSET
    finish_reason: Word | UnsetType | None = UNSET
    end_user: Text | UnsetType | None = UNSET

    @property
    def corrected_fields(self) -> list[str]:
        """The names of what is to be changed."""
        told = (*COUNTS, *SAME_NAME, "model", "api_key", "cost_usd", "tags")
        return [name for name in told if getattr(self, name) is not UNSET]


class Voiding(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why a call is taken back."""

    reason: Reason
    organization: Name | None = None


class PushedCorrection(Amendment, kw_only=True, forbid_unknown_fields=True):
    """An element of a batch: `id` is the one that the reporter gave the call."""

    id: Name
    action: Action


_correction = msgspec.json.Decoder(PushedCorrection)


def decode_corrections(body: bytes, *, at_most: int) -> Sequence[PushedCorrection | InvalidEvent]:
    """The corrections of a body; of an element that is none, the reason. Raises MalformedBatch, TooManyEvents."""
    elements = split_elements(body)
    if len(elements) > at_most:
        raise TooManyEvents(at_most)
    return [_decode_one(element) for element in elements]


def amended(report: UsageReport, amendment: Amendment, *, api_key_id: int | None) -> UsageReport:
    """What the call was after all; `api_key_id` is that of the key which the amendment names. Raises InvalidEvent."""
    told = set(amendment.corrected_fields)
    changes: dict[str, Any] = {name: getattr(amendment, name) for name in (*SAME_NAME, "model", "tags") if name in told}
    if "api_key" in told:
        changes["api_key_id"] = api_key_id
    if "cost_usd" in told:
        cost = amendment.cost_usd
        changes["reported_cost"] = cost_of(cost, event_id=report.key) if isinstance(cost, str) else None
    counts = {name: getattr(amendment, name) for name in COUNTS if name in told}
    try:
        return msgspec.structs.replace(report, usage=replace(report.usage, **counts), **changes)
    except InvalidUsage as fault:
        raise InvalidEvent(str(fault), report.key) from None


def _decode_one(element: msgspec.Raw | bytes) -> PushedCorrection | InvalidEvent:
    try:
        found = _correction.decode(element)
    except UNREADABLE as fault:
        return InvalidEvent(reason_of(fault), readable_id(element))
    if found.action is Action.VOID and found.corrected_fields:
        return InvalidEvent(f"{found.corrected_fields[0]}: what is voided has nothing to correct", found.id)
    if found.action is Action.AMEND and not found.corrected_fields:
        return InvalidEvent("nothing to amend: say what was wrong", found.id)
    return found
