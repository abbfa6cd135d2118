"""Periods are half-open months of the organization's own zone, and a close comes before or after a charge, never between."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connections, transaction

from accounts.tenancy import tenant_scope
from ledger.event_ids import first_id_at, moment_of, new_id
from ledger.models import BillingPeriod
from ledger.partitions import following_months
from ledger.periods import lock_periods_for_charges, month_bounds
from tests import stories
from tests.stories import NOON


@pytest.mark.parametrize(
    ("at", "zone", "start", "end"),
    [
        ("2026-11-22T03:00", "Asia/Seoul", "2026-10-31T15:00", "2026-11-30T15:00"),
        ("2026-10-31T14:59", "Asia/Seoul", "2026-09-30T15:00", "2026-10-31T15:00"),
        ("2026-10-31T15:00", "Asia/Seoul", "2026-10-31T15:00", "2026-11-30T15:00"),
        ("2028-02-29T12:00", "Asia/Seoul", "2028-01-31T15:00", "2028-02-29T15:00"),
        ("2026-02-10T00:00", "Asia/Kolkata", "2026-01-31T18:30", "2026-02-28T18:30"),
        ("2026-12-31T23:59", "UTC", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("2026-03-20T12:00", "America/New_York", "2026-03-01T05:00", "2026-04-01T04:00"),
    ],
)
def test_month_bounds(at: str, zone: str, start: str, end: str) -> None:
    bounds = month_bounds(datetime.fromisoformat(at).replace(tzinfo=UTC), zone=zone)
    assert [bound.strftime("%Y-%m-%dT%H:%M") for bound in bounds] == [start, end]


def test_ids_are_sorted_by_their_moment() -> None:
    event_id = new_id(NOON)
    assert (event_id.version, event_id.variant) == (7, "specified in RFC 4122")
    assert moment_of(event_id) == NOON
    assert first_id_at(NOON) <= event_id < first_id_at(NOON + timedelta(milliseconds=1))


def test_following_months_cross_the_year() -> None:
    months = following_months(datetime(2026, 11, 22, tzinfo=UTC).date(), 3)
    assert [month.isoformat() for month in months] == ["2026-11-01", "2026-12-01", "2027-01-01"]


@pytest.fixture
def acme(db: None) -> stories.Company:
    return stories.meet_the_cast(now=NOON).acme


def test_a_period_is_made_once_and_found_again(acme: stories.Company) -> None:
    with tenant_scope([acme.organization.pk]):
        first = stories.period_of(acme.organization, NOON)
        second = stories.period_of(acme.organization, NOON + timedelta(days=3))
    assert first == second


def test_periods_cannot_overlap(acme: stories.Company) -> None:
    with tenant_scope([acme.organization.pk]):
        period = stories.period_of(acme.organization, NOON)
        with pytest.raises(IntegrityError), transaction.atomic():
            BillingPeriod.objects.create(
                organization=acme.organization,
                starts_at=period.starts_at + timedelta(days=1),
                ends_at=period.ends_at,
                zone="Asia/Seoul",
            )


def test_a_close_waits_for_a_running_charge(acme: stories.Company) -> None:
    organization_id = acme.organization.pk
    with tenant_scope([organization_id]):
        stories.period_of(acme.organization, NOON)
    closed = threading.Event()

    def close() -> None:
        with tenant_scope([organization_id]):
            period = BillingPeriod.objects.select_for_update().get()
            period.status, period.closed_at = BillingPeriod.Status.CLOSED, NOON
            period.save()
        closed.set()
        connections.close_all()

    closer = threading.Thread(target=close)
    with tenant_scope([organization_id]):
        moments, zones = {organization_id: [NOON]}, {organization_id: "Asia/Seoul"}
        chosen = lock_periods_for_charges(moments, zones=zones, now=NOON)
        closer.start()
        assert not closed.wait(0.3), "the close went through while a charge was being recorded"
    assert closed.wait(10)
    closer.join()

    after_close = datetime(2026, 12, 2, tzinfo=UTC)
    with tenant_scope([organization_id]):
        later = lock_periods_for_charges(moments, zones=zones, now=after_close)
    assert later[organization_id, NOON].starts_at == chosen[organization_id, NOON].ends_at
