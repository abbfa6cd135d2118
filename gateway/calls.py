"""One admitted call, from its hold to its end: who made it, what was reserved for it, and how long it took."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from catalog.price_snapshot import ModelEntry
from gateway.asks import Ask
from gateway.dialects.base import Dialect
from gateway.keys import Caller
from gateway.upstreams.base import UpstreamRequest


@dataclass(slots=True, kw_only=True)
class Call:
    """`admitted_at` is when the call occurred: its price is the one in force then, whatever changes while it runs."""

    request_id: str
    hold_id: UUID
    admitted_at: datetime
    began: float
    caller: Caller
    dialect: Dialect
    ask: Ask
    model: ModelEntry
    request: UpstreamRequest
    first_token: float | None = field(default=None)

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
