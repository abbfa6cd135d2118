"""`/models/compare`: one's own month with every model, some side by side, in an address that can be shared."""

import re
from decimal import Decimal

import pytest
import time_machine

from catalog import price_book
from catalog.markups import set_markup
from catalog.models import LanguageModel
from tests import stories
from tests.dashboard.conftest import Browse, text_of

PATH = "/models/compare"
LONG = {
    "prompt": "0.000001",
    "completion": "0.000001",
    "input_cache_read": "0.0000001",
    "overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000002"}],
}


@pytest.fixture(autouse=True)
def catalog(db: None, clock: time_machine.Traveller) -> None:
    stories.make_catalog(now=stories.NOON)
    stories.make_model("google/gemini", now=stories.NOON, pricing=LONG, context_length=1_000_000)
    stories.make_model("a/free", now=stories.NOON, pricing={"prompt": "0", "completion": "0"})
    stories.make_model("openrouter/auto", now=stories.NOON, pricing={"prompt": "-1", "completion": "-1"})


def slugs(browse: Browse, query: str = "") -> list[str]:
    return [row.answer.model.slug for row in browse().get(PATH + query).context["rows"]]


def test_every_model_for_the_month_of_the_price_list(browse: Browse) -> None:
    page = text_of(browse().get(PATH))
    assert "Devstral Small mistralai/devstral-small 131K ₩66 ₩66 ₩66 ₩6 ₩72" in page
    assert "Auto openrouter/auto 131K varies with the model that answers" in page
    korean = text_of(browse(language="ko").get(PATH))
    assert "모델 컨텍스트 입력 / 1M 출력 / 1M 공급가액 부가세 합계금액" in korean
    assert "응답한 모델에 따라 변동" in korean


def test_models_that_write_nothing_are_compared_among_themselves(browse: Browse) -> None:
    free_output = {"prompt": "0.00000002", "completion": "0"}
    stories.make_model("a/vectors", now=stories.NOON, pricing=free_output, output_modalities=["embeddings"])
    assert "a/vectors" not in slugs(browse)
    assert slugs(browse, "?modality=embeddings-output") == ["a/vectors"]


def test_providers_that_are_called_the_same_are_told_apart(browse: Browse) -> None:
    for slug in ("meta/muse", "meta-llama/llama-4"):
        stories.make_model(slug, now=stories.NOON)
    LanguageModel.objects.using("system").filter(slug__startswith="meta").update(provider="Meta")
    for path in (PATH, "/models"):
        page = browse().get(path).content.decode()
        assert ">Meta</option>" in page and ">Meta (meta-llama)</option>" in page


@pytest.mark.parametrize("text", ["12,000,000", "12000000", "12M", "1200만", " 12 m "])
def test_numbers_as_people_type_them(browse: Browse, text: str) -> None:
    answer = browse().get(PATH, {"input_tokens": text, "output_tokens": "300만"})
    assert "₩990 ₩99 ₩1,089" in text_of(answer)
    assert 'value="12,000,000"' in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("input_tokens", "1.5", "Tokens are counted in whole numbers"),
        ("output_tokens", "x" * 90, "Please enter a number of tokens"),
        ("cached", "101", "Please enter a percentage from 0 to 100."),
        ("cached", "-1", "Please enter a percentage from 0 to 100."),
        ("cached", "1e1", "Please enter a percentage from 0 to 100."),
        ("requests", "-3", "Please enter a whole number up to"),
        ("images", "0.5", "Please enter a whole number up to"),
    ],
)
def test_what_cannot_be_read_is_told_and_nothing_is_priced(browse: Browse, name: str, text: str, told: str) -> None:
    answer = browse().get(PATH, {name: text, "pin": stories.DEVSTRAL})
    page = text_of(answer)
    assert told in page and "These volumes cannot be priced" in page and "₩" not in page
    assert re.search(rf'name="{name}" value="{re.escape(text[:40])}"[^>]*aria-invalid="true"', answer.content.decode())


def test_cache_requests_and_bands(browse: Browse) -> None:
    page = text_of(
        browse().get(
            PATH, {"input_tokens": "400,001", "output_tokens": "0", "requests": "2", "cached": "50%", "q": "gemini"}
        )
    )
    assert "prompts over 200,000 tokens: 1 request prompts up to 200,000 tokens: 1 request" in page
    # 100,001 cached and 100,000 of the long prompt, 100,000 each of the short one
    exact = (100_000 * 2 + 100_000 + 200_001 * Decimal("0.1")) * Decimal("0.00165")
    supply = int(exact + Decimal("0.5"))
    assert f"₩{supply} ₩{supply // 10} ₩{supply + supply // 10}" in page


def test_what_has_no_price_says_so(browse: Browse) -> None:
    page = text_of(browse().get(PATH, {"images": "3"}))
    assert page.count("takes no images") == 3 and "₩" not in page
    too_long = text_of(browse().get(PATH, {"requests": "1", "q": "devstral"}))
    assert "the prompt of one request is longer than the context window" in too_long


def test_models_side_by_side(browse: Browse) -> None:
    pins = f"?pin={stories.DEVSTRAL}&pin=google/gemini&pin=nobody/nothing&pin={stories.DEVSTRAL}"
    answer = browse().get(PATH + pins)
    page = text_of(answer)
    assert [row.answer.model.slug for row in answer.context["pinned"]] == [stories.DEVSTRAL, "google/gemini"]
    assert "Devstral Small Mistralai · 131K context Lowest Supply value ₩66 VAT (10%) ₩6 Total ₩72" in page
    assert "Cached input / 1M as input" in page and "Cached input / 1M ₩165" in page
    assert "500,000 Input tokens $0.040 / 1M upstream cost (1 + 10%) markup ₩1,500 exchange rate ₩33" in page
    assert answer.context["pinned"][0].pin_url == "?pin=google%2Fgemini"
    assert "Lowest" not in text_of(browse().get(f"{PATH}?pin={stories.DEVSTRAL}")), "of one there is none"


def test_no_more_than_four_side_by_side(browse: Browse) -> None:
    stories.make_model("one/more", now=stories.NOON)
    pins = "&".join(
        f"pin={slug}" for slug in ("a/free", "google/gemini", "openrouter/auto", stories.DEVSTRAL, "one/more")
    )
    answer = browse().get(f"{PATH}?{pins}")
    assert len(answer.context["pinned"]) == 4
    by_slug = {row.answer.model.slug: row.pin_url for row in answer.context["rows"]}
    assert by_slug["one/more"] == "" and by_slug["a/free"]


def test_search_filter_sort_and_an_address_that_says_it_all(browse: Browse) -> None:
    assert slugs(browse) == ["a/free", stories.DEVSTRAL, "google/gemini", "openrouter/auto"]
    assert slugs(browse, "?sort=-total") == ["google/gemini", stories.DEVSTRAL, "a/free", "openrouter/auto"]
    assert slugs(browse, "?sort=name") == ["openrouter/auto", stories.DEVSTRAL, "a/free", "google/gemini"]
    assert slugs(browse, "?sort=nonsense&modality=nonsense&page=99") == slugs(browse)
    assert slugs(browse, "?paid=1&provider=google") == ["google/gemini"]
    assert slugs(browse, "?paid=1") == [stories.DEVSTRAL, "google/gemini", "openrouter/auto"]
    assert slugs(browse, "?modality=image") == [] and "No model matches" in text_of(browse().get(f"{PATH}?q=zzz"))
    answer = browse().get(PATH, {"input_tokens": "1M", "q": "dev", "paid": "1", "pin": "a/free"})
    assert answer.context["sorts"]["name"]["url"] == "?input_tokens=1%2C000%2C000&q=dev&paid=1&sort=name&pin=a%2Ffree"


def test_ones_own_prices_and_currency(browse: Browse) -> None:
    acme, globex = (stories.make_company(name, now=stories.NOON) for name in ("acme", "globex"))
    hooli = stories.make_company("hooli", now=stories.NOON, currency="USD")
    for company, markup in ((acme, "0"), (globex, "0.7")):
        set_markup(
            markup=Decimal(markup), effective_from=stories.NOON, now=stories.NOON, organization=company.organization
        )
    price_book.forget()
    own = browse(acme.owner).get(f"{PATH}?q=devstral")
    assert "₩60 ₩6 ₩66" in text_of(own) and "no-store" in own["Cache-Control"]
    for reader, query in ((acme.owner, "&for=list"), (None, "&for=acme"), (None, "")):
        assert "₩66 ₩6 ₩72" in text_of(browse(reader).get(f"{PATH}?q=devstral{query}"))
    assert "₩60" in text_of(browse(acme.owner).get(f"{PATH}?q=devstral&for=globex")), "no place of theirs"
    assert "$0.04 $0.00 $0.04" in text_of(browse(hooli.owner).get(f"{PATH}?q=devstral"))


def test_lists_and_pages_lead_here(browse: Browse) -> None:
    assert f'href="{PATH}"' in browse().get("/models").content.decode()
    assert (
        f'href="{PATH}?pin=mistralai%2Fdevstral-small"'
        in browse().get("/models/mistralai-devstral-small").content.decode()
    )
