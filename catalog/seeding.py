"""Fill an empty catalog offline: the prices of an installed package, and our own table over them.

The seed opens the book and never rewrites it: a model that has a price already is left to the feed, because a price dated
back over recorded usage would contradict what was charged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import AuditEntry
from catalog.listing import ModelFacts, list_models, write_facts
from catalog.models import CostPrice, CostTable, LanguageModel
from catalog.publishing import NewPrice, publish_cost_prices
from catalog.seed import our_table
from catalog.seed.our_table import DEFAULT_COST_TABLE, OurModel
from pricing.openrouter_pricing import parse_openrouter_pricing

if TYPE_CHECKING:
    from catalog.seed.packaged_prices import PackagedModel

OPENING = date(2026, 1, 1)
"""When a price begins whose beginning nobody recorded; that of a model released later begins with its release."""
SEEDED = "catalog.seeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """How many rows a seeding wrote, and which packaged models (by id) it left out for what reason."""

    models: int = 0
    prices: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)


def seed_catalog(*, now: datetime) -> Seeded:
    """List every model whose price is known and publish its history. The same data is seeded once.

    One transaction: an interrupted seeding leaves nothing.
    """
    edition = f"genai-prices {version('genai-prices')}, our table {our_table.fingerprint()}"
    if AuditEntry.objects.using("system").filter(action=SEEDED, target=edition).exists():
        return Seeded()
    # Reading the package's data takes half a second, which a second start need not spend.
    from catalog.seed.packaged_prices import origin, packaged_models

    ours = our_table.our_models()
    packaged, left_out = packaged_models(names={slug: model.name for slug, model in ours.items()})
    with transaction.atomic(using="system"):
        known = LanguageModel.objects.using("system").count()
        tables = _open_cost_tables()
        listed = list_models(_facts(ours, packaged, tables), now=now)
        write_facts(_our_words(ours, listed), now=now)
        unpriced = _without_price(listed)
        published = publish_cost_prices(
            [*_own_prices(ours, unpriced, tables), *_packaged_prices(ours, packaged, unpriced, tables, origin())],
            now=now,
        )
        outcome = Seeded(
            models=LanguageModel.objects.using("system").count() - known, prices=published, left_out=left_out
        )
        write_audit_entry(
            action=SEEDED,
            target=edition,
            now=now,
            detail={"models": outcome.models, "prices": outcome.prices, "left_out": len(left_out)},
            using="system",
        )
    return outcome


def _open_cost_tables() -> dict[str, CostTable]:
    return {
        slug: CostTable.objects.using("system").get_or_create(slug=slug, defaults={"name": name})[0]
        for slug, name in our_table.cost_tables().items()
    }


def _facts(
    ours: Mapping[str, OurModel], packaged: list["PackagedModel"], tables: Mapping[str, CostTable]
) -> Iterator[ModelFacts]:
    """All models, in our words where we have any; the package knows at most the context length."""
    lengths = {model.slug: model.context_length for model in packaged}
    for model in ours.values():
        yield ModelFacts(
            slug=model.slug,
            name=model.name,
            provider=our_table.provider_name(model.slug),
            cost_table=tables[model.cost_table],
            **({"context_length": lengths.get(model.slug)} | model.facts),
        )
    for other in packaged:
        if other.slug not in ours:
            yield ModelFacts(
                slug=other.slug,
                name=other.name,
                provider=our_table.provider_name(other.slug),
                cost_table=tables[DEFAULT_COST_TABLE],
                context_length=other.context_length,
            )


def _our_words(
    ours: Mapping[str, OurModel], listed: Mapping[str, LanguageModel]
) -> list[tuple[LanguageModel, dict[str, Any]]]:
    """Where a model was listed by somebody else before our table told of it: our words, except over an operator's."""
    found = []
    for slug, model in ours.items():
        row = listed[slug]
        told = {"name": model.name, "provider": our_table.provider_name(slug), **model.facts}
        changes = {
            name: value for name, value in told.items() if name not in row.own_fields and getattr(row, name) != value
        }
        if changes:
            found.append((row, changes))
    return found


def _without_price(listed: Mapping[str, LanguageModel]) -> dict[str, LanguageModel]:
    priced = set(CostPrice.objects.using("system").values_list("language_model_id", flat=True).distinct())
    return {slug: model for slug, model in listed.items() if model.pk not in priced}


def _own_prices(
    ours: Mapping[str, OurModel], unpriced: Mapping[str, LanguageModel], tables: Mapping[str, CostTable]
) -> Iterator[NewPrice]:
    for slug in ours.keys() & unpriced.keys():
        for price in ours[slug].prices:
            yield NewPrice(
                cost_table=tables[price.cost_table],
                language_model=unpriced[slug],
                sheet=price.sheet,
                effective_from=_midnight(price.since),
                raw=price.pricing,
                origin=our_table.ORIGIN,
            )


def _packaged_prices(
    ours: Mapping[str, OurModel],
    packaged: list["PackagedModel"],
    unpriced: Mapping[str, LanguageModel],
    tables: Mapping[str, CostTable],
    origin: str,
) -> Iterator[NewPrice]:
    for model in packaged:
        row = unpriced.get(model.slug)
        if row is None or (model.slug in ours and ours[model.slug].prices):
            continue
        opening = max(OPENING, row.released_on or OPENING)
        outdated = any(price.since and price.since <= opening for price in model.prices)
        for price in model.prices:
            if price.since is None and outdated:
                continue
            pricing = price.pricing | (ours[model.slug].also if model.slug in ours else {})
            yield NewPrice(
                cost_table=tables[DEFAULT_COST_TABLE],
                language_model=row,
                sheet=parse_openrouter_pricing(pricing),
                effective_from=_midnight(price.since or opening),
                raw=pricing,
                origin=origin,
            )


def _midnight(day: date) -> datetime:
    """Upstreams change their prices at midnight UTC, as far as anybody notes the hour."""
    return datetime.combine(day, time(), tzinfo=UTC)
