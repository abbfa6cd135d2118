"""Credit pays by priority, then promotions, then soonest expiry, then age; when its time is over, what nobody needed is gone."""

import threading
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connections

from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.models import Invoice
from billing.sellers import set_seller
from ledger import credit_expiry, holds
from ledger.balances import available
from ledger.credit_order import credits_left
from ledger.credits import grant_credit
from ledger.event_ids import new_id
from ledger.models import Balance, BillingPeriod, CreditGrant, CreditUse, LedgerEntry
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON, SELLER, use

OCTOBER = NOON - timedelta(days=30)
PAID, PROMOTIONAL = CreditGrant.Kind.PAID, CreditGrant.Kind.PROMOTIONAL
LATER = NOON + timedelta(days=1)


@pytest.fixture
def acme(db: None) -> stories.Company:
    """Has no credit yet."""
    stories.make_catalog(now=NOON)
    set_seller(now=OCTOBER - timedelta(days=30), **SELLER)
    return stories.make_company("acme", now=OCTOBER, trial_credit=Decimal(0))


def give(
    company: stories.Company, amount: int, *, key: str, kind: str = PROMOTIONAL, at: datetime = OCTOBER, **more: object
) -> None:
    grant_credit(
        organization=company.organization,
        amount=Decimal(amount),
        currency="KRW",
        kind=kind,
        reason=key,
        key=key,
        now=at,
        **more,  # type: ignore[arg-type]
    )


def left(company: stories.Company) -> dict[str, Decimal]:
    """What is left of each credit, in the order of use."""
    with tenant_scope([company.organization.pk]):
        return {grant.key: amount for grant, amount in credits_left(company.organization.pk)}


def balance(company: stories.Company, *, now: datetime) -> Balance:
    with tenant_scope([company.organization.pk]):
        return credit_expiry.balance_at(company.organization, now=now)


def consume(company: stories.Company, won: int, *, at: datetime) -> None:
    """Usage that costs `won` with VAT; 726 won are ten million tokens."""
    use(company.organization, at=at, usage=TokenUsage(input_tokens=won * 10_000_000 // 726, output_tokens=0))


def close(company: stories.Company, at: datetime, *, now: datetime) -> Invoice:
    with tenant_scope([company.organization.pk]):
        period = BillingPeriod.objects.get(starts_at__lte=at, ends_at__gt=at)
    invoice = invoicing.close_period(organization_id=company.organization.pk, period_id=period.pk, now=now)
    assert invoice is not None
    return invoice


def call(company: stories.Company, amount: int, *, at: datetime) -> bool:
    """Whether a call of `amount` is admitted at that moment."""
    request = holds.HoldRequest(
        organization_id=company.organization.pk,
        id=new_id(at),
        created_at=at,
        expires_at=at + timedelta(minutes=15),
        api_key_id=company.key.pk,
        model_id=1,
        amount=Decimal(amount),
        request_id="req",
        upstream="test",
    )
    return holds.reserve([request]) == [None]


def test_credits_are_used_in_their_order(acme: stories.Company) -> None:
    give(acme, 100, key="paid", kind=PAID)
    give(acme, 100, key="paid, expires", kind=PAID, expires_at=NOON + timedelta(days=90))
    give(acme, 100, key="later", expires_at=NOON + timedelta(days=60))
    give(acme, 100, key="sooner", expires_at=NOON + timedelta(days=30))
    give(acme, 100, key="never")
    give(acme, 100, key="older", at=OCTOBER - timedelta(days=1))
    give(acme, 100, key="first", kind=PAID, priority=1)
    assert list(left(acme)) == ["first", "sooner", "later", "older", "never", "paid, expires", "paid"]

    consume(acme, 363, at=OCTOBER)
    invoice = close(acme, OCTOBER, now=NOON)
    assert (invoice.total, invoice.credit_applied) == (363, 363)
    assert left(acme) == {"older": 37, "never": 100, "paid, expires": 100, "paid": 100}
    with tenant_scope([acme.organization.pk]):
        uses = CreditUse.objects.filter(invoice_id=invoice.pk).order_by("pk").values_list("grant__key", "amount")
        assert list(uses) == [("first", 100), ("sooner", 100), ("later", 100), ("older", 63)]
    call_command("audit")


def test_an_expired_credit_admits_no_call_from_its_moment_on(acme: stories.Company) -> None:
    give(acme, 1000, key="trial", expires_at=NOON)
    give(acme, 10, key="top-up", kind=PAID)
    moment = timedelta(microseconds=1)
    assert call(acme, 500, at=NOON - moment)
    assert balance(acme, now=NOON - moment).prepaid == 1010
    assert available(balance(acme, now=NOON)) == 10 - 500
    assert not call(acme, 1, at=NOON)
    assert balance(acme, now=NOON).prepaid == 10
    call_command("audit")


def test_the_sweep_posts_what_is_left_once(acme: stories.Company) -> None:
    give(acme, 1000, key="trial", expires_at=NOON)
    give(acme, 400, key="top-up", kind=PAID, expires_at=NOON)
    assert credit_expiry.expire_due(now=NOON - timedelta(seconds=1)) == 0
    assert [credit_expiry.expire_due(now=NOON) for _time in range(3)] == [1, 0, 0]
    assert left(acme) == {}
    with tenant_scope([acme.organization.pk]):
        gone = LedgerEntry.objects.filter(account__in=["promotion", "breakage"], amount__lt=0)
        assert sorted(gone.values_list("account", "amount")) == [("breakage", -400), ("promotion", -1000)]
        assert Balance.objects.get().credit_expires_at is None
    call_command("audit")


def test_sweeps_at_once_post_once(acme: stories.Company) -> None:
    give(acme, 1000, key="trial", expires_at=NOON)
    found: list[int] = []

    def sweep() -> None:
        found.append(credit_expiry.expire_due(now=NOON))
        connections.close_all()

    threads = [threading.Thread(target=sweep) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 0, 0, 1]
    with tenant_scope([acme.organization.pk]):
        assert CreditUse.objects.get().amount == 1000
    call_command("audit")


def test_a_sweep_that_dies_before_its_commit_has_done_nothing(
    acme: stories.Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(acme, 1000, key="trial", expires_at=NOON)

    def die(**_kwargs: object) -> None:
        raise SystemExit

    with monkeypatch.context() as broken, pytest.raises(SystemExit):
        broken.setattr("ledger.credit_expiry.write_audit_entry", die)
        credit_expiry.expire_due(now=NOON)
    assert left(acme) == {"trial": 1000}
    call_command("audit")
    assert credit_expiry.expire_due(now=NOON) == 1
    call_command("audit")


def test_what_was_used_in_time_keeps_its_credit_until_it_is_invoiced(acme: stories.Company) -> None:
    give(acme, 1000, key="trial", expires_at=NOON)
    consume(acme, 363, at=NOON - timedelta(hours=1))
    credit_expiry.expire_due(now=NOON)
    assert left(acme) == {"trial": 363}
    assert available(balance(acme, now=NOON)) == 0
    assert not call(acme, 1, at=NOON)
    consume(acme, 726, at=LATER)
    credit_expiry.expire_due(now=LATER)
    assert left(acme) == {"trial": 363}

    december = datetime.fromisoformat("2026-12-02T00:00:00+00:00")
    invoice = close(acme, NOON, now=december)
    assert (invoice.total, invoice.credit_applied, invoice.amount_due) == (1089, 363, 726)
    assert left(acme) == {}
    call_command("audit")


def test_usage_that_is_taken_back_takes_its_expired_credit_along(acme: stories.Company) -> None:
    give(acme, 1000, key="trial", expires_at=NOON)
    consume(acme, 363, at=NOON - timedelta(hours=1))
    credit_expiry.expire_due(now=NOON)
    stories.correct_usage(acme.organization, now=NOON, recharge=False)
    assert balance(acme, now=NOON).prepaid == 0
    assert not call(acme, 1, at=NOON)
    assert left(acme) == {}
    call_command("audit")


def test_credit_that_comes_first_pays_for_the_usage_of_an_expired_one(acme: stories.Company) -> None:
    give(acme, 1000, key="first", priority=1)
    give(acme, 1000, key="trial", expires_at=NOON)
    consume(acme, 363, at=NOON - timedelta(hours=1))
    credit_expiry.expire_due(now=NOON)
    assert left(acme) == {"first": 1000}


def test_an_invoice_leaves_an_expired_credit_what_was_used_after_its_month(acme: stories.Company) -> None:
    """October's invoice comes on 2 November; a credit that expires on 22 November covers November's usage until then."""
    give(acme, 1000, key="trial", expires_at=NOON)
    consume(acme, 363, at=OCTOBER)
    consume(acme, 121, at=NOON - timedelta(hours=1))
    invoice = close(acme, OCTOBER, now=NOON + timedelta(minutes=1))
    assert invoice.credit_applied == 363
    assert left(acme) == {"trial": 121}
    call_command("audit")


def test_once_its_time_is_invoiced_nothing_of_an_expired_credit_is_left(acme: stories.Company) -> None:
    """Credit that came later but is used first paid the invoice; what the expired one kept for it pays for no December."""
    give(acme, 1000, key="trial", expires_at=NOON)
    consume(acme, 363, at=NOON - timedelta(hours=1))
    credit_expiry.expire_due(now=NOON)
    give(acme, 300, key="first", priority=1, at=LATER)
    december = datetime.fromisoformat("2026-12-02T00:00:00+00:00")
    stories.publish_exchange_rate(rate=stories.EXCHANGE_RATE, published_on=NOON.date(), source="demo", now=NOON)
    stories.forget_what_processes_remember()
    consume(acme, 726, at=december)
    invoice = close(acme, NOON, now=december)
    assert (invoice.credit_applied, invoice.amount_due) == (363, 0)
    assert left(acme) == {}
    call_command("audit")


def test_a_void_invoice_gives_back_to_the_same_credits(acme: stories.Company) -> None:
    give(acme, 100, key="promotion")
    give(acme, 1000, key="top-up", kind=PAID)
    consume(acme, 363, at=OCTOBER)
    invoice = close(acme, OCTOBER, now=NOON)
    assert left(acme) == {"top-up": 737}
    void(invoice, now=NOON)
    assert left(acme) == {"promotion": 100, "top-up": 1000}
    call_command("audit")


def test_credit_given_back_after_its_time_lasts_until_the_invoice_can_be_made_anew(acme: stories.Company) -> None:
    give(acme, 1000, key="trial", expires_at=NOON)
    consume(acme, 363, at=OCTOBER)
    invoice = close(acme, OCTOBER, now=NOON - timedelta(days=1))
    credit_expiry.expire_due(now=NOON)
    assert left(acme) == {}
    void(invoice, now=LATER)
    [(key, amount)] = left(acme).items()
    assert key.startswith("returned:") and amount == 363
    again = invoicing.reissue_invoice(
        organization_id=acme.organization.pk, period_id=invoice.period_id, now=LATER, actor=None
    )
    assert again.credit_applied == 363
    void(again, now=LATER)
    credit_expiry.expire_due(now=LATER + timedelta(days=30))
    assert left(acme) == {}
    call_command("audit")


def void(invoice: Invoice, *, now: datetime) -> None:
    invoicing.void_invoice(
        organization_id=invoice.organization_id, invoice_id=invoice.pk, reason="test", now=now, actor=None
    )
