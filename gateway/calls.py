"""One admitted call, from its hold to its end: who made it, what was reserved for it, and how long it took."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from catalog.price_snapshot import ModelEntry
from gateway.asks import Ask
from gateway.dialects.base import Dialect
from gateway.keys import Caller
from gateway.rate_limits import Allowance
from gateway.upstreams.base import Answer, UpstreamRequest
from gateway.upstreams.selection import Candidate
from ledger.holds import HoldRequest


@dataclass(slots=True, kw_only=True)
class Call:
    """`model` is what was asked for; `candidates` are all who may answer, `candidate` is who is asked now, under `hold`.

    `tokens_used` is known when the call is over, if ever.
    """

    request_id: str
    hold: HoldRequest
    began: float
    caller: Caller
    dialect: Dialect
    ask: Ask
    model: ModelEntry
    request: UpstreamRequest
    candidates: Sequence[Candidate]
    candidate: Candidate
    allowance: Allowance
    tokens_used: int | None = field(default=None)
    first_token: float | None = field(default=None)
    answer: Answer | None = field(default=None)

    @property
    def hold_id(self) -> UUID:
        return self.hold.id

    @property
    def admitted_at(self) -> datetime:
        """When the call occurred: its price is the one in force then, whatever changes while it runs."""
        return self.hold.created_at

    @property
    def organization_id(self) -> int:
        return self.caller.identity.organization_id

    @property
    def latency_ms(self) -> int:
        """Milliseconds since the request arrived."""
        return round((time.monotonic() - self.began) * 1000)

    @property
    def first_token_ms(self) -> int | None:
        """Milliseconds from the request to the first piece of the answer; None before it, and for plain answers."""
        return None if self.first_token is None else round((self.first_token - self.began) * 1000)

    def note_first_token(self) -> None:
        """The first piece of the answer is here."""
        if self.first_token is None:
            self.first_token = time.monotonic()
