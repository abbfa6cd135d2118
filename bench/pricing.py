"""The speed of prices (`make bench-pricing`): rating events, comparing all models, an import of a list that did not change.

Everything is measured in one process on a catalog of 900 models that came through the feed's own door; beside our rating stands
`genai-prices`, which calculates the same usage from the same prices, in floatless Decimal as we do.
"""

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bench import embedded

MODELS, EVENTS, ORGANIZATIONS, MODELS_USED = 900, 200_000, 20, 30
LONG_CONTEXT_EVERY, CACHE_EVERY = 4, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement; the median counts")
    rounds = parser.parse_args().rounds
    with embedded.system():
        import django

        django.setup()
        now = datetime.now(UTC)
        body = feed(MODELS)
        prepare(body, now)
        gc.collect()
        gc.freeze()
        print(f"{'what':<58} {'median':>12}   {'worst':>12}")
        rate_events(rounds, now)
        compare_models(rounds, now)
        import_unchanged(rounds, body)


def feed(models: int) -> bytes:
    """A list of text models in OpenRouter's shape, every price different, some with caches and long-context bands."""
    entries = []
    for number in range(models):
        price = Decimal(number + 11).scaleb(-8)
        pricing: dict[str, object] = {"prompt": f"{price:f}", "completion": f"{price * 4:f}"}
        if number % CACHE_EVERY == 0:
            pricing |= {"input_cache_read": f"{price / 10:f}", "input_cache_write": f"{price * 5 / 4:f}"}
        if number % LONG_CONTEXT_EVERY == 0:
            pricing["overrides"] = [{"min_prompt_tokens": 200_000, "prompt": f"{price * 2:f}"}]
        entries.append(
            {
                "id": f"maker-{number % 40}/model-{number}",
                "name": f"Maker {number % 40}: Model {number}",
                "created": 1_735_689_600 + number,
                "description": f"The model of number {number}, made up for a benchmark. " * 8,
                "context_length": 1_000_000,
                "architecture": {
                    "modality": "text->text",
                    "input_modalities": ["text"],
                    "output_modalities": ["text"],
                    "tokenizer": "Other",
                },
                "supported_parameters": ["max_tokens", "temperature", "tools"],
                "top_provider": {"max_completion_tokens": 32_768},
                "pricing": pricing,
            }
        )
    return json.dumps({"data": entries}).encode()


def prepare(body: bytes, now: datetime) -> None:
    """900 models through the importer, a markup for all and one for each organization, this month's exchange rate."""
    from billing.onboarding import open_account
    from catalog import exchange_rates, markups
    from catalog.models import CostTable

    before = now - timedelta(days=100)
    CostTable.objects.using("system").get_or_create(slug="openrouter", defaults={"name": "OpenRouter"})
    markups.set_markup(markup=Decimal("0.1234"), effective_from=before, now=now)
    exchange_rates.publish_exchange_rate(
        rate=Decimal("1393.4567"), published_on=(now.replace(day=1) - timedelta(days=1)).date(), source="demo", now=now
    )
    took(lambda: import_list(body, now=now, effective_from=before), "first import of 900 models, s", 1)
    for number in range(ORGANIZATIONS):
        organization = open_account(name=f"Bench {number}", slug=f"bench-{number}", owner=None, now=now)
        markups.set_markup(markup=Decimal(number).scaleb(-2), effective_from=before, now=now, organization=organization)


def import_list(body: bytes, *, now: datetime, effective_from: datetime | None = None) -> Any:
    """Decode, validate, compare, write: all of an import but the fetching."""
    from catalog.feed.importing import import_snapshot
    from catalog.feed.json_text import decode_json
    from catalog.feed.reading import read_models
    from catalog.models import CostTable

    table = CostTable.objects.using("system").get(slug="openrouter")
    snapshot = read_models([decode_json(body)])
    return import_snapshot(
        cost_table=table, snapshot=snapshot, origin="bench", clock=lambda: now, effective_from=effective_from
    )


def rate_events(rounds: int, now: datetime) -> None:
    """From a usage to its exact amount: the rate in force out of memory, then cost and amount; and the same by genai-prices."""
    from genai_prices import Usage
    from genai_prices.types import ModelPrice, Tier, TieredPrices

    from accounts.models import Organization
    from catalog import price_book
    from metering.charges import ChargeTerms, claims_of, price
    from metering.reports import UsageReport
    from pricing.rating import rate
    from pricing.tokens import TokenUsage

    dice = random.Random(1)
    book = price_book.current()
    models = list(book.models.values())
    terms = [price_book.terms_of(organization) for organization in Organization.objects.using("system").all()]
    calls = [
        (
            buyer := dice.choice(terms),
            models[((buyer.organization_id or 0) * 7 + dice.randrange(MODELS_USED)) % MODELS],
            TokenUsage(
                input_tokens=dice.randrange(1, 300_000),
                cache_read_tokens=dice.randrange(2_000),
                output_tokens=dice.randrange(1, 1_000),
            ),
        )
        for _number in range(EVENTS)
    ]

    def rate_all() -> None:
        for buyer, model, usage in calls:
            found = price_book.quote(terms=buyer, model=model, prompt_tokens=usage.prompt_tokens, at=now)
            rate(usage, found.unit_prices)

    took(rate_all, "rating: the rate in force and the amount, events/s", rounds, per=EVENTS)

    reports = [
        UsageReport(
            organization_id=buyer.organization_id or 0, source_id=1, key=f"call-{number}", model=model.slug,
            occurred_at=now, usage=usage,
        )
        for number, (buyer, model, usage) in enumerate(calls[: EVENTS // 4])
    ]  # fmt: skip
    charge_terms = {buyer.organization_id or 0: ChargeTerms(buyer, Decimal("0.1")) for buyer in terms}
    took(
        lambda: price(claims_of(reports), charge_terms, now=now),
        "charging: the same with cost, ids and digests, events/s",
        rounds,
        per=len(reports),
    )

    theirs = {}
    for model in models:
        dated = book.price(model, now)
        assert dated and dated.value
        values = {name.value: cost.scaleb(6) for name, cost in dated.value.base.items()}
        longer = [override.unit_costs for override in dated.value.overrides]
        prompt: Any = values["input"]
        if longer:
            prompt = TieredPrices(values["input"], [Tier(200_000, next(iter(longer[0].values())).scaleb(6))])
        theirs[model.id] = ModelPrice(
            input_mtok=prompt, output_mtok=values["output"], cache_read_mtok=values.get("cache_read")
        )
    usages = [
        (
            theirs[model.id],
            Usage(
                input_tokens=usage.prompt_tokens,
                cache_read_tokens=usage.cache_read_tokens,
                output_tokens=usage.output_tokens,
            ),
        )
        for _buyer, model, usage in calls[: EVENTS // 20]
    ]

    def calculate_all() -> None:
        for model_price, usage in usages:
            model_price.calc_price(usage)

    took(calculate_all, "genai-prices: the cost alone, events/s", rounds, per=len(usages))


def compare_models(rounds: int, now: datetime) -> None:
    from billing.estimates import public_buyer
    from billing.what_if import Volume, compare

    buyer = public_buyer()
    volume = Volume(cached_share=Decimal("0.3"), requests=1_000)
    compare(volume=volume, buyer=buyer, at=now)
    took(lambda: compare(volume=volume, buyer=buyer, at=now), "what-if over 900 models, ms", rounds * 4, unit=1_000)


def import_unchanged(rounds: int, body: bytes) -> None:
    def again() -> None:
        outcome = import_list(body, now=datetime.now(UTC))
        assert outcome.counts["unchanged"] == MODELS and not outcome.changed_anything, outcome.counts

    again()
    took(again, "import of 900 models without a change, ms", rounds, unit=1_000)


def took(work: Callable[[], object], name: str, rounds: int, *, unit: int = 1, per: int = 0) -> None:
    """Time `work` and print the median and the worst: seconds × unit, or with `per` how many a second."""
    times = []
    for _round in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    print_line(name, times, unit, per)


def print_line(name: str, times: Sequence[float], unit: int, per: int) -> None:
    middle, worst = statistics.median(times), max(times)
    shown = (per / middle, per / worst) if per else (middle * unit, worst * unit)
    form = ",.0f" if per else ",.1f"
    print(f"{name:<58} {shown[0]:>12{form}}   {shown[1]:>12{form}}")


if __name__ == "__main__":
    main()
