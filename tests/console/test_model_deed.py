"""What an operator writes on a model's page, no price list overwrites."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from catalog.models import LanguageModel
from tests import stories
from tests.catalog.feeds import import_list, item
from tests.stories import Cast

VALUES = {"name": "Devstral", "provider": "Mistral", "context_length": "1000", "max_completion_tokens": ""}
TEXTS = {"description_ko": "우리 설명입니다.", "description_en": "Our words.\r\nTwo lines."}


def model(slug: str = "maker/one") -> LanguageModel:
    return LanguageModel.objects.get(slug=slug)


@pytest.fixture
def address(cast: Cast, now: datetime, operator: Client) -> str:
    import_list(item(stories.DEVSTRAL, stories.DEVSTRAL_PRICE), item("maker/one"), now=now)
    operator.cookies["invoicedream_language"] = "en"
    return reverse("admin:edit_model", args=[model().pk])


def test_it_stays_whatever_the_list_says(operator: Client, cast: Cast, address: str, now: datetime) -> None:
    form = operator.get(address).context["form"]
    assert form.initial["name"] == "One" and form.initial["description_en"] == "Good at everything."
    review = operator.post(address, VALUES | TEXTS)
    assert review.status_code == 200 and "Devstral" in review.content.decode()
    assert model().name == "One"
    assert operator.post(address, VALUES | TEXTS | {"confirm": "1"}).status_code == 302
    assert (model().name, model().description_en, model().context_length) == (
        "Devstral",
        "Our words.\nTwo lines.",
        1000,
    )
    entry = AuditEntry.objects.get(action="model.edited")
    assert entry.actor == cast.operator and "name" in entry.detail["fields"]
    again = operator.post(address, VALUES | TEXTS | {"confirm": "1"})
    assert again.status_code == 422 and b"Nothing was changed" in again.content
    import_list(
        item(stories.DEVSTRAL, stories.DEVSTRAL_PRICE),
        item("maker/one", name="Maker: Other", description="Theirs.", supported_parameters=["seed"]),
        now=now + timedelta(hours=1),
    )
    assert (model().name, model().description_ko) == ("Devstral", "우리 설명입니다.")
    assert model().supported_parameters == ["seed"], "what nobody wrote follows the list"
    assert model().max_completion_tokens == 8192, "what was emptied follows it again"


def test_what_an_operator_listed_is_theirs(operator: Client, cast: Cast, now: datetime) -> None:
    table = model(stories.DEVSTRAL).cost_table
    values = {"slug": "maker/two", "cost_table": str(table.pk), **VALUES, "description_en": "", "description_ko": ""}
    assert operator.post("/do/models/new/", values | {"confirm": "1"}).status_code == 302
    import_list(item(stories.DEVSTRAL, stories.DEVSTRAL_PRICE), item("maker/two"), now=now)
    assert (model("maker/two").name, model("maker/two").description_en) == ("Devstral", "Good at everything.")
