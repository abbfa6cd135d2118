"""An empty catalog is filled once, completely, and so that every price in it can be charged without a rounding."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.models import AuditEntry
from catalog import price_book
from catalog.exchange_rates import publish_exchange_rate
from catalog.markups import set_markup
from catalog.models import CostPrice, LanguageModel
from catalog.seeding import Seeded, seed_catalog
from pricing.rating import rate
from pricing.tokens import TokenUsage
from pricing.totals import invoice_totals
from tests.stories import NOON, forget_what_processes_remember

DEVSTRAL = "mistralai/devstral-small"


@pytest.fixture
def seeded(db: None) -> Seeded:
    forget_what_processes_remember()
    return seed_catalog(now=NOON)


def models() -> dict[str, LanguageModel]:
    return {model.slug: model for model in LanguageModel.objects.using("system").select_related("cost_table")}


def test_everything_with_a_price_is_listed(seeded: Seeded) -> None:
    listed = models()
    assert seeded.models == len(listed) > 350
    assert seeded.prices == CostPrice.objects.using("system").count() > seeded.models
    assert len({model.page_slug for model in listed.values()}) == len(listed)
    assert not any(set("/:~") & set(model.page_slug) for model in listed.values())
    assert listed[DEVSTRAL].page_slug == "mistralai-devstral-small"
    assert listed["openai/gpt-oss-20b:free"].page_slug == "openai-gpt-oss-20b-free"
    unpriced = {model.pk for model in listed.values()} - set(
        CostPrice.objects.using("system").values_list("language_model_id", flat=True)
    )
    assert unpriced == {listed["openrouter/auto"].pk}


def test_unknown_facts_stay_empty(seeded: Seeded) -> None:
    model = models()["nousresearch/hermes-4-70b"]
    assert (model.provider, model.provider_slug, model.context_length) == ("Nous Research", "nousresearch", 131_072)
    assert (model.description_ko, model.modality, model.tokenizer, model.released_on) == ("", "", "", None)
    assert models()[DEVSTRAL].modality == "text->text"


def test_a_second_seeding_writes_nothing(seeded: Seeded) -> None:
    before = [row.objects.using("system").count() for row in (LanguageModel, CostPrice, AuditEntry)]
    assert seed_catalog(now=NOON + timedelta(days=1)) == Seeded()
    assert [row.objects.using("system").count() for row in (LanguageModel, CostPrice, AuditEntry)] == before


def test_another_edition_neither_dates_prices_back_nor_overwrites_what_is_known(
    seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = LanguageModel.objects.using("system")
    rows.filter(slug=DEVSTRAL).update(
        description_en="From a feed", name="Ours", context_length=1, own_fields=["name", "context_length"]
    )
    monkeypatch.setattr("catalog.seed.our_table.fingerprint", lambda: "another")
    assert seed_catalog(now=NOON).prices == 0
    model = rows.get(slug=DEVSTRAL)
    assert model.description_en.startswith("A 24B open-weight model")
    assert (model.name, model.context_length) == ("Ours", 1)


def test_devstral_keeps_its_history_and_is_sold_from_our_own_server(seeded: Seeded) -> None:
    model = models()[DEVSTRAL]
    history = [
        (price.cost_table.slug, price.effective_from.date(), price.sheet and price.sheet["base"])
        for price in model.prices.using("system").select_related("cost_table").order_by("effective_from")
    ]
    old = {"input": "0.000000070000", "output": "0.000000280000"}
    last = {"input": "0.000000100000", "cache_read": "0.000000010000", "output": "0.000000300000"}
    own = {"input": "0.000000040000", "output": "0.000000040000"}
    assert history == [
        ("openrouter", date(2025, 7, 10), old),
        ("openrouter", date(2026, 4, 1), last),
        ("openrouter", date(2026, 5, 31), None),
        ("self-hosted", date(2026, 6, 1), own),
    ]
    assert model.cost_table.slug == "self-hosted"


def test_our_table_adds_the_prices_that_the_package_lacks(seeded: Seeded) -> None:
    for price in models()["google/gemini-2.5-flash"].prices.using("system"):
        assert price.sheet["base"]["audio_input"] == "0.000001000000"
        assert price.raw["audio"] == "0.00000100"


def test_half_a_million_in_and_out_of_devstral_cost_66_won_and_6_won_vat(seeded: Seeded) -> None:
    offer()
    quote = price_book.quote(
        terms=price_book.PUBLIC_TERMS, model=price_book.find_model(DEVSTRAL), prompt_tokens=0, at=NOON
    )
    usage = TokenUsage(input_tokens=500_000, output_tokens=500_000)
    assert rate(usage, quote.unit_costs) == Decimal("0.04")
    totals = invoice_totals([rate(usage, quote.unit_prices)], currency="KRW", tax_rate=Decimal("0.10"))
    assert (totals.subtotal, totals.tax, totals.total) == (66, 6, 72)


def test_every_price_of_the_table_is_charged_exactly(seeded: Seeded) -> None:
    """No digit is lost from cost to amount, whatever the model, the moment and the length of the prompt."""
    offer(rate=Decimal("1393.4567"), markup=Decimal("0.1234"))
    dice = random.Random(1)
    for model in price_book.current().models.values():
        for days in (0, 5, 20, 60):
            at = NOON - timedelta(days=days)
            usage = TokenUsage(
                input_tokens=dice.randrange(1, 900_000),
                cache_read_tokens=dice.randrange(300_000),
                cache_write_tokens=dice.randrange(9_000),
                output_tokens=dice.randrange(5_000, 60_000),
                reasoning_tokens=dice.randrange(5_000),
            )
            try:
                quote = price_book.quote(
                    terms=price_book.PUBLIC_TERMS, model=model, prompt_tokens=usage.prompt_tokens, at=at
                )
            except price_book.NoPrice:
                assert model.is_router
                continue
            amount = rate(usage, quote.unit_prices)
            assert (amount == 0) == model.slug.endswith(":free")


def offer(*, rate: Decimal = Decimal(1500), markup: Decimal = Decimal("0.10")) -> None:
    """What beside the cost prices makes an offer."""
    set_markup(markup=markup, effective_from=datetime(2026, 1, 1, tzinfo=UTC), now=NOON)
    for month in (8, 9, 10):
        publish_exchange_rate(rate=rate, published_on=date(2026, month, 30), source="test", now=NOON)
    price_book.forget()
