"""A usage report: what every adapter – our gateway, the REST API, a foreign format – makes of what it was told."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import msgspec

from metering.models import Evidence
from pricing.tokens import TokenUsage


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """One call's usage in our own terms, not yet priced. `key` identifies it within (organization, source), while keys are kept.

    `model` is the model that answered, `requested_model` the one that was asked for where they differ. `reported_cost` is
    what the upstream says it charged, in USD.
    """

    organization_id: int
    source_id: int
    key: str
    model: str
    occurred_at: datetime
    usage: TokenUsage
    api_key_id: int | None = None
    requested_model: str | None = None
    upstream: str | None = None
    reported_cost: Decimal | None = None
    evidence: Evidence = Evidence.REPORTED
    request_id: str | None = None
    generation_id: str | None = None
    attempt: int | None = None
    status: int | None = None
    streamed: bool | None = None
    latency_ms: int | None = None
    first_token_ms: int | None = None
    finish_reason: str | None = None
    end_user: str | None = None
    tags: Mapping[str, str] = {}
    hold_id: UUID | None = None

    def key_digest(self) -> str:
        return key_digest(self.source_id, self.key)

    def payload_digest(self) -> str:
        """128 bits in hex that differ if what is reported differs: model, moment, counts, key, cost, tags – not how it arrived."""
        content = (
            self.model,
            self.requested_model,
            self.occurred_at.timestamp(),
            self.usage,
            self.api_key_id,
            self.upstream,
            self.reported_cost,
            self.end_user,
            sorted(self.tags.items()),
        )
        return hashlib.blake2b(msgspec.msgpack.encode(content), digest_size=16).hexdigest()


def key_digest(source_id: int, key: str) -> str:
    """128 bits of SHA-256 in hex: (source, key) in the unique row. SQL can recompute them (metering/invariants.py)."""
    return hashlib.sha256(f"{source_id}:{key}".encode()).hexdigest()[:32]


class Status(StrEnum):
    """What became of a reported event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REJECTED = "rejected"


class Outcome(msgspec.Struct, frozen=True):
    """The committed truth about one report; `reason` says why it was rejected, or that it waits for a price."""

    status: Status
    reason: str = ""
    event_id: UUID | None = None
    amount: Decimal | None = None
    currency: str = ""
