"""Dunning on the console: who is overdue and what comes next, schedules, exemptions, suspension and its end."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Organization
from billing.models import DunningPolicy, Invoice, Suspension
from billing.overdue import dunning
from billing.overdue.dunning_policy import Policies, Policy
from tests.console.conftest import audited, carry_out, refused
from tests.stories import SEOUL, Cast

SCHEDULE = {
    "days_before_due": "5",
    "overdue_days": "2, 9",
    "charge_days": "",
    "suspend_after": "",
    "reason": "Holidays",
}


@pytest.fixture
def overdue_invoice(invoice: Invoice) -> Invoice:
    """The invoice as if it had been issued 30 days earlier."""
    from tests.billing.test_audit import break_books

    break_books("UPDATE billing_invoice SET due_on = due_on - 30, issued_on = issued_on - 30")
    return Invoice.objects.get(pk=invoice.pk)


def noon(day: datetime) -> datetime:
    return day.astimezone(SEOUL).replace(hour=12)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_who_is_overdue_is_listed_with_the_last_and_the_next_step(
    operator: Client, cast: Cast, overdue_invoice: Invoice, now: datetime, language: str
) -> None:
    operator.cookies["invoicedream_language"] = language
    page = operator.get(reverse("admin:dunning"))
    [row] = page.context["rows"]
    [line] = row.lines
    assert (line.standing.invoice, line.days, line.last) == (overdue_invoice, 16, None)
    dunning.dun(organization_id=overdue_invoice.organization_id, policies=Policies(now=now), now=noon(now))
    page = operator.get(reverse("admin:dunning"))
    [line] = page.context["rows"][0].lines
    assert (line.last.kind, line.last.number, line.coming.kind) == ("overdue", 3, "suspension")
    assert overdue_invoice.number in page.content.decode()
    assert {"ko": "연체 알림", "en": "Overdue reminder"}[language] in page.content.decode()


@pytest.mark.parametrize("language", ["ko", "en"])
def test_everybodys_schedule_is_set(operator: Client, cast: Cast, language: str) -> None:
    carry_out(operator, reverse("admin:set_dunning"), SCHEDULE, language=language)
    row = DunningPolicy.objects.get()
    assert (row.organization_id, row.days_before_due, row.overdue_days, row.suspend_after) == (None, 5, [2, 9], None)
    assert audited("dunning_policy.set", cast).detail["reason"] == "Holidays"
    assert "2, 9" in operator.get(reverse("admin:dunning")).content.decode()


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_organization_has_a_schedule_of_its_own_until_it_follows_everybodys(
    operator: Client, cast: Cast, now: datetime, language: str
) -> None:
    address = reverse("admin:set_own_dunning", args=[cast.acme.organization.pk])
    carry_out(operator, address, SCHEDULE, language=language)
    later = now + timedelta(minutes=1)
    assert Policies(now=later).of(cast.acme.organization.pk).overdue_days == (2, 9)
    assert Policies(now=later).of(cast.globex.organization.pk) == Policy()
    carry_out(operator, address, SCHEDULE | {"follows_default": "on"}, language=language)
    assert Policies(now=later).of(cast.acme.organization.pk) == Policy()


@pytest.mark.parametrize(
    "wrong",
    [{"overdue_days": "9, 2"}, {"overdue_days": "one"}, {"overdue_days": "-1"}, {"charge_days": "1,1"}, {"suspend_after": "2"},
     {"suspend_after": "0"}, {"days_before_due": "x"}, {"reason": ""}, {"overdue_days": "99999"}],
)  # fmt: skip
def test_schedules_that_cannot_be(operator: Client, cast: Cast, wrong: dict[str, str]) -> None:
    refused(operator, reverse("admin:set_dunning"), SCHEDULE | wrong)
    assert not DunningPolicy.objects.exists()


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_organization_is_exempted_suspended_and_let_in_again(operator: Client, cast: Cast, language: str) -> None:
    acme = cast.acme.organization
    carry_out(operator, reverse("admin:exempt", args=[acme.pk]), {"reason": "Public"}, language=language)
    assert DunningPolicy.objects.get().suspend_after is None
    carry_out(operator, reverse("admin:suspend", args=[acme.pk]), {"reason": "Abuse"}, language=language)
    page = operator.get(reverse("admin:dunning"))
    assert [row.suspension.reason for row in page.context["rows"]] == ["Abuse"]
    assert "Abuse" in page.content.decode()
    carry_out(operator, reverse("admin:reactivate", args=[acme.pk]), {"reason": "Sorted out"}, language=language)
    assert Organization.objects.get(pk=acme.pk).status == "active"
    row = Suspension.objects.get()
    assert (row.end_reason, row.ended_by) == ("Sorted out", cast.operator)
    assert operator.get(reverse("admin:dunning")).context["rows"] == []
