"""What reporters correct leaves the books as if it had been told right at once; each call is corrected once, whoever tries."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accounts.tenancy import tenant_scope
from billing.invoicing import close_period
from billing.models import Invoice
from billing.sellers import set_seller
from ledger.models import Balance, BillingPeriod
from ledger.periods import month_bounds
from metering.correcting_usage import correct_usage
from metering.correction_decisions import Asked, AskedBy
from metering.models import CorrectionAction, UsageCorrection, UsageEvent, UsageRollup
from metering.pushed_corrections import Action, Amendment
from metering.reports import Outcome, Status
from pricing.exact import exact_sum
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON, use

UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def by(cast: stories.Cast) -> AskedBy:
    return AskedBy(source_id=cast.source.pk, service_key_id=cast.source.service_keys.using("system").get().pk)


def tell(cast: stories.Cast, company: stories.Company, key: str, *, read: int, at: datetime = NOON) -> Outcome:
    """The foreign gateway reports a call."""
    usage = TokenUsage(input_tokens=read)
    return use(company.organization, at=at, source_id=cast.source.pk, key=key, usage=usage)


def void(company: stories.Company, key: str) -> Asked:
    return Asked(organization_id=company.organization.pk, call=key, action=Action.VOID, reason="never happened")


def amend(company: stories.Company, key: str, *, read: int) -> Asked:
    amendment = Amendment(reason="miscounted", input_tokens=read)
    return replace(void(company, key), action=Action.AMEND, amendment=amendment, reason="miscounted")


def books(company: stories.Company) -> tuple[Decimal, Decimal, int]:
    """What is owed, what it cost, and how many tokens it was for."""
    with tenant_scope([company.organization.pk]):
        rows = list(UsageRollup.objects.for_organization(company.organization))
        owed = Balance.objects.get(pk=company.organization.pk).unbilled
    return owed, exact_sum(row.cost for row in rows), sum(row.input_tokens for row in rows)


def close(company: stories.Company, at: datetime) -> Invoice:
    with tenant_scope([company.organization.pk]):
        period = BillingPeriod.objects.get(starts_at__lte=at, ends_at__gt=at)
    invoice = close_period(organization_id=company.organization.pk, period_id=period.pk, now=period.ends_at)
    assert invoice is not None
    return invoice


def test_a_batch_over_two_organizations_is_answered_in_its_order(cast: stories.Cast) -> None:
    for company in (cast.acme, cast.globex):
        tell(cast, company, "one", read=1000)
        tell(cast, company, "two", read=1000)
    asked = [
        void(cast.globex, "one"),
        void(cast.acme, "none"),
        amend(cast.acme, "two", read=1),
        void(cast.globex, "one"),
    ]
    outcomes = correct_usage(asked, by=by(cast), now=NOON)
    assert [outcome.status for outcome in outcomes] == [
        Status.ACCEPTED,
        Status.REJECTED,
        Status.ACCEPTED,
        Status.DUPLICATE,
    ]
    assert (books(cast.acme)[2], books(cast.globex)[2]) == (1001, 1000)
    call_command("audit")


@settings(max_examples=12, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.tuples(st.integers(1, 10**6), st.none() | st.integers(0, 10**6), st.integers(0, 9 * 24 * 60)),
        min_size=1,
        max_size=6,
    )
)
def test_corrected_books_are_those_of_what_should_have_been_told(
    cast: stories.Cast, calls: list[tuple[int, int | None, int]]
) -> None:
    number = next(stories._numbers)
    company = stories.make_company(f"company-{number}", now=NOON)
    other = stories.make_company(f"other-{number}", now=NOON)
    asked = []
    for position, (told, right, minutes) in enumerate(calls):
        at = NOON - timedelta(minutes=minutes)
        tell(cast, company, f"call-{position}", read=told, at=at)
        if right is None:
            asked.append(void(company, f"call-{position}"))
        else:
            asked.append(amend(company, f"call-{position}", read=right))
            tell(cast, other, f"call-{position}", read=right, at=at)
    for _twice in range(2):
        outcomes = correct_usage(asked, by=by(cast), now=NOON)
        assert {outcome.status for outcome in outcomes} <= {Status.ACCEPTED, Status.DUPLICATE}
    assert books(company) == books(other)
    call_command("audit")


def test_a_month_of_reversals_only_is_an_invoice_in_the_customers_favour(cast: stories.Cast) -> None:
    """The invoice that is out stays; what it was too much the customer gets as credit of the invoice that says so."""
    _start, end = month_bounds(NOON, zone="Asia/Seoul")
    tell(cast, cast.acme, "one", read=10_000_000)
    set_seller(now=NOON, **stories.SELLER)
    november = close(cast.acme, NOON)
    [outcome] = correct_usage([void(cast.acme, "one")], by=by(cast), now=end + timedelta(days=1))
    assert (outcome.status, outcome.reason) == (Status.ACCEPTED, "charged to 2026-12")
    december = close(cast.acme, end)
    assert (november.subtotal, november.tax) == (660, 66)
    assert (december.subtotal, december.tax) == (-660, -66)
    assert (december.total, december.credit_applied, december.amount_due) == (-726, -726, 0)
    assert december.status == Invoice.Status.PAID
    with tenant_scope([cast.acme.organization.pk]):
        assert Invoice.objects.get(pk=november.pk).total == 726
        balance = Balance.objects.get()
    assert (balance.receivable, balance.prepaid) == (november.amount_due, 5000 - november.credit_applied + 726)
    call_command("audit")


def test_the_database_itself_refuses_a_second_voiding_or_amendment(cast: stories.Cast) -> None:
    tell(cast, cast.acme, "one", read=1000)
    correct_usage([amend(cast.acme, "one", read=1)], by=by(cast), now=NOON)
    with tenant_scope([cast.acme.organization.pk]):
        row = UsageCorrection.objects.get(action=CorrectionAction.AMEND)
        with pytest.raises(IntegrityError), transaction.atomic():
            UsageCorrection.objects.bulk_create([row])


def test_nothing_is_left_of_a_correction_that_fails_half_way(
    cast: stories.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(cast, cast.acme, "one", read=1000)
    tell(cast, cast.globex, "one", read=1000)
    before = books(cast.acme), books(cast.globex)
    asked = [void(cast.acme, "one"), void(cast.globex, "one")]

    def fail(*_args: object, **_kwargs: object) -> None:
        raise IntegrityError("the power went out before the commit")

    with monkeypatch.context() as broken, pytest.raises(IntegrityError):
        broken.setattr("metering.correcting_usage.write_audit_entry", fail)
        correct_usage(asked, by=by(cast), now=NOON)
    assert (books(cast.acme), books(cast.globex)) == before
    assert [one.status for one in correct_usage(asked, by=by(cast), now=NOON)] == [Status.ACCEPTED] * 2
    with tenant_scope([cast.acme.organization.pk]):
        assert UsageEvent.objects.count() == 2
    call_command("audit")
