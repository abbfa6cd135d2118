"""What is sold, at what price: the list and a model's page, for anybody, in Korean and English."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connections
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from accounts.profiles import update_profile
from catalog import price_book
from catalog.markups import set_markup
from catalog.models import CostPrice, CostTable, LanguageModel
from catalog.publishing import delist, publish_cost_price
from pricing.openrouter_pricing import parse_openrouter_pricing
from tests import stories
from tests.dashboard.conftest import Browse, text_of

PAGE = "/models/mistralai-devstral-small"
GPT_PRICE = {"prompt": "0.0000025", "completion": "0.00001", "input_cache_read": "0.00000125"}


@pytest.fixture(autouse=True)
def catalog(db: None, clock: time_machine.Traveller) -> None:
    stories.make_catalog(now=stories.NOON)


def test_the_numbers_that_everybody_knows(browse: Browse) -> None:
    korean = text_of(browse(language="ko").get(PAGE))
    assert "입력 $0.040 출력 $0.040 합계 $0.080" in korean
    assert "인보이스랩 (월 예상) 입력 0.5M + 출력 0.5M 기준 공급가액 ₩66 부가세 (10%) ₩6 결제 금액 ₩72" in korean
    assert "500,000 입력 토큰 $0.040 / 1M 원가 (1 + 10%) 마진 ₩1,500 환율 ₩33" in korean
    english = text_of(browse(language="en").get(PAGE))
    assert "Input $0.040 Output $0.040 Sum $0.080" in english
    assert "For 0.5M input + 0.5M output Supply value ₩66 VAT (10%) ₩6 You pay ₩72" in english
    assert "The VAT is deductible" in english


def test_facts_features_and_snippets(browse: Browse) -> None:
    page = text_of(browse().get(PAGE))
    assert "Model ID mistralai/devstral-small" in page
    assert "131,072 tokens" in page
    assert "text->text" in page
    assert "Function calling" in page
    assert "JSON mode" not in page, "what the model does not support is left out"
    assert "Tokenizer" not in page, "what is not known is left out"
    for call in ("client.chat.completions.create(", "await client.chat.completions.create(", "/v1 /chat/completions"):
        assert call in page
    assert page.count('"Hello"') == 3


def test_a_model_that_gives_vectors_is_called_at_its_own_address(browse: Browse) -> None:
    stories.make_model(
        "acme-labs/vectors",
        now=stories.NOON,
        pricing={"prompt": "0.00000002", "completion": "0"},
        output_modalities=["embeddings"],
    )
    page = text_of(browse().get("/models/acme-labs-vectors"))
    for call in ("client.embeddings.create(", "await client.embeddings.create(", "/v1 /embeddings", "text->embeddings"):
        assert call in page
    assert "chat" not in page
    listed = text_of(browse().get("/models?modality=embeddings-output"))
    assert "Vectors" in listed and "Devstral" not in listed


def test_a_volume_that_cannot_be_read_is_told_and_not_guessed(browse: Browse) -> None:
    """ "1.5" is not 15 and "1e3" is not 13."""
    page = browse().get("/models/mistralai-devstral-small?input_tokens=1.5&output_tokens=1e3")
    assert text_of(page).count("Tokens are counted in whole numbers, such as 500,000, 0.5M or 50만.") == 1
    assert text_of(page).count("Please enter a number of tokens, such as 500,000, 0.5M or 50만.") == 1
    body = page.content.decode()
    assert 'value="1.5"' in body and 'value="1e3"' in body
    assert re.search(r'class="estimate-result"[^>]* hidden>', body), "no amount that belongs to other volumes"
    korean = text_of(browse(language="ko").get("/?output_tokens=abc"))
    assert "토큰 수를 읽을 수 없습니다. 500,000, 0.5M 또는 50만과 같이 입력해 주십시오." in korean
    page = browse().get("/models/mistralai-devstral-small?input_tokens=0.5M&output_tokens=50만")
    assert page.context["estimate"]["texts"] == {"input_tokens": "500,000", "output_tokens": "500,000"}
    assert page.context["estimate"]["total"] == 72


def test_an_estimate_without_scripts(browse: Browse) -> None:
    page = text_of(browse().get(PAGE, {"input_tokens": "12,000,000", "output_tokens": "3000000"}))
    assert "Upstream cost $0.600 Supply value ₩990 VAT (10%) ₩99 Total ₩1,089" in page
    fine = text_of(browse().get(PAGE, {"input_tokens": "15,625,000", "output_tokens": "0"}))
    assert "Upstream cost $0.625 " in fine, "not rounded to cents above an amount in won"
    for nonsense in ("-1", "1e9", "", "９９", "9" * 30):
        assert "Supply value ₩66" in text_of(browse().get(PAGE, {"input_tokens": nonsense}))


def history_of(answer: HttpResponse) -> str:
    """The table of the price history."""
    return text_of(answer).partition("Price, input VAT excluded Price, output VAT excluded ")[2]


def test_price_history_and_conditions(browse: Browse) -> None:
    model = stories.make_model(
        "google/gemini-2.5-pro", now=stories.NOON, pricing={"prompt": "0.000001", "completion": "0.00001"}
    )
    dearer = {
        "prompt": "0.00000125",
        "completion": "0.00001",
        "overrides": [{"min_prompt_tokens": 200000, "prompt": "0.0000025", "completion": "0.000015"}],
    }
    sheet = parse_openrouter_pricing(dearer)
    assert sheet is not None
    yesterday = stories.NOON - timedelta(days=1)
    publish_cost_price(
        cost_table=model.cost_table,
        language_model=model,
        sheet=sheet,
        effective_from=yesterday,
        raw=dearer,
        origin="test",
        now=stories.NOON,
    )
    price_book.forget()
    page = history_of(browse().get("/models/google-gemini-2.5-pro"))
    in_force, before = page.index("2026-11-21 12:00 in force"), page.index("2026-06-25 12:00")
    assert "upstream cost $1.250 $10.000 10% ₩1,500 example rate, 2026-10-31 ₩2,062.5 ₩16,500" in page[in_force:before]
    assert "First price $1.000 $10.000 10% – – – " in page[before:], "no exchange rate was known in June"
    assert "Prompts over 200,000 tokens Input tokens $2.500 → ₩4,125 Output tokens $15.000 → ₩24,750" in page[in_force:]


def test_a_delisted_model_keeps_its_page(browse: Browse) -> None:
    model = stories.make_model("mistralai/mistral-tiny", now=stories.NOON)
    delist(
        cost_table=model.cost_table,
        language_model=model,
        effective_from=stories.NOON - timedelta(days=7),
        origin="test",
        now=stories.NOON,
    )
    price_book.forget()
    page = text_of(browse().get("/models/mistralai-mistral-tiny"))
    assert "This model is no longer sold Off the upstream's list since November 15, 2026." in page
    assert "How to call it" not in page
    assert "mistral-tiny" not in text_of(browse().get("/models"))


def test_routers_vary_and_free_models_cost_nothing(browse: Browse) -> None:
    stories.make_model("openrouter/auto", now=stories.NOON, pricing={"prompt": "-1", "completion": "-1"})
    stories.make_model("deepseek/deepseek-r1", now=stories.NOON, pricing={"prompt": "0", "completion": "0"})
    assert "원가 입력 / 출력 변동" in text_of(browse(language="ko").get("/models/openrouter-auto"))
    free = text_of(browse(language="ko").get("/models/deepseek-deepseek-r1"))
    assert "공급가액 ₩0 부가세 (10%) ₩0 결제 금액 ₩0" in free
    assert "무료" in free
    assert "Auto openrouter/auto Openrouter 131K varies varies" in text_of(browse().get("/models"))


def test_the_id_as_code_has_it_leads_to_the_page(browse: Browse) -> None:
    answer = browse().get("/models/mistralai/devstral-small")
    assert (answer.status_code, answer["Location"]) == (301, PAGE)
    assert browse().get("/models/nobody/knows").status_code == 404
    assert browse().get("/models/nobody-knows").status_code == 404


def names(browse: Browse, query: str) -> list[str]:
    return [offer.model.slug for offer, _modalities in browse().get(f"/models{query}").context["rows"]]


def test_search_filter_and_sort(browse: Browse) -> None:
    stories.make_model(
        "openai/gpt-4o", now=stories.NOON, pricing=GPT_PRICE, input_modalities=["text", "image"], context_length=128_000
    )
    stories.make_model(
        "deepseek/deepseek-r1", now=stories.NOON, pricing={"prompt": "0", "completion": "0"}, context_length=None
    )
    stories.make_model("openrouter/auto", now=stories.NOON, pricing={"prompt": "-1", "completion": "-1"})
    assert names(browse, "") == ["openrouter/auto", "deepseek/deepseek-r1", "mistralai/devstral-small", "openai/gpt-4o"]
    assert names(browse, "?q=MISTRAL+small") == ["mistralai/devstral-small"]
    assert names(browse, "?provider=openai") == ["openai/gpt-4o"]
    assert names(browse, "?modality=image") == ["openai/gpt-4o"]
    assert names(browse, "?free=1") == ["deepseek/deepseek-r1"]
    by_price = ["deepseek/deepseek-r1", "mistralai/devstral-small", "openai/gpt-4o"]
    assert names(browse, "?sort=price") == [*by_price, "openrouter/auto"]
    assert names(browse, "?sort=-price") == [*reversed(by_price), "openrouter/auto"], "unknown stands last either way"
    assert names(browse, "?sort=-context")[-1] == "deepseek/deepseek-r1"
    assert names(browse, "?sort=nonsense&modality=nonsense&page=99") == names(browse, "")
    assert "No model matches" in text_of(browse().get("/models?q=zzz"))


def test_a_live_search_leaves_an_address_to_share(browse: Browse) -> None:
    answer = browse().get("/models?q=devstral&provider=&modality=", headers={"HX-Request": "true"})
    assert answer.headers["HX-Push-Url"] == "/models?q=devstral"
    assert browse().get("/models?q=", headers={"HX-Request": "true"}).headers["HX-Push-Url"] == "/models"


def test_the_list_asks_no_more_for_more_models(browse: Browse) -> None:
    def queries() -> int:
        price_book.current()
        with CaptureQueriesContext(connections["default"]) as asked:
            browse().get("/models")
        return len(asked)

    few = queries()
    for number in range(10):
        stories.make_model(f"qwen/qwen{number}", now=stories.NOON)
    assert queries() == few


def test_a_long_list_has_pages(browse: Browse) -> None:
    for number in range(55):
        stories.make_model(f"qwen/qwen-{number:02}", now=stories.NOON)
    first = browse().get("/models?q=qwen&sort=-name")
    assert len(first.context["rows"]) == 50
    assert first.context["next_url"] == "?q=qwen&sort=-name&page=2"
    assert len(browse().get(f"/models{first.context['next_url']}").context["rows"]) == 5


def test_the_first_page_shows_the_same_bill(browse: Browse) -> None:
    page = text_of(browse(language="ko").get("/"))
    assert "공급가액 ₩66 부가세 (10%) ₩6 합계금액 ₩72" in page
    assert "₩5,000" in page


def test_history_outlives_a_change_of_the_price_list(browse: Browse) -> None:
    model = LanguageModel.objects.using("system").get()
    delist(
        cost_table=model.cost_table,
        language_model=model,
        effective_from=stories.NOON - timedelta(days=30),
        origin="test",
        now=stories.NOON,
    )
    own = CostTable.objects.using("system").create(slug="self-hosted", name="Self-hosted")
    sheet = parse_openrouter_pricing({"prompt": "0.00000003", "completion": "0.00000003"})
    assert sheet is not None
    publish_cost_price(
        cost_table=own,
        language_model=model,
        sheet=sheet,
        effective_from=stories.NOON - timedelta(days=29),
        raw={},
        origin="test",
        now=stories.NOON,
    )
    model.cost_table = own
    model.save()
    price_book.forget()
    answer = browse().get(PAGE)
    page = history_of(answer)
    own, gone, first = (page.index(text) for text in ("2026-10-24 12:00", "2026-10-23 12:00", "2026-06-25 12:00"))
    assert "Self-hosted · #3 on the list $0.030 $0.030 10% ₩1,500" in page[own:gone]
    assert "off the list Off the upstream's list: calls were refused." in page[gone:first]
    assert "OpenRouter · #1 First price $0.040 $0.040" in page[first:]
    assert "This model is no longer sold" not in text_of(answer)


def test_every_part_of_the_price_can_be_opened(browse: Browse) -> None:
    page = text_of(browse().get(PAGE))
    assert "Upstream price OpenRouter · version #1 · in force since 2026-06-25 12:00" in page
    assert "Markup 10% for all models · rule #1 · in force since 2026-06-25 12:00" in page
    assert "Exchange rate 1 USD = ₩1,500 · example rate · published 2026-10-31" in page
    model = LanguageModel.objects.using("system").get()
    for scope, target in {
        "this provider's models": {"provider_slug": "mistralai"},
        "this model": {"language_model": model},
    }.items():
        set_markup(markup=Decimal("0.2"), effective_from=stories.NOON, now=stories.NOON, **target)  # type: ignore[arg-type]
        price_book.forget()
        assert f"Markup 20% for {scope} · rule #" in text_of(browse().get(PAGE))
    korean = text_of(browse(language="ko").get(PAGE))
    assert "마진 20% 이 모델에 적용 · 규칙 #" in korean


def test_a_long_history_has_pages_and_charts_of_all_of_it(browse: Browse) -> None:
    model = LanguageModel.objects.using("system").get()
    for number in range(1, 25):
        raw = {"prompt": f"0.0000{number:02}", "completion": "0.00005"}
        sheet = parse_openrouter_pricing(raw)
        assert sheet is not None
        publish_cost_price(
            cost_table=model.cost_table,
            language_model=model,
            sheet=sheet,
            effective_from=stories.NOON - timedelta(days=25 - number),
            raw=raw,
            origin="test",
            now=stories.NOON,
        )
    price_book.forget()
    first = browse().get(PAGE)
    assert len(first.context["history"]) == 12
    assert first.context["history_links"] == {"next_url": "?page=2#history"}
    last = browse().get(f"{PAGE}?page=3")
    assert [row.price.changes[0] for row in last.context["history"]][-1] == "listed"
    assert len(last.context["price_steps"]) == len(first.context["price_steps"]) > 24
    assert text_of(first).count("Upstream cost, $ / 1M") == 1
    assert (
        'aria-label="Our price, VAT excluded / 1M: 25 changes; now: Input ₩39,600, Output ₩82,500"'
        in first.content.decode()
    )


def test_a_reader_sees_the_prices_of_their_organization_and_of_no_other(browse: Browse) -> None:
    acme, globex = (stories.make_company(name, now=stories.NOON) for name in ("acme", "globex"))
    for company, markup in ((acme, "0.5"), (globex, "0.7")):
        set_markup(
            markup=Decimal(markup), effective_from=stories.NOON, now=stories.NOON, organization=company.organization
        )
    price_book.forget()
    own = browse(acme.owner).get(PAGE)
    assert "markup $0.040 $0.040 50% ₩1,500" in text_of(own) and "no-store" in own["Cache-Control"]
    assert "Markup 10% for all models" in text_of(own), "the list price stands beside it"
    for address in (f"{PAGE}?for=list", f"{PAGE}?for=globex"):
        assert "70%" not in text_of(browse(acme.owner).get(address))
    assert "50%" not in text_of(browse(acme.owner).get(f"{PAGE}?for=list"))
    stranger = browse().get(f"{PAGE}?for=acme")
    assert "50%" not in text_of(stranger) and "Prices for" not in text_of(stranger)


def test_a_router_off_the_list_says_so(browse: Browse) -> None:
    router = stories.make_model("openrouter/auto", now=stories.NOON, pricing={"prompt": "-1", "completion": "-1"})
    CostPrice.objects.using("system").create(
        cost_table=router.cost_table,
        language_model=router,
        effective_from=stories.NOON,
        sheet=None,
        origin="test",
        created_at=stories.NOON,
    )
    price_book.forget()
    page = text_of(browse().get("/models/openrouter-auto"))
    assert "This model is no longer sold" in page and "How to call it" not in page
    stories.make_model("later/model", now=stories.NOON, since=stories.NOON + timedelta(days=1))
    assert "This model is not on sale now" in text_of(browse().get("/models/later-model"))


def test_prices_come_with_or_without_vat_as_the_site_or_the_organization_says(
    browse: Browse, settings: Settings
) -> None:
    acme = stories.make_company("acme", now=stories.NOON)
    owner, address = browse(acme.owner, language="en"), f"{PAGE}?for=acme"

    def prices(shown: str) -> tuple[str, list[Decimal | None]]:
        update_profile(organization=acme.organization, changes={"prices": shown}, actor=None, now=stories.NOON)
        page = owner.get(address)
        return text_of(page), [line.price for line in page.context["history"][0].lines]

    text, without = prices("")
    assert "Price, input VAT excluded" in text and "Supply value ₩66 VAT (10%) ₩6 You pay ₩72" in text
    text, inclusive = prices("inclusive")
    assert "Price, input VAT included" in text and "Total, VAT included ₩72 of which VAT (10%) ₩6" in text
    assert inclusive == [price and price * Decimal("1.1") for price in without]
    settings.PRICES_INCLUDE_VAT = True
    assert prices("")[1] == inclusive
    assert prices("exclusive")[1] == without
    assert "Total, VAT included ₩72" in text_of(browse(language="en").get(PAGE))
