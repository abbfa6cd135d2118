"""Closures on the console: an operator closes for a reason, typed and audited, and takes it back while that can be done."""

from datetime import datetime

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Organization
from billing.models import Closure
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast


def form(cast: Cast, **values: str) -> dict[str, str]:
    return {"when": "month_end", "slug": cast.acme.organization.slug, "reason": "Fraud"} | values


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_operator_closes_and_takes_it_back(operator: Client, cast: Cast, now: datetime, language: str) -> None:
    key = cast.acme.organization.pk
    carry_out(operator, reverse("admin:close_organization", args=[key]), form(cast), language=language)
    closure = Closure.objects.get()
    assert (closure.status, closure.by_operator, closure.reason) == ("asked", True, "Fraud")
    assert audited("closure.asked", cast).detail["reason"] == "Fraud"
    page = operator.get(reverse("admin:accounts_organization_change", args=[key]))
    assert {"ko": "해지 예정", "en": "To be closed"}[language] in page.content.decode()
    carry_out(operator, reverse("admin:take_closure_back", args=[key]), {"reason": "A mistake"}, language=language)
    assert Closure.objects.get().status == "withdrawn"
    assert Organization.objects.get(pk=key).closes_at is None


def test_at_once_shows_what_is_left(operator: Client, cast: Cast, now: datetime) -> None:
    key = cast.acme.organization.pk
    carry_out(operator, reverse("admin:close_organization", args=[key]), form(cast, when="at_once"))
    page = operator.get(reverse("admin:accounts_organization_change", args=[key])).content.decode()
    assert "Being closed" in page
    assert "months not invoiced" in page
    assert reverse("admin:close_organization", args=[key]) not in page


def test_a_mistyped_organization_is_not_closed(operator: Client, cast: Cast, now: datetime) -> None:
    address = reverse("admin:close_organization", args=[cast.acme.organization.pk])
    assert "slug" in refused(operator, address, form(cast, slug="globex"))
    assert not Closure.objects.exists()
