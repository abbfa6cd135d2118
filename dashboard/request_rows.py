"""Single requests as tables list them: what was called, with which key, how many tokens, for how much."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from accounts.models import ApiKey, Organization
from catalog.models import LanguageModel
from metering.event_filters import EventFilter
from metering.models import EventKind, UsageEvent
from metering.receipts import events_of, usage_of
from metering.reversing import reversed_among

BEGINNING, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RequestRow:
    """An event with the names of its model and key; without a key it was reported, not called through us."""

    event: UsageEvent
    model: LanguageModel
    key: ApiKey | None
    prompt_tokens: int
    completion_tokens: int
    is_reversed: bool = False

    @property
    def is_reversal(self) -> bool:
        return self.event.kind == EventKind.REVERSAL

    @property
    def is_replacement(self) -> bool:
        return self.event.replaces_id is not None


def rows_of(organization: Organization, events: Sequence[UsageEvent]) -> list[RequestRow]:
    """The events with their names and whether they were taken back, in three queries however many they are."""
    models = LanguageModel.objects.only("slug", "page_slug", "name").in_bulk({event.model_id for event in events})
    used_keys = {event.api_key_id for event in events if event.api_key_id}
    keys = ApiKey.objects.for_organization(organization).in_bulk(used_keys)
    taken_back = reversed_among(events, organization_id=organization.pk)
    rows = []
    for event in events:
        usage, key = usage_of(event), keys.get(event.api_key_id)
        rows.append(
            RequestRow(
                event,
                models[event.model_id],
                key,
                usage.prompt_tokens,
                usage.completion_tokens,
                is_reversed=event.id in taken_back,
            )
        )
    return rows


def newest_event(organization: Organization) -> UsageEvent | None:
    """The last request there was, ever. Found through the primary key."""
    found = events_of(organization=organization, wanted=EventFilter(start=BEGINNING, end=END), limit=1)
    return found[0] if found else None
