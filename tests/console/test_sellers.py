"""The seller's details in the console: a new version, seen before it holds, that leaves finished invoices alone."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.models import InvoiceSeries, Seller
from billing.seller_on_site import forget, seller_on_site
from billing.sellers import current_seller, set_seller
from tests.console.conftest import audited, carry_out, picked, refused
from tests.stories import SELLER, Cast

ADDRESS = "/do/seller/"
VALUES: dict[str, Any] = SELLER | {"payment_days": "14", "business_type": "정보통신업", "business_item": "LLM API"}


@pytest.fixture
def seller(db: None, now: datetime) -> Seller:
    return set_seller(now=now - timedelta(days=100), **(SELLER | {"phone": "02-111-1111"}))


def test_new_details_hold_at_once(seller: Seller, operator: Client, cast: Cast, now: datetime) -> None:
    assert operator.get(ADDRESS).context["form"].initial["phone"] == "02-111-1111"
    review = carry_out(operator, ADDRESS, VALUES | {"phone": "02-222-2222", "registration_number": "2208162517"})
    shown = {str(label): str(value) for label, value in review.context["review"]}
    assert shown["phone"] == "02-111-1111 → 02-222-2222"
    assert "정보통신업 / LLM API" in shown["Supplier, on an invoice in Korean"]
    assert "registration number" not in " ".join(shown), "it is the same, written another way"
    latest = current_seller(now=now + timedelta(minutes=1))
    assert (latest.phone, latest.registration_number) == ("02-222-2222", "220-81-62517")
    assert audited("seller.set", cast).detail["changed"] == ["business_type", "business_item", "phone"]
    assert Seller.objects.count() == 2


def test_from_a_day_to_come(seller: Seller, operator: Client, now: datetime) -> None:
    moving = now + timedelta(days=10)
    carry_out(operator, ADDRESS, VALUES | {"address": "부산광역시", "since": picked(moving)})
    assert current_seller(now=now).pk == seller.pk
    assert current_seller(now=moving).address == "부산광역시"
    operator.cookies["invoicedream_language"] = "en"
    text = operator.get(reverse("admin:billing_seller_changelist")).content.decode()
    assert "Scheduled" in text and "In force" in text
    review = operator.post(ADDRESS, VALUES).context["review"]
    assert any("A later version follows" in str(value) for _label, value in review)


def test_sending_it_twice_makes_one_version(seller: Seller, operator: Client) -> None:
    for _time in range(2):
        assert operator.post(ADDRESS, VALUES | {"confirm": "1"}).status_code == 302
    assert Seller.objects.count() == 2


def test_not_in_the_past(seller: Seller, operator: Client, now: datetime) -> None:
    assert "dated back" in refused(operator, ADDRESS, VALUES | {"since": picked(now - timedelta(days=1))})
    assert Seller.objects.count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"registration_number": "220-81-62518"},
        {"registration_number": ""},
        {"legal_name": " "},
        {"email": "nobody"},
        {"bank_account": ""},
        {"payment_days": "-1"},
        {"payment_days": "1000"},
        {"address": "x" * 201},
    ],
)
def test_bad_input_is_refused(seller: Seller, operator: Client, wrong: dict[str, str]) -> None:
    refused(operator, ADDRESS, VALUES | wrong)
    assert Seller.objects.count() == 1


def test_the_foot_of_pages_says_what_invoices_say(seller: Seller, operator: Client, settings: Settings) -> None:
    settings.SELLER = dict.fromkeys(settings.SELLER, "") | {"name": "elsewhere", "privacy_officer": "이보호"}
    forget()
    assert seller_on_site(now=timezone.now())["name"] == seller.legal_name
    carry_out(operator, ADDRESS, VALUES | {"legal_name": "주식회사 새이름", "since": ""})
    forget()
    shown = seller_on_site(now=timezone.now())
    assert (shown["name"], shown["address"], shown["privacy_officer"]) == (
        "주식회사 새이름",
        VALUES["address"],
        "이보호",
    )


def test_the_first_details_choose_the_series(operator: Client, now: datetime) -> None:
    refused(operator, ADDRESS, VALUES | {"series": ""})
    carry_out(operator, ADDRESS, VALUES | {"series": "LAB"})
    assert InvoiceSeries.objects.get().prefix == "LAB"
    assert "series" not in operator.get(ADDRESS).context["form"].fields
