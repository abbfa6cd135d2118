"""Koreans find models by the names that they use."""

import pytest

from catalog.models import LanguageModel
from catalog.models_in_memory import matching
from catalog.price_list import models_sold
from catalog.search_words import NAMES, names_of
from catalog.seeding import seed_catalog
from tests.stories import NOON, forget_what_processes_remember, make_catalog, make_model


@pytest.fixture
def catalog(db: None) -> None:
    make_catalog(now=NOON)
    for slug in (
        "anthropic/claude-sonnet-4",
        "openai/gpt-4o-mini",
        "google/gemini-2.5-pro",
        "meta-llama/llama-3.3-70b",
    ):
        make_model(slug, now=NOON)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("미스트랄", ["mistralai/devstral-small"]),
        ("클로드 소넷", ["anthropic/claude-sonnet-4"]),
        ("오픈AI", ["openai/gpt-4o-mini"]),
        ("오픈 AI", ["openai/gpt-4o-mini"]),
        ("챗-지피티", ["openai/gpt-4o-mini"]),
        ("구글 제미나이", ["google/gemini-2.5-pro"]),
        ("라마 70b", ["meta-llama/llama-3.3-70b"]),
        ("클로드 제미나이", []),
        ("없는모델", []),
    ],
    ids=[
        "provider",
        "two words",
        "half Latin",
        "apart",
        "with a hyphen",
        "provider and family",
        "mixed",
        "both",
        "none",
    ],
)
def test_a_korean_name_finds_the_model(catalog: None, search: str, found: list[str]) -> None:
    assert [listed.model.slug for listed in models_sold(at=NOON, search=search)] == found
    assert [model.slug for model in matching(search=search)] == found


def test_every_name_of_the_table_is_one_of_the_seed(db: None) -> None:
    forget_what_processes_remember()
    seed_catalog(now=NOON)
    known = " ".join(f"{model.slug} {model.name} {model.provider}".lower() for model in LanguageModel.objects.all())
    assert [name for name in NAMES if name not in known] == []


def test_other_words_stand_for_themselves() -> None:
    assert names_of("devstral") == ("devstral",)
    assert names_of("딥시크") == ("딥시크", "deepseek")
