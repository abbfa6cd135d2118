"""The receipt of one event: what was counted, what each count costs, where each price comes from, and the formula.

What we paid and added is shown on purpose: everybody can work out their amount by themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts.models import Organization, Source
from catalog.rate_details import RateDetails, details_of
from metering import correction_rows, stored_events
from metering.event_filters import EventFilter, matching
from metering.models import EventKey, UnratedUsage, UsageEvent
from metering.reports import key_digest
from metering.rollups import COUNTS
from pricing.rating import RatedLine, explain
from pricing.tokens import PIECE_CLASSES, TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An event with its rate; `lines` add up to its amount exactly. Pieces (requests, images) that cost nothing have no line.

    `reversed_by` and `replaced_by` are the ids of its reversal and of what was charged instead, if it was taken back.
    """

    event: UsageEvent
    rate: RateDetails
    lines: Sequence[RatedLine]
    reversed_by: UUID | None = None
    replaced_by: UUID | None = None

    @property
    def formula(self) -> str:
        """The amount as a sum of products."""
        return self.rate.formula((line.token_class, line.quantity) for line in self.lines)


def events_of(
    *, organization: Organization, wanted: EventFilter, limit: int, before: UUID | None = None
) -> list[UsageEvent]:
    """Up to `limit` events that match, newest first, older than the event `before`. Needs the tenant's scope."""
    asked = matching(organization, wanted)
    return stored_events.look(asked if before is None else asked.before(before), limit=limit, newest_first=True)


def receipt_of(*, organization: Organization, event_id: UUID) -> Receipt | None:
    """The receipt of an event of the organization, or None. Needs the tenant's scope."""
    corrections = (correction_rows.reversal_id(event_id), correction_rows.replacement_id(event_id))
    found = stored_events.by_ids((event_id, *corrections), organization_id=organization.pk)
    event = found.get(event_id)
    if event is None:
        return None
    rate = details_of([event.applied_rate_id])[event.applied_rate_id]
    products = explain(usage_of(event), rate.unit_prices)
    lines = [line for line in products if line.unit_price or line.token_class not in PIECE_CLASSES]
    reversed_by, replaced_by = (number if number in found else None for number in corrections)
    return Receipt(event=event, rate=rate, lines=lines, reversed_by=reversed_by, replaced_by=replaced_by)


def event_named(name: UUID, *, organization: Organization) -> UUID:
    """The id of the event that `name` means: the gateway's answers name their receipts by the call, which is the event's key.

    Such a name is known for as long as ids are remembered. Needs the tenant's scope.
    """
    source_id = Source.objects.filter(slug=Source.GATEWAY).values_list("pk", flat=True).get()
    keys = EventKey.objects.for_organization(organization).filter(key_digest=key_digest(source_id, str(name)))
    return keys.values_list("event_id", flat=True).first() or name


def waiting_event(*, organization: Organization, event_id: UUID) -> UnratedUsage | None:
    """The event of that id if it still waits for a price."""
    return UnratedUsage.objects.for_organization(organization).filter(event_id=event_id).first()


def usage_of(event: UsageEvent) -> TokenUsage:
    """The counts of a stored event; unknown ones stay None."""
    return TokenUsage(**{name: getattr(event, name) for name in COUNTS})
