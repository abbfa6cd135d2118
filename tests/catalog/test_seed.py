"""The seed's own data: complete and valid (`test_side_by_side` compares its prices with the package's own sums)."""

import pytest

from catalog.seed import our_table
from catalog.seed.packaged_prices import PackagedModel, packaged_models
from pricing.tokens import TokenClass


@pytest.fixture(scope="module")
def packaged() -> dict[str, PackagedModel]:
    sold, _left_out = packaged_models(names={slug: model.name for slug, model in our_table.our_models().items()})
    return {model.slug: model for model in sold}


@pytest.mark.parametrize("slug", our_table.our_models())
def test_our_table_tells_of_every_model_in_both_languages(slug: str) -> None:
    model = our_table.our_models()[slug]
    assert model.name
    assert 20 < len(model.facts["description_en"]) < 500
    assert 20 < len(model.facts["description_ko"]) < 500
    assert any("가" <= sign <= "힣" for sign in model.facts["description_ko"])
    assert model.facts["description_ko"].rstrip().endswith("다.")
    assert not any("가" <= sign <= "힣" for sign in model.facts["description_en"])
    assert model.facts["input_modalities"] and model.facts["output_modalities"]
    assert our_table.provider_name(slug) != slug.partition("/")[0]
    if not model.facts.get("is_router"):
        assert model.facts["context_length"] > 0
        its_own = "encoding_format" if model.facts["output_modalities"] == ["embeddings"] else "max_tokens"
        assert its_own in model.facts["supported_parameters"]


def test_our_models_have_a_price_of_ours_or_a_packaged_one(packaged: dict[str, PackagedModel]) -> None:
    ours = our_table.our_models()
    without = [slug for slug, model in ours.items() if not model.prices and slug not in packaged]
    assert without == ["openrouter/auto"]
    assert ours["openrouter/auto"].facts["is_router"]


def test_what_cannot_be_sold_is_left_out_and_says_why() -> None:
    sold, left_out = packaged_models(names={})
    assert len(sold) > 350
    assert "an alias" in left_out["~openai/gpt-latest"]
    assert "a variant" in left_out["openai/gpt-5:batch"]
    assert "without its author" in left_out["devstral-small"]
    assert "no unit cost for output" in left_out["cloudflare/clef"]
    assert "no unit cost for input" in left_out["stealth/crouton-alpha"]
    assert "pictures or sound" in left_out["google/gemini-2.5-flash-image"]
    assert not left_out.keys() & {model.slug for model in sold}


def test_only_free_variants_cost_nothing(packaged: dict[str, PackagedModel]) -> None:
    free = {slug for slug, model in packaged.items() if not model.prices[0].sheet.base[TokenClass.INPUT]}
    assert "openai/gpt-oss-20b:free" in free
    assert all(slug.endswith(":free") for slug in free)
