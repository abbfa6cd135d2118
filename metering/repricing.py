"""Find what was charged at a rate that no longer holds at its moment, because a price, markup or exchange rate was dated back.

Rollups name every rate that was charged, so only the hours are read whose rates the price book would not give again. Nothing is
written here: `rerating` corrects an open period, billing proposes a credit note for a closed one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Q, Sum

from catalog import price_book
from catalog.models import AppliedRate
from catalog.price_snapshot import ModelEntry
from ledger.event_ids import first_id_at
from metering import stored_events
from metering.charges import terms_of
from metering.models import EventKind, UsageEvent, UsageRollup
from metering.receipts import usage_of
from metering.reversing import reversed_among
from pricing.rating import AmountTooLarge, MissingUnitPrice, rate
from pricing.tokens import TokenUsage

PAGE = 500
HOUR = timedelta(hours=1)
Origin = tuple[int, int, int | None]
"""Ids of the cost price, the markup rule and the exchange rate of an applied rate."""
Progress = Callable[[int, int], None]
"""Called with how many events were looked at, and of about how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repriced:
    """An event whose amount or cost is another now, at `rate`."""

    event: UsageEvent
    usage: TokenUsage
    rate: price_book.Rate
    cost: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events that were looked at: how many, how many have no rate any more, those that changed. `last` is where to go on."""

    looked_at: int
    unpriced: int
    repriced: Sequence[Repriced]
    last: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Neighbouring hours [start, end) in which something was charged at rates that may no longer hold."""

    start: datetime
    end: datetime
    rate_ids: frozenset[int]
    event_count: int


def differences(
    *,
    organization_id: int,
    period_id: int,
    model_id: int | None = None,
    progress: Progress = lambda looked_at, of: None,
) -> Iterator[Page]:
    """What would change, nothing written. Needs the organization's tenant scope."""
    price_book.refresh()
    spans = doubtful_spans(organization_id=organization_id, period_id=period_id, model_id=model_id)
    looked_at = 0
    for span in spans:
        after: UUID | None = first_id_at(span.start)
        while after is not None:
            page = look(organization_id, period_id, span, after)
            yield page
            looked_at, after = looked_at + page.looked_at, page.last
            progress(looked_at, sum(span.event_count for span in spans))


def doubtful_spans(*, organization_id: int, period_id: int, model_id: int | None) -> list[Span]:
    """The hours whose events must be looked at: the rollups name every rate that was charged, the price book what holds now.

    An hour is certain if price, markup and exchange rate are the very rows it was charged by, and none changes within it.
    """
    terms = terms_of([organization_id])[organization_id].pricing
    models = {model.id: model for model in price_book.current().models.values()}
    rollups = UsageRollup.objects.for_organization(organization_id).filter(period_id=period_id)
    if model_id is not None:
        rollups = rollups.filter(model_id=model_id)
    found = list(
        rollups.values_list("hour", "model_id", "applied_rate_id").annotate(count=Sum("event_count")).order_by("hour")
    )
    origins = _origins({rate_id for _hour, _model, rate_id, _count in found})
    spans: list[Span] = []
    for hour, model, rate_id, count in found:
        if not _stands(terms, models[model], origins[rate_id], hour):
            _extend(spans, hour, rate_id, count)
    return spans


def _origins(rate_ids: set[int]) -> Mapping[int, Origin]:
    rows = AppliedRate.objects.filter(pk__in=rate_ids)
    named = rows.values_list("pk", "cost_price_id", "markup_rule_id", "exchange_rate_id")
    return {rate_id: (price, markup, exchange) for rate_id, price, markup, exchange in named}


def _stands(terms: price_book.Terms, model: ModelEntry, charged: Origin, hour: datetime) -> bool:
    try:
        quoted = price_book.quote(terms=terms, model=model, prompt_tokens=0, at=hour)
    except price_book.NoRate:
        return False
    changes = price_book.current().next_change(terms.organization_id, model, hour)
    origin = (quoted.cost_price_id, quoted.markup_rule_id, quoted.exchange.id if quoted.exchange else None)
    return changes >= hour + HOUR and origin == charged


def _extend(spans: list[Span], hour: datetime, rate_id: int, count: int) -> None:
    """Add an hour to the spans, in order of time."""
    last = spans[-1] if spans else None
    if last is not None and hour <= last.end:
        spans[-1] = Span(
            start=last.start,
            end=max(last.end, hour + HOUR),
            rate_ids=last.rate_ids | {rate_id},
            event_count=last.event_count + count,
        )
    else:
        spans.append(Span(start=hour, end=hour + HOUR, rate_ids=frozenset({rate_id}), event_count=count))


def look(organization_id: int, period_id: int, span: Span, after: UUID) -> Page:
    """The next events of a span from the id `after` on, priced anew."""
    wanted = stored_events.Look(
        organization_id=organization_id,
        first=first_id_at(span.start),
        end=first_id_at(span.end),
        where=Q(period_id=period_id, applied_rate_id__in=span.rate_ids),
    )
    events = stored_events.look(wanted.after(after), limit=PAGE)
    charges = [event for event in events if event.kind == EventKind.USAGE]
    reversed_already = reversed_among(charges, organization_id=organization_id)
    terms = terms_of([organization_id])[organization_id].pricing
    models = {model.id: model for model in price_book.current().models.values()}
    repriced, unpriced = [], 0
    for event in charges:
        if event.id in reversed_already:
            continue
        try:
            found = reprice(event, terms, models[event.model_id])
        except (price_book.NoRate, MissingUnitPrice, AmountTooLarge):
            unpriced += 1
            continue
        if (found.amount, found.cost) != (event.amount, event.cost):
            repriced.append(found)
    last = events[-1].id if len(events) == PAGE else None
    return Page(looked_at=len(events), unpriced=unpriced, repriced=repriced, last=last)


def reprice(event: UsageEvent, terms: price_book.Terms, model: ModelEntry) -> Repriced:
    """What the price book says of an event by now. Raises as `price_book.quote` and `rate` do."""
    usage = usage_of(event)
    quoted = price_book.quote(terms=terms, model=model, prompt_tokens=usage.prompt_tokens, at=event.occurred_at)
    return Repriced(
        event=event,
        usage=usage,
        rate=quoted,
        cost=rate(usage, quoted.unit_costs),
        amount=rate(usage, quoted.unit_prices),
    )
