"""Prices in quarantine as an operator meets them: what would change, a decision with a reason, a file with a preview."""

from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry
from catalog.feed import outcomes
from catalog.feed.running import feed_table
from catalog.models import CostPrice, LanguageModel, PriceFeed, QuarantinedPrice
from console.figures import figure
from tests import stories
from tests.catalog.feeds import PRICE, import_list, item
from tests.stories import Cast

PAGE = "/prices/quarantine/"
APPROVE, REFUSE, UPLOAD = "/do/prices/approve/", "/do/prices/refuse/", "/do/prices/upload/"
DEVSTRAL = item(stories.DEVSTRAL, stories.DEVSTRAL_PRICE)


@pytest.fixture
def waiting(cast: Cast, now: datetime, operator: Client) -> dict[str, QuarantinedPrice]:
    """A list came an hour ago: a zero, a jump, a negative price, a model that is new and one that is gone."""
    earlier = now - timedelta(hours=2)
    for slug in ("maker/jumps", "maker/zero", "maker/negative", "maker/gone"):
        stories.make_model(slug, now=now, pricing=PRICE)
    import_list(
        DEVSTRAL,
        item("maker/jumps", PRICE | {"prompt": "0.000003"}),
        item("maker/zero", {"prompt": "0", "completion": "0"}),
        item("maker/negative", PRICE | {"prompt": "-2"}),
        item("maker/gift", {"prompt": "0", "completion": "0"}),
        now=earlier,
    )
    operator.cookies["invoicedream_language"] = "en"
    return {entry.slug: entry for entry in QuarantinedPrice.objects.all()}


def test_the_page_shows_what_would_change(operator: Client, waiting: dict[str, QuarantinedPrice]) -> None:
    text = operator.get(PAGE).content.decode()
    assert "$1.000 → $3.000 / 1M" in text and "+200.0%" in text and "-100.0%" in text
    for words in ("Reads 0", "Changes too much", "Negative", "No longer listed", "no longer sold", "listed and sold"):
        assert words in text, words
    assert "(5)" in text
    assert (
        '<span class="mono">prompt</span> <span class="number-left">-2</span>' in text
        and "&#x27;prompt&#x27;" not in text
    )
    operator.cookies["invoicedream_language"] = "ko"
    for query in ("", "?state=decided"):
        assert 'lang="ko"' in operator.get(f"{PAGE}{query}").content.decode()


@pytest.mark.parametrize("language", ["ko", "en"])
def test_home_leads_to_it(operator: Client, waiting: dict[str, QuarantinedPrice], language: str, settings: Any) -> None:
    operator.cookies["invoicedream_language"] = language
    home = operator.get("/")
    tiles = {str(tile.url): tile for tile in home.context["tiles"]}
    assert tiles[f"{PAGE}#waiting-title"].value == "5" and tiles[f"{PAGE}#waiting-title"].tone == "warning"
    settings.PRICE_FEED_URL = "http://127.0.0.1:9/models"
    tried = timezone.now() + timedelta(minutes=90)
    PriceFeed.objects.update(outcome="refused", reason="It is empty.", tried_at=tried)
    tiles = {str(tile.url): tile for tile in operator.get("/").context["tiles"]}
    assert tiles[PAGE].tone == "danger" and figure("table_time")(tried) in tiles[PAGE].note, "the refusal's own time"
    assert {"ko": "비어 있습니다.", "en": "It is empty."}[language] in operator.get(PAGE).content.decode()


def test_several_are_approved_with_one_reason(operator: Client, cast: Cast, waiting: Any) -> None:
    chosen = [waiting["maker/jumps"].pk, waiting["maker/gone"].pk]
    form = operator.get(APPROVE, {"entry": chosen})
    assert "maker/jumps" in form.content.decode() and "maker/gone" in form.content.decode()
    values = {"entries": ",".join(map(str, chosen)), "reason": "Told by the provider"}
    review = operator.post(APPROVE, values)
    assert "$1.000 → $3.000 / 1M" in review.content.decode()
    assert CostPrice.objects.filter(language_model__slug="maker/jumps").count() == 1
    assert operator.post(APPROVE, values | {"confirm": "1"}).status_code == 302
    prices = CostPrice.objects.filter(language_model__slug="maker/jumps").order_by("effective_from")
    assert [price.sheet["base"]["input"] for price in prices] == ["0.000001000000", "0.000003000000"]
    assert CostPrice.objects.filter(language_model__slug="maker/gone").latest("effective_from").sheet is None
    entries = AuditEntry.objects.filter(action="quarantine.approved", actor=cast.operator)
    assert {entry.target for entry in entries} == {"maker/jumps", "maker/gone"}
    again = operator.post(APPROVE, values | {"confirm": "1"})
    assert again.status_code == 422 and b"None of these prices waits" in again.content
    assert b"Told by the provider" in operator.get(f"{PAGE}?state=decided").content


def test_refusing_keeps_what_is_in_force(operator: Client, cast: Cast, waiting: Any) -> None:
    values = {"entries": str(waiting["maker/zero"].pk), "reason": "Never free"}
    assert operator.post(REFUSE, values).status_code == 200
    assert operator.post(REFUSE, values | {"confirm": "1"}).status_code == 302
    assert CostPrice.objects.filter(language_model__slug="maker/zero").count() == 1
    entry = QuarantinedPrice.objects.get(slug="maker/zero")
    assert (entry.status, entry.reason, entry.decided_by) == ("refused", "Never free", cast.operator)


@pytest.mark.parametrize(
    ("address", "slug", "changes"),
    [(APPROVE, "maker/negative", {}), (APPROVE, "maker/zero", {"reason": ""}), (REFUSE, "", {})],
    ids=["a negative price", "no reason", "none chosen"],
)
def test_what_cannot_be_decided_is_refused(
    operator: Client, waiting: Any, address: str, slug: str, changes: dict[str, str]
) -> None:
    entries = str(waiting[slug].pk) if slug else "x,,999999999999999999999"
    for step in ({}, {"confirm": "1"}):
        values = {"entries": entries, "reason": "Because"} | changes | step
        assert operator.post(address, values).status_code == 422
    assert not QuarantinedPrice.objects.exclude(status="open").exists()


def test_asking_for_the_list_makes_it_due(operator: Client, cast: Cast, settings: Any) -> None:
    settings.PRICE_FEED_URL = ""
    assert operator.post("/do/prices/fetch/", {"confirm": "1"}).status_code == 422
    settings.PRICE_FEED_URL = "http://127.0.0.1:9/models"
    import_list(DEVSTRAL, now=timezone.now())
    assert not outcomes.is_due("openrouter", now=timezone.now())
    assert operator.get("/do/prices/fetch/").status_code == 200
    assert operator.post("/do/prices/fetch/", {}).status_code == 200
    assert operator.post("/do/prices/fetch/", {"confirm": "1"}).status_code == 302
    assert outcomes.is_due("openrouter", now=timezone.now())
    assert AuditEntry.objects.filter(action="price_feed.asked_for", actor=cast.operator).exists()


class TestUpload:
    def values(
        self, operator: Client, content: bytes, *, name: str = "own.csv", **more: str
    ) -> tuple[Any, dict[str, str]]:
        """The preview of a file, and what the browser would send to confirm it."""
        operator.cookies["invoicedream_language"] = "en"
        file = BytesIO(content)
        file.name = name
        table = str(feed_table().pk)
        answer = operator.post(UPLOAD, {"cost_table": table, "file": file, **more})
        form = answer.context["form"]
        hidden = {field: form.data.get(field, "") for field in ("content", "name")}
        return answer, {"cost_table": table, **hidden, **more}

    def test_it_is_shown_and_then_imported(self, operator: Client, cast: Cast, now: datetime) -> None:
        stories.make_model("maker/one", now=now, pricing=PRICE)
        content = (
            f"model,prompt_per_1m,completion_per_1m\nmaker/one,1.2,2\n{stories.DEVSTRAL},4,0.04\nmaker/new,1,1\n"
        ).encode()
        preview, values = self.values(operator, content)
        text = preview.content.decode()
        assert preview.status_code == 200 and "multipart/form-data" in text
        assert "maker/new · Input tokens $1.000 / 1M" in text, "what a new model would cost"
        assert "+20.0%" in text and "waits in quarantine" in text and "maker/new" in text
        assert CostPrice.objects.count() == 2
        assert operator.post(UPLOAD, values | {"confirm": "1"}).status_code == 302
        assert CostPrice.objects.filter(origin="file own.csv").count() == 2
        assert QuarantinedPrice.objects.get().slug == stories.DEVSTRAL
        assert LanguageModel.objects.filter(slug="maker/new").exists()
        assert AuditEntry.objects.filter(action="cost_prices.published", actor=cast.operator).exists()

    def test_what_is_in_doubt_can_be_vouched_for(self, operator: Client, cast: Cast) -> None:
        content = f"model,prompt_per_1m,completion_per_1m\n{stories.DEVSTRAL},4,0.04\n".encode()
        _preview, values = self.values(operator, content, approve="on")
        assert operator.post(UPLOAD, values | {"confirm": "1"}).status_code == 302
        assert CostPrice.objects.filter(language_model__slug=stories.DEVSTRAL).count() == 2
        entry = QuarantinedPrice.objects.get()
        assert (entry.status, entry.decided_by) == ("approved", cast.operator)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "Choose a file"),
            (b"model,price\na/b,1\n", "that we do not know"),
            (b"\xff\xfe\x00", "UTF-8"),
            (b" " * (4 * 2**20 + 1), "larger than 4 MB"),
            (b"model,prompt,completion\nmaker/one,NaN,1\n", "cannot be read"),
        ],
        ids=["empty", "a strange column", "no text", "too large", "no number"],
    )
    def test_a_bad_file_changes_nothing(self, operator: Client, cast: Cast, content: bytes, words: str) -> None:
        before = CostPrice.objects.count()
        answer, values = self.values(operator, content)
        assert answer.status_code == 422 and words in answer.content.decode()
        assert operator.post(UPLOAD, values | {"confirm": "1"}).status_code == 422
        assert CostPrice.objects.count() == before


@pytest.mark.parametrize("entries", ["9" * 4500, "9" * 20, "x,²,-1", ","], ids=["thousands", "twenty", "none", "empty"])
def test_numbers_that_no_entry_can_have_are_passed_over(operator: Client, waiting: Any, entries: str) -> None:
    values = {"entries": entries, "reason": "Told by the provider", "confirm": "1"}
    for address in (APPROVE, REFUSE):
        assert operator.get(address, {"entry": entries}).status_code == 200
        answer = operator.post(address, values)
        assert answer.status_code == 422 and b"None of these prices waits" in answer.content
    assert not QuarantinedPrice.objects.exclude(status="open").exists()
