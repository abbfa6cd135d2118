"""Where the caller finds what its call cost. The answer's head names it, before the amount is known.

A call is recorded under the id of its hold, so its receipt has a name before it has content: it can be read once the answer has
ended (`metering.receipts.event_named`).
"""

from collections.abc import Mapping

from django.conf import settings

from gateway.calls import Call
from gateway.dialects.shown import Cost
from gateway.settlement import Settled

WITH_COST = "x-invoicedream-cost"
"""A caller that sends it (`true`) finds `cost` in the answer's usage; so does one whose body says `"usage": {"include": true}`."""


def receipt_headers(call: Call) -> Mapping[str, str]:
    """The receipt's name, and its page on the dashboard."""
    name = str(call.hold_id)
    page = f"{settings.SITE_URL}/o/{call.caller.identity.organization_slug}/requests/{name}"
    return {"x-invoicedream-receipt": name, "x-invoicedream-receipt-url": page}


def asks_for_cost(headers: Mapping[str, str]) -> bool:
    """Whether the head of a request asks for the cost."""
    return headers.get(WITH_COST, "").lower() in ("true", "1")


def shown_cost(call: Call, settled: Settled) -> Cost | None:
    """What the caller is told of the cost, if it asked; never a guess."""
    return settled.cost if call.ask.wants_cost else None
