"""A call whose name (`Idempotency-Key`) another call has already: answered with the first one's receipt, never made twice."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, close_old_connections

from accounts.models import Organization
from accounts.tenancy import tenant_scope
from gateway.errors import GatewayError, IdempotencyConflict, InvalidRequest, Unavailable
from gateway.keys import Caller
from ledger.call_keys import digest_of
from ledger.models import Hold, HoldStatus
from metering import stored_events
from metering.receipts import event_named
from pricing.plain_text import plain

HEADER = "idempotency-key"
LONGEST = 255
SECONDS_TO_LOOK_UP = 5.0
STATUS = {
    HoldStatus.OPEN: "running",
    HoldStatus.CAPTURED: "recorded",
    HoldStatus.RELEASED: "released",
    HoldStatus.QUESTIONED: "unresolved",
}
"""What the caller is told of the first call: under way, charged, free, or ended without our knowing what it cost."""


def call_key(headers: Mapping[str, str]) -> UUID | None:
    """What stands for the caller's own name of its call, if it gave one. Raises InvalidRequest."""
    name = headers.get(HEADER, "").strip()
    if len(name) > LONGEST:
        raise InvalidRequest(f"'Idempotency-Key' must be at most {LONGEST} characters long.", param="Idempotency-Key")
    return digest_of(name) if name else None


async def repeated_call(hold_id: UUID, *, caller: Caller, threads: ThreadPoolExecutor) -> GatewayError:
    """The refusal that names the first call's receipt. Its amount is there once it is known."""
    loop = asyncio.get_running_loop()
    try:
        looking = loop.run_in_executor(threads, _look_up, hold_id, caller.identity.organization_id)
        facts = await asyncio.wait_for(looking, SECONDS_TO_LOOK_UP)
    except (DatabaseError, TimeoutError):
        return Unavailable("The call was made before, but its receipt cannot be read now. Please try again shortly.")
    page = f"{settings.SITE_URL}/o/{caller.identity.organization_slug}/requests/{hold_id}"
    return IdempotencyConflict(
        "A call with this Idempotency-Key was made before, so this one was not made. Its receipt is in 'receipt'.",
        headers={
            "x-should-retry": "false",
            "x-invoicedream-receipt": str(hold_id),
            "x-invoicedream-receipt-url": page,
        },
        details={"receipt": {"id": str(hold_id), "url": page, "currency": caller.identity.currency, **facts}},
    )


def _look_up(hold_id: UUID, organization_id: int) -> dict[str, Any]:
    close_old_connections()
    organization = Organization(pk=organization_id)
    with tenant_scope([organization_id]):
        hold = Hold.objects.for_organization(organization).filter(id=hold_id).first()
        facts: dict[str, Any] = {"status": STATUS[HoldStatus(hold.status)] if hold else "unresolved"}
        if hold is not None:
            facts |= {"request_id": hold.request_id, "created": int(hold.created_at.timestamp())}
        event_id = event_named(hold_id, organization=organization)
        event = stored_events.by_ids([event_id], organization_id=organization_id).get(event_id)
        if event is not None:
            facts["amount"] = plain(event.amount)
        return facts
