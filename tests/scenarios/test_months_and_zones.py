"""A month is the customer's: 28 days or 29, where clocks change, where an hour begins at the half.

Usage up to its last microsecond is on one invoice, and page, API, PDF, mail, evidence and books name the same days.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client

from accounts.tenancy import tenant_scope
from billing import cycle, documents
from billing.models import InvoiceLine, OutboxMail
from billing.sellers import set_seller
from ledger.models import BillingPeriod
from metering.models import ProvenDay
from metering.proven_days import DaysProven, prove_days
from metering.recording import record
from metering.reports import Status
from metering.usage_queries import usage_by
from pricing.tokens import TokenUsage
from tests import stories
from tests.billing.papers import pages, squeezed
from tests.stories import SELLER, Company, use

MICROSECOND = timedelta(microseconds=1)
FIRST, LAST, NEIGHBOUR = 1_000_000, 20_000_000, 300_000_000
"""Tokens of the first and the last moment of the month, and of the moments beside it; no sum of some is another's."""


@dataclass(frozen=True)
class Month:
    """A month somewhere, with its length and its bounds in UTC as a calendar has them."""

    zone: str
    first: date
    days: int
    hours: Decimal
    starts: str
    ends: str

    @property
    def start(self) -> datetime:
        return datetime.fromisoformat(f"{self.starts}+00:00")

    @property
    def end(self) -> datetime:
        return datetime.fromisoformat(f"{self.ends}+00:00")

    @property
    def last(self) -> date:
        return self.first.replace(day=self.days)

    @property
    def after(self) -> datetime:
        """Half past seven in the morning of the second, there: when the grace time is over."""
        return self.end + timedelta(hours=31, minutes=30)


def month(zone: str, first: str, days: int, hours: str, starts: str, ends: str) -> Month:
    return Month(zone, date.fromisoformat(first), days, Decimal(hours), starts, ends)


MONTHS = {
    "28-days": month("Asia/Seoul", "2027-02-01", 28, "672", "2027-01-31T15:00", "2027-02-28T15:00"),
    "leap-day": month("Asia/Seoul", "2028-02-01", 29, "696", "2028-01-31T15:00", "2028-02-29T15:00"),
    "half-hour": month("Asia/Kolkata", "2027-02-01", 28, "672", "2027-01-31T18:30", "2027-02-28T18:30"),
    "quarter-hour": month("Asia/Kathmandu", "2028-02-01", 29, "696", "2028-01-31T18:15", "2028-02-29T18:15"),
    "an-hour-less": month("America/New_York", "2027-03-01", 31, "743", "2027-03-01T05:00", "2027-04-01T04:00"),
    "an-hour-more": month("America/New_York", "2027-11-01", 30, "721", "2027-11-01T04:00", "2027-12-01T05:00"),
    "half-an-hour-more": month(
        "Australia/Lord_Howe", "2027-04-01", 30, "720.5", "2027-03-31T13:00", "2027-04-30T13:30"
    ),
    "a-day-ahead": month("Pacific/Kiritimati", "2027-02-01", 28, "672", "2027-01-31T10:00", "2027-02-28T10:00"),
    "a-midnight-less": month("Africa/Cairo", "2027-04-01", 30, "719", "2027-03-31T22:00", "2027-04-30T21:00"),
}


@dataclass(frozen=True)
class Customer:
    """Who lives there, and what was used at the edges of the month."""

    month: Month
    company: Company

    @property
    def id(self) -> int:
        return self.company.organization.pk

    def uses(self, tokens: int, *, at: datetime) -> None:
        use(self.company.organization, at=at, now=at + timedelta(seconds=1), usage=TokenUsage(input_tokens=tokens))

    def period(self, at: datetime) -> BillingPeriod:
        with tenant_scope([self.id]):
            return BillingPeriod.objects.get(starts_at__lte=at, ends_at__gt=at)

    def asks(self, path: str) -> dict[str, object]:
        answer = Client().get(f"/api/v1/{path}", headers=self.company.headers)
        assert answer.status_code == 200, answer.content
        return answer.json()  # type: ignore[no-any-return]

    def sees(self, path: str) -> str:
        """A page of the dashboard, in Korean, without white space."""
        browser = Client()
        browser.force_login(self.company.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
        answer = browser.get(f"/o/{self.company.organization.slug}/{path}")
        assert answer.status_code == 200
        return squeezed(answer.content.decode())


def there(place: Month) -> Customer:
    """Initech, whose account was opened twenty days before the month; its exchange rates are published for all of the year."""
    opened = place.start - timedelta(days=20)
    stories.make_catalog(now=place.start + timedelta(days=15))
    set_seller(now=opened, **SELLER)
    return Customer(place, stories.make_company("initech", now=opened, zone=place.zone))


@pytest.fixture(params=MONTHS.values(), ids=MONTHS)
def customer(request: pytest.FixtureRequest, db: None) -> Iterator[Customer]:
    place: Month = request.param
    with time_machine.travel(place.after, tick=False):
        yield there(place)


def test_from_the_first_microsecond_to_the_last_it_is_one_invoice_that_says_the_same_everywhere(
    customer: Customer,
) -> None:
    place = customer.month
    assert (place.end - place.start) / timedelta(hours=1) == float(place.hours)
    customer.uses(NEIGHBOUR, at=place.start - MICROSECOND)
    customer.uses(FIRST, at=place.start)
    customer.uses(LAST, at=place.end - MICROSECOND)
    customer.uses(NEIGHBOUR, at=place.end)

    period = customer.period(place.start)
    grace_ends = place.end + timedelta(hours=24)
    assert period.pk not in {due.period_id for due in cycle.due_periods(now=grace_ends - MICROSECOND)}
    assert period.pk in {due.period_id for due in cycle.due_periods(now=grace_ends)}
    invoice = cycle.close(organization_id=customer.id, period_id=period.pk, now=place.after)
    assert invoice is not None
    with tenant_scope([customer.id]):
        [line] = InvoiceLine.objects.filter(invoice=invoice)
        [mail] = OutboxMail.objects.filter(invoice=invoice)
    assert (line.quantity, line.service_month) == (FIRST + LAST, None)
    second = place.last + timedelta(days=2)
    assert (invoice.written_on, invoice.issued_on, invoice.due_on) == (place.last, second, second + timedelta(days=14))
    assert mail.created_at == place.after

    told = customer.asks(f"invoices/{invoice.pk}")
    zone = ZoneInfo(place.zone)
    assert told["period"] == {
        "start": place.start.astimezone(zone).isoformat(),
        "end": place.end.astimezone(zone).isoformat(),
        "zone": place.zone,
    }
    evidence = customer.asks(f"invoices/{invoice.pk}/lines/1/events")
    moments = [datetime.fromisoformat(str(event["occurred_at"])) for event in evidence["data"]]  # type: ignore[attr-defined]
    assert moments == [place.end - MICROSECOND, place.start]

    days = f"{place.first:%Y.%m.%d} – {place.last:%Y.%m.%d}"
    said = "".join(pages(documents.open_document(invoice, now=place.after)))
    assert squeezed(days if place.zone == "Asia/Seoul" else f"{days} ({place.zone})") in said
    assert squeezed(f"{FIRST + LAST:,}") in said
    page = customer.sees(f"invoices/{invoice.pk}")
    assert squeezed(days) in page
    call_command("audit")


def test_each_day_of_it_is_proven_by_itself_and_is_a_bar(customer: Customer) -> None:
    """A call in the first and in the last microsecond of every day, also of days of 23, 24½ and 25 hours and without a midnight."""
    place, zone = customer.month, ZoneInfo(customer.month.zone)
    days = [place.first + timedelta(days=number) for number in range(place.days)]
    edges = [datetime.combine(day, datetime.min.time(), zone).astimezone(UTC) for day in days] + [place.end]
    reports = [
        stories.usage_report(customer.company.organization, at=at, usage=TokenUsage(input_tokens=FIRST))
        for start, end in itertools.pairwise(edges)
        for at in (start, end - MICROSECOND)
    ]
    outcomes = [record([report], now=report.occurred_at)[0].status for report in reports]
    assert outcomes == [Status.ACCEPTED] * 2 * place.days

    assert prove_days(now=place.after) == DaysProven(proven=place.days, different=0)
    with tenant_scope([customer.id]):
        proven = ProvenDay.objects.order_by("day").values_list("day", "event_count")
        assert list(proven) == [(day, 2) for day in days]
        usage = usage_by(organization=customer.company.organization, start=place.start, end=place.end, group_by="day")
    assert sorted((row.start.astimezone(zone).date(), row.total.requests) for row in usage.rows if row.start) == [
        (day, 2) for day in days
    ]
    invoice = cycle.close(organization_id=customer.id, period_id=customer.period(place.start).pk, now=place.after)
    assert invoice is not None and invoice.subtotal == 66 * place.days * 2
    call_command("audit")


def test_the_forecast_goes_on_to_the_end_that_the_month_has(customer: Customer) -> None:
    place = customer.month
    customer.uses(10 * FIRST, at=place.start)
    now = place.start + timedelta(days=7)
    with time_machine.travel(now, tick=False):
        current = customer.asks("estimates/current")["current"]
        page = customer.sees("")
    expected = (Decimal(660) * place.hours / (7 * 24)).quantize(Decimal(1), ROUND_HALF_UP)
    forecast = current["forecast"]  # type: ignore[index]
    assert current["supply_value"] == "660" and forecast["supply_value"] == str(expected)  # type: ignore[index]
    assert f"₩{int(forecast['total']):,}" in page
