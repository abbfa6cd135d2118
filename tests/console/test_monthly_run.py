"""The page of the monthly run says how far it is, what waits and for what, and goes on by itself while it does."""

from datetime import datetime, timedelta

import pytest
import time_machine
from django.test import Client

from accounts.models import BillingProfile
from accounts.tenancy import tenant_scope
from billing import cycle
from billing.documents import render_document
from billing.mail import mails
from billing.models import Invoice, OutboxMail
from billing.month_progress import MonthProgress
from billing.sellers import set_seller
from console.months import month_of
from ledger.models import BillingPeriod
from tests import stories
from tests.stories import Cast, use

PAGE = "/monthly-run/"


@pytest.fixture
def story(cast: Cast, now: datetime) -> Cast:
    """Acme and globex used something last month; globex has so long a time of grace that it is not over."""
    used = month_of(now).start - timedelta(hours=1)
    set_seller(now=now - timedelta(days=100), **stories.SELLER)
    for company in (cast.acme, cast.globex):
        use(company.organization, at=used, now=used)
    for company, hours in ((cast.acme, 0), (cast.globex, 24 * 60)):
        BillingProfile.objects.using("system").filter(organization=company.organization).update(grace_hours=hours)
    return cast


def progress_on(page: object) -> MonthProgress:
    progress: MonthProgress = page.context["progress"]  # type: ignore[attr-defined]
    return progress


def close_acme(cast: Cast, *, now: datetime) -> Invoice:
    period = BillingPeriod.objects.using("system").get(organization=cast.acme.organization, status="open")
    invoice = cycle.close(organization_id=period.organization_id, period_id=period.pk, now=now)
    assert invoice is not None
    return invoice


def test_what_is_due_and_what_has_time_is_told_apart(story: Cast, operator: Client) -> None:
    page = operator.get(PAGE)
    told = progress_on(page)
    assert (told.periods, told.closed, told.in_grace, told.due_count) == (2, 0, 1, 1)
    assert [one.organization for one in told.due] == [story.acme.organization.name]
    assert 'hx-trigger="every 2s"' in page.content.decode()


def test_closed_rendered_mailed(story: Cast, operator: Client, now: datetime) -> None:
    invoice = close_acme(story, now=now)
    told = progress_on(operator.get(PAGE))
    assert (told.closed, told.due_count, told.invoices, told.documents) == (1, 0, 1, 0)
    assert (told.mails, told.mails_sent, told.is_under_way) == (1, 0, True)
    render_document(organization_id=invoice.organization_id, subject_id=invoice.pk, now=now)
    OutboxMail.objects.using("system").filter(key=f"invoice:{invoice.pk}").update(status="sent", sent_at=now)
    page = operator.get(PAGE)
    told = progress_on(page)
    assert (told.documents, told.mails_sent, told.is_under_way) == (1, 1, False)
    assert 'hx-trigger="every' not in page.content.decode(), "nothing goes on, so nothing is asked again"


def test_other_mails_and_other_months_are_not_counted(story: Cast, operator: Client, now: datetime) -> None:
    invoice = close_acme(story, now=now)
    with tenant_scope([invoice.organization_id]):
        mails.enqueue(
            kind=OutboxMail.Kind.PAYMENT_FAILED,
            key="payment_failed:1",
            organization=story.acme.organization,
            recipient="billing@acme.example",
            language="ko",
            invoice=invoice,
            now=now,
        )
    assert progress_on(operator.get(PAGE)).mails == 1
    assert progress_on(operator.get(PAGE, {"month": "2020-01"})).periods == 0


def test_a_month_of_another_zone_is_its_own(story: Cast, operator: Client, now: datetime) -> None:
    """The first of the month in New York comes half a day after Seoul's."""
    with time_machine.travel(now, tick=False):
        initech = stories.make_company("initech", now=now - timedelta(days=40), zone="America/New_York")
        use(initech.organization, at=month_of(now).start - timedelta(days=3), now=now)
    assert progress_on(operator.get(PAGE)).periods == 3
