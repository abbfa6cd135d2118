"""Days are proven once, after they end; a close believes what still adds up to that, and reads the events of what does not."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from billing import auditing, cycle, invoicing
from billing.models import Invoice
from billing.sellers import set_seller
from ledger.models import BillingPeriod
from metering import tasks
from metering.models import ProvenDay
from metering.proven_days import DaysProven, prove_days
from metering.rebuilding import rebuild
from pricing.tokens import TokenUsage
from tests import stories
from tests.billing.test_audit import break_books
from tests.stories import SELLER, use

MILLION = TokenUsage(input_tokens=500_000, output_tokens=500_000)
"""Costs ₩66."""
FIRST = datetime(2026, 10, 20, 3, tzinfo=UTC)
SECOND = FIRST + timedelta(days=1)
NOVEMBER = datetime(2026, 11, 2, tzinfo=UTC)
EVENTS_ARE_GONE = "DELETE FROM metering_usageevent WHERE occurred_at < '2026-10-21'"


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    with time_machine.travel(NOVEMBER, tick=False):
        cast = stories.meet_the_cast(now=FIRST)
        set_seller(now=FIRST, **SELLER)
        use(cast.acme.organization, at=FIRST, usage=MILLION)
        use(cast.acme.organization, at=SECOND, usage=MILLION)
        yield cast


def october(company: stories.Company) -> BillingPeriod:
    return BillingPeriod.objects.using("system").get(organization=company.organization, starts_at__lt=NOVEMBER)


def close(company: stories.Company) -> Invoice | None:
    return cycle.close(organization_id=company.organization.pk, period_id=october(company).pk, now=NOVEMBER)


def proven() -> list[date]:
    return list(ProvenDay.objects.using("system").order_by("day").values_list("day", flat=True))


def test_a_close_reads_no_event_of_proven_days(cast: stories.Cast) -> None:
    auditing.fresh_audit(now=NOVEMBER)  # the nightly audit
    tasks.prove_days()
    assert proven() == [date(2026, 10, 20), date(2026, 10, 21)]
    break_books("DELETE FROM metering_usageevent")
    invoice = close(cast.acme)
    assert invoice is not None and invoice.subtotal == 132


def test_only_days_that_changed_are_read_again(cast: stories.Cast) -> None:
    auditing.fresh_audit(now=NOVEMBER)
    prove_days(now=NOVEMBER)
    use(cast.acme.organization, at=SECOND + timedelta(hours=1), now=NOVEMBER, usage=MILLION)
    break_books(EVENTS_ARE_GONE)
    invoice = close(cast.acme)
    assert invoice is not None and invoice.subtotal == 198


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE metering_usagerollup SET input_tokens = input_tokens + 1",
        "UPDATE metering_usagerollup SET event_digest = event_digest # 1",
        "DELETE FROM metering_usagerollup",
    ],
)
def test_sums_that_drifted_since_their_proof_keep_the_month_open(cast: stories.Cast, damage: str) -> None:
    auditing.fresh_audit(now=NOVEMBER)
    prove_days(now=NOVEMBER)
    break_books(f"{damage} WHERE hour < '2026-10-21'")
    with pytest.raises(invoicing.UsageDisagrees, match="acme: 1 sum"):
        close(cast.acme)


def test_what_is_added_to_a_proven_day_is_compared_with_its_events(cast: stories.Cast) -> None:
    """A late event whose rollup was lost, on a day that was right when it was proven and has changed by another one since."""
    auditing.fresh_audit(now=NOVEMBER)
    prove_days(now=NOVEMBER)
    use(cast.acme.organization, at=SECOND + timedelta(hours=1), now=NOVEMBER)
    use(cast.acme.organization, at=SECOND + timedelta(hours=2), now=NOVEMBER)
    break_books("DELETE FROM metering_usagerollup WHERE hour = '2026-10-21 05:00Z'")
    with pytest.raises(invoicing.UsageDisagrees, match="acme: 1 sum"):
        close(cast.acme)


def test_a_day_that_is_wrong_is_not_proven_until_it_is_repaired(cast: stories.Cast) -> None:
    break_books("UPDATE metering_usagerollup SET amount = amount + 1 WHERE hour < '2026-10-21'")
    assert prove_days(now=NOVEMBER) == DaysProven(proven=1, different=1)
    assert proven() == [date(2026, 10, 21)]
    rebuild(organization=cast.acme.organization, day=date(2026, 10, 20), now=NOVEMBER)
    assert prove_days(now=NOVEMBER) == DaysProven(proven=1, different=0)
    assert len(proven()) == 2


def test_a_day_is_proven_when_it_is_over_where_its_organization_is(cast: stories.Cast) -> None:
    """The evening of the 20th in UTC is the 21st in Seoul."""
    use(cast.globex.organization, at=datetime(2026, 10, 20, 15, 30, tzinfo=UTC))
    last_minute, midnight = datetime(2026, 10, 21, 14, 59, tzinfo=UTC), datetime(2026, 10, 21, 15, tzinfo=UTC)
    assert prove_days(now=last_minute) == DaysProven(proven=1, different=0)
    assert prove_days(now=midnight) == DaysProven(proven=2, different=0)
    assert proven() == [date(2026, 10, 20), date(2026, 10, 21), date(2026, 10, 21)]


def test_nothing_is_proven_twice_and_closed_months_need_no_proof(cast: stories.Cast) -> None:
    assert prove_days(now=NOVEMBER) == DaysProven(proven=2, different=0)
    assert prove_days(now=NOVEMBER) == DaysProven(proven=0, different=0)
    close(cast.acme)
    assert prove_days(now=NOVEMBER) == DaysProven(proven=0, different=0)
    assert proven() == []
