"""The rows of an export: every recorded event with all that its amount is made of, so that anybody can recompute it offline.

Rows are read in batches by primary key, oldest first, each batch in a transaction and tenant scope of its own: memory stays
flat however long the export is, and a reader who takes an hour keeps no transaction open. Money stays Decimal; formats write it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum, auto
from typing import Any
from zoneinfo import ZoneInfo

from accounts.models import ApiKey, Organization, Source
from accounts.tenancy import tenant_scope
from catalog.models import LanguageModel
from catalog.rate_details import RateDetails, details_of
from ledger.models import BillingPeriod
from metering.event_filters import EventFilter, matching
from metering.models import EventKind, Evidence, UsageEvent
from metering.rollups import COUNTS
from metering.stored_events import look
from pricing.tokens import TokenClass

BATCH = 1000
Row = tuple[Any, ...]
Batches = Iterator[Sequence[Row]]


class Kind(Enum):
    """What a cell of a column holds; any may be None. TEXT is whatever somebody wrote, WORD is ours."""

    WORD = auto()
    TEXT = auto()
    WHOLE = auto()
    MONEY = auto()
    FLAG = auto()
    MOMENT = auto()
    DAY = auto()
    TAGS = auto()


Header = tuple[tuple[str, Kind], ...]
"""The names of columns, and what they hold."""


@dataclass(frozen=True, slots=True)
class Facts:
    """An event with what it refers to."""

    organization: Organization
    event: UsageEvent
    rate: RateDetails
    models: Mapping[int, str]
    key: ApiKey | None
    source: str
    billed_from: date | None


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    read: Callable[[Facts], Any]


def _of_event(kind: Kind, *names: str) -> Iterator[Column]:
    for name in names:
        yield Column(name, kind, lambda facts, name=name: getattr(facts.event, name))  # type: ignore[misc]


def _of_rate(kind: Kind, *names: str) -> Iterator[Column]:
    for name in names:
        yield Column(name, kind, lambda facts, name=name: getattr(facts.rate, name))  # type: ignore[misc]


def _unit_costs() -> Iterator[Column]:
    for one in TokenClass:
        read = lambda facts, one=one: facts.rate.unit_costs.get(one)  # noqa: E731
        yield Column(f"unit_cost_usd_{one.value}", Kind.MONEY, read)


def _unit_prices() -> Iterator[Column]:
    for one in TokenClass:
        read = lambda facts, one=one: facts.rate.unit_prices.get(one)  # noqa: E731
        yield Column(f"unit_price_{one.value}", Kind.MONEY, read)


COLUMNS: tuple[Column, ...] = (
    Column("id", Kind.WORD, lambda facts: str(facts.event.id)),
    *_of_event(Kind.TEXT, "key"),
    Column("organization", Kind.TEXT, lambda facts: facts.organization.slug),
    *_of_event(Kind.MOMENT, "occurred_at", "received_at"),
    Column("billing_period", Kind.DAY, lambda facts: facts.billed_from),
    Column("kind", Kind.WORD, lambda facts: EventKind(facts.event.kind).name.lower()),
    Column("evidence", Kind.WORD, lambda facts: Evidence(facts.event.evidence).name.lower()),
    Column("reverses", Kind.WORD, lambda facts: _name(facts.event.reverses_id)),
    Column("replaces", Kind.WORD, lambda facts: _name(facts.event.replaces_id)),
    *_of_event(Kind.TEXT, "reason"),
    Column("model", Kind.TEXT, lambda facts: facts.models[facts.event.model_id]),
    Column("requested_model", Kind.TEXT, lambda facts: facts.models.get(facts.event.requested_model_id or 0)),
    Column("source", Kind.TEXT, lambda facts: facts.source),
    *_of_event(Kind.TEXT, "upstream"),
    *_of_event(Kind.WHOLE, "api_key_id"),
    Column("api_key_name", Kind.TEXT, lambda facts: facts.key and facts.key.name),
    *_of_event(Kind.TEXT, "end_user", "request_id", "generation_id"),
    Column("tags", Kind.TAGS, lambda facts: facts.event.tags or {}),
    *_of_event(Kind.WHOLE, "attempt", "status"),
    *_of_event(Kind.FLAG, "streamed"),
    *_of_event(Kind.WHOLE, "latency_ms", "first_token_ms"),
    *_of_event(Kind.TEXT, "finish_reason"),
    *_of_event(Kind.WHOLE, *COUNTS, "applied_rate_id"),
    *_of_rate(Kind.WHOLE, "cost_price_id"),
    *_of_rate(Kind.MOMENT, "price_since"),
    *_of_rate(Kind.WORD, "band"),
    *_of_rate(Kind.WHOLE, "markup_rule_id"),
    *_of_rate(Kind.MONEY, "markup"),
    Column("exchange_rate", Kind.MONEY, lambda facts: facts.rate.exchange and facts.rate.exchange.rate),
    Column("exchange_rate_source", Kind.TEXT, lambda facts: facts.rate.exchange and facts.rate.exchange.source),
    Column(
        "exchange_rate_published_on", Kind.DAY, lambda facts: facts.rate.exchange and facts.rate.exchange.published_on
    ),
    *_of_rate(Kind.WORD, "currency"),
    *_unit_costs(),
    *_unit_prices(),
    Column("cost_usd", Kind.MONEY, lambda facts: facts.event.cost),
    Column("amount", Kind.MONEY, lambda facts: facts.event.amount),
)
"""Markup and exchange rate are decimals like money."""
HEADER: Header = tuple((column.name, column.kind) for column in COLUMNS)


def export_rows(*, organization: Organization, wanted: EventFilter) -> Batches:
    """All events that match, as rows of COLUMNS, oldest first. Must run outside of a transaction.

    Events that are recorded meanwhile may be among them or not, each once.
    """
    last = None
    while True:
        with tenant_scope([organization.pk]):
            asked = matching(organization, wanted)
            found = look(asked if last is None else asked.after(last), limit=BATCH)
            rows = rows_of(organization, found)
        if rows:
            yield rows
        if len(found) < BATCH:
            return
        last = found[-1].id


def rows_of(organization: Organization, events: Sequence[UsageEvent]) -> list[Row]:
    """These events as rows of COLUMNS, in a few queries however many they are. Needs the tenant's scope."""
    return [tuple(column.read(facts) for column in COLUMNS) for facts in _facts(organization, events)]


def _facts(organization: Organization, events: Sequence[UsageEvent]) -> Iterator[Facts]:
    if not events:
        return
    numbers = {number for event in events for number in (event.model_id, event.requested_model_id) if number}
    models = dict(LanguageModel.objects.filter(pk__in=numbers).values_list("pk", "slug"))
    keys = ApiKey.objects.for_organization(organization).in_bulk(_ids(event.api_key_id for event in events))
    sources = dict(Source.objects.filter(pk__in=_ids(event.source_id for event in events)).values_list("pk", "slug"))
    periods = BillingPeriod.objects.for_organization(organization).in_bulk(_ids(event.period_id for event in events))
    rates = details_of(event.applied_rate_id for event in events)
    for event in events:
        period = periods.get(event.period_id)
        yield Facts(
            organization=organization,
            event=event,
            rate=rates[event.applied_rate_id],
            models=models,
            key=keys.get(event.api_key_id) if event.api_key_id else None,
            source=sources[event.source_id],
            billed_from=period.starts_at.astimezone(ZoneInfo(period.zone)).date() if period else None,
        )


def _ids(numbers: Iterable[int | None]) -> set[int]:
    return {number for number in numbers if number is not None}


def _name(event_id: Any) -> str | None:
    return None if event_id is None else str(event_id)
