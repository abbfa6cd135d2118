"""Pages and invoices name one seller: the details in force; the settings stand in only until there are any."""

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.test import Client
from pytest_django.fixtures import Settings

from billing import seller_on_site
from billing.models import Seller
from billing.sellers import set_seller
from tests.stories import NOON, SELLER

SETTINGS = {"name": "설정의 상호", "privacy_officer": "이보호", "phone": "02-999-9999", "email": ""}


@pytest.fixture(autouse=True)
def settings_of_somebody(db: None, settings: Settings) -> None:
    settings.SELLER = dict.fromkeys(settings.SELLER, "") | SETTINGS
    seller_on_site.forget()


def test_the_settings_stand_in_until_details_are_entered() -> None:
    assert seller_on_site.seller_on_site(now=NOON)["name"] == "설정의 상호"
    set_seller(now=NOON, since=NOON + timedelta(days=1), **SELLER)
    seller_on_site.forget()
    assert seller_on_site.seller_on_site(now=NOON)["name"] == "설정의 상호"
    later = seller_on_site.seller_on_site(now=NOON + timedelta(days=1))
    assert (later["name"], later["phone"], later["privacy_officer"]) == (SELLER["legal_name"], "", "이보호")


def test_every_page_has_them_at_its_foot() -> None:
    set_seller(now=NOON - timedelta(days=1), **SELLER)
    seller_on_site.forget()
    for path in ("/", "/legal/privacy"):
        page = Client().get(path).content.decode()
        assert SELLER["legal_name"] in page and SELLER["registration_number"] in page and "설정의 상호" not in page


def test_the_foot_of_a_page_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(Seller.objects, "using", broken)
    assert seller_on_site.seller_on_site(now=NOON)["name"] == "설정의 상호"
