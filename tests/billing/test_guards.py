"""What the database itself refuses, whatever our code may try, and who waits for whom: each guard here was once removed, and its
test failed."""

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connections, transaction

from accounts.tenancy import tenant_scope
from billing import collection, cycle, invoicing
from billing.bank.bank_transfers import record_transfer
from billing.mail import mails, outbox
from billing.models import Invoice, InvoiceSeries, OutboxMail, Payment
from billing.payments.attempts import load_payment
from billing.payments.unresolved import ask
from billing.sellers import set_seller
from billing.settlement import apply_answer, lock_payment, record_answer
from ledger import holds, settling
from ledger.accruing import accrue
from ledger.event_ids import new_id
from ledger.models import BillingPeriod, Hold
from pricing.tokens import TokenUsage
from tests import stories
from tests.billing.collecting import DUE, House, moment, type_card
from tests.stories import NOON, SELLER, use

BEFORE = NOON - timedelta(days=30)


@pytest.fixture
def cast(db: None) -> stories.Cast:
    """acme and globex with an open invoice each."""
    cast = stories.meet_the_cast(now=BEFORE)
    set_seller(now=BEFORE, **SELLER)
    for company in (cast.acme, cast.globex):
        use(company.organization, at=BEFORE, usage=TokenUsage(input_tokens=100_000_000))
    for period in cycle.periods_of_month("2026-10", now=NOON):
        invoicing.close_period(organization_id=period.organization_id, period_id=period.period_id, now=NOON)
    return cast


def run(statement: str, *parameters: Any, who: list[int], using: str = "default") -> int:
    with tenant_scope(who, using=using), connections[using].cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def invoice_of(company: stories.Company) -> Invoice:
    return Invoice.objects.using("system").get(organization=company.organization)


ADD_PAYMENT = """
INSERT INTO billing_payment (id, organization_id, invoice_id, processor, amount, currency, status, idempotency_key, reference,
    action_url, failure, payer_name, created_at)
VALUES (gen_random_uuid(), %s, %s, 'test', 1, 'KRW', %s, gen_random_uuid(), '', '', '', '', now())
"""


def test_a_tenant_can_write_no_row_of_a_neighbour(cast: stories.Cast) -> None:
    acme, globex = cast.acme.organization.pk, cast.globex.organization.pk
    insert = (
        "INSERT INTO ledger_creditgrant (organization_id, kind, amount, currency, reason, key, priority, granted_at)"
        " VALUES (%s, 'paid', 1, 'KRW', '', 'planted', 1, now())"
    )
    with pytest.raises(DatabaseError, match="row-level security"):
        run(insert, globex, who=[acme])
    with pytest.raises(DatabaseError, match="row-level security"):
        run("UPDATE accounts_apikey SET organization_id = %s", globex, who=[acme])


def test_a_hold_is_captured_once_and_up_to_what_it_held(cast: stories.Cast) -> None:
    fresh = stories.make_company("fresh", now=NOON)
    organization_id = fresh.organization.pk
    request = holds.HoldRequest(
        organization_id=organization_id,
        id=new_id(NOON),
        created_at=NOON,
        expires_at=NOON + timedelta(minutes=15),
        api_key_id=fresh.key.pk,
        model_id=1,
        amount=Decimal(100),
        request_id="req",
        upstream="test",
    )
    assert holds.reserve([request]) == [None]
    with tenant_scope([organization_id]):
        for charge in (Decimal(150), Decimal(50)):
            accrue(
                {organization_id: Decimal(0)},
                holds={(organization_id, request.id): charge},
                keys={organization_id: request.id},
                now=NOON,
            )
        assert Hold.objects.get(id=request.id).captured == 100


@pytest.mark.parametrize("settled", ["succeeded", "failed", "canceled"])
def test_a_settled_payment_stays_settled(cast: stories.Cast, settled: str) -> None:
    invoice = invoice_of(cast.acme)
    who = [cast.acme.organization.pk]
    run(ADD_PAYMENT, cast.acme.organization.pk, invoice.pk, settled, who=who)
    for change in ("status = 'pending'", "amount = 2", "currency = 'USD'"):
        with pytest.raises(DatabaseError, match="settled"):
            run(f"UPDATE billing_payment SET {change}", who=who)


def test_a_payment_pays_an_invoice_of_its_own_organization(cast: stories.Cast) -> None:
    acme, globex = cast.acme.organization.pk, cast.globex.organization.pk
    with pytest.raises(IntegrityError, match="payment_invoice_is_of_organization"):
        run(ADD_PAYMENT, acme, invoice_of(cast.globex).pk, "pending", who=[acme, globex])


def test_a_closed_period_neither_opens_again_nor_moves_nor_goes(cast: stories.Cast) -> None:
    who = [cast.acme.organization.pk]
    for statement in (
        "UPDATE ledger_billingperiod SET status = 'open'",
        "UPDATE ledger_billingperiod SET ends_at = ends_at + interval '1 day'",
        "DELETE FROM ledger_billingperiod",
    ):
        with pytest.raises(DatabaseError, match="closed or would be moved"):
            run(statement, who=who)


def test_a_period_has_one_live_invoice(cast: stories.Cast) -> None:
    invoice = invoice_of(cast.acme)
    invoice.pk, invoice.number, invoice.sequence = None, "INV-X", 999
    with pytest.raises(IntegrityError, match="one_live_invoice_per_period"):
        invoice.save(using="system", force_insert=True)


@pytest.mark.parametrize(
    ("table", "month"),
    [("accounts_user", "2026-11-01"), ("metering_usageevent", "0044-03-15"), ("metering_usageevent", "2999-01-01")],
)
def test_partitions_are_made_of_our_tables_for_months_that_can_occur(
    cast: stories.Cast, table: str, month: str
) -> None:
    with pytest.raises(DatabaseError, match="no partition"):
        run("SELECT create_month_partition(%s::regclass, %s)", table, month, who=[cast.acme.organization.pk])


# Who waits for whom

Rival = Callable[[House], Any]


def record(house: House) -> Payment:
    [first, *_] = house.payments()
    payment = load_payment(organization_id=house.organization_id, payment_id=first.pk)
    answer = ask(payment, wanted=True, now=moment())
    return record_answer(organization_id=house.organization_id, payment_id=first.pk, answer=answer, now=moment())


def transfer(house: House, *, key: str = "statement-1") -> Any:
    return record_transfer(
        organization_id=house.organization_id,
        invoice_id=house.invoice.pk,
        amount=Decimal(DUE),
        payer_name="Acme",
        key=key,
        received_at=moment(),
        actor=None,
        now=moment(),
    )


def void(house: House) -> Any:
    with pytest.raises(invoicing.NotOpen):
        invoicing.void_invoice(
            organization_id=house.organization_id,
            invoice_id=house.invoice.pk,
            reason="test",
            now=moment(),
            actor=None,
        )


def pay_again(house: House) -> Any:
    with pytest.raises(collection.InvoiceNotOpen):
        house.pay()


@pytest.mark.parametrize(
    ("rival", "mails", "credit"),
    [(record, 1, 0), (transfer, 2, DUE), (void, 1, 0), (pay_again, 1, 0)],
)
def test_whoever_moves_an_invoices_money_waits_for_whoever_is_at_it(
    house: House, rival: Rival, mails: int, credit: int
) -> None:
    type_card(house.pay().action_url)
    payment = load_payment(organization_id=house.organization_id, payment_id=house.payment().pk)
    answer = ask(payment, wanted=True, now=moment())

    with ThreadPoolExecutor(1) as threads:
        with tenant_scope([house.organization_id]):
            locked = lock_payment(organization_id=house.organization_id, payment_id=payment.pk)
            other = threads.submit(closing_connections(rival), house)
            wait_until_somebody_waits_for_a_lock()
            apply_answer(payment=locked, answer=answer, now=moment())
        other.result(timeout=60)

    assert (house.status(), house.balance().receivable, house.balance().prepaid) == (Invoice.Status.PAID, 0, credit)
    assert house.mails() == ["receipt"] * mails
    call_command("audit")


def test_two_transfers_take_turns(house: House) -> None:
    """While the first is kept waiting for the balance, the second must not look at what is due."""
    with ThreadPoolExecutor(2) as threads:
        with tenant_scope([house.organization_id]):
            settling.lock_balance(house.organization_id)
            running = [threads.submit(closing_connections(transfer), house, key=key) for key in ("first", "second")]
            wait_until_somebody_waits_for_a_lock(how_many=2)
        for future in running:
            future.result(timeout=60)
    assert (house.status(), house.balance().receivable, house.balance().prepaid) == (Invoice.Status.PAID, 0, DUE)
    call_command("audit")


def test_who_closes_a_period_waits_for_whoever_is_at_it(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=BEFORE - timedelta(days=30), usage=TokenUsage(input_tokens=100_000_000))
    [period] = cycle.periods_of_month("2026-09", now=NOON)

    @closing_connections
    def close() -> Invoice | None:
        return invoicing.close_period(organization_id=period.organization_id, period_id=period.period_id, now=NOON)

    with ThreadPoolExecutor(2) as threads:
        with tenant_scope([period.organization_id]):
            BillingPeriod.objects.select_for_update().get(pk=period.period_id)
            closing = [threads.submit(close) for _time in range(2)]
            wait_until_somebody_waits_for_a_lock(how_many=2)
        first, second = (future.result(timeout=60) for future in closing)
    assert first is not None and second is not None and first.pk == second.pk


def test_who_takes_a_number_waits_for_whoever_is_at_it(cast: stories.Cast) -> None:
    for company in (cast.acme, cast.globex):
        use(company.organization, at=BEFORE - timedelta(days=30), usage=TokenUsage(input_tokens=100_000_000))
    periods = cycle.periods_of_month("2026-09", now=NOON)

    @closing_connections
    def close(period: cycle.DuePeriod) -> Invoice | None:
        return invoicing.close_period(organization_id=period.organization_id, period_id=period.period_id, now=NOON)

    with ThreadPoolExecutor(2) as threads:
        with transaction.atomic(using="system"):
            InvoiceSeries.objects.using("system").select_for_update().get()
            closing = [threads.submit(close, period) for period in periods]
            wait_until_somebody_waits_for_a_lock(how_many=2)
        invoices = [future.result(timeout=60) for future in closing]
    assert {invoice.number for invoice in invoices if invoice} == {"INV-000003", "INV-000004"}


def test_a_mail_that_somebody_is_at_holds_up_nobody(cast: stories.Cast) -> None:
    invoice = invoice_of(cast.acme)
    with tenant_scope([invoice.organization_id]):
        mail = mails.enqueue(
            kind=OutboxMail.Kind.RECEIPT,
            key="receipt:test",
            organization=cast.acme.organization,
            recipient="owner@acme.example",
            language="ko",
            invoice=invoice,
            now=NOON,
        )

    @closing_connections
    def claim() -> OutboxMail | None:
        return outbox.claim(mail.organization_id, mail.pk, now=NOON)

    with ThreadPoolExecutor(1) as threads:
        with tenant_scope([mail.organization_id]):
            OutboxMail.objects.select_for_update().get(pk=mail.pk)
            assert threads.submit(claim).result(timeout=30) is None
        claimed = threads.submit(claim).result(timeout=30)
        assert claimed is not None and claimed.pk == mail.pk
        assert threads.submit(claim).result(timeout=30) is None, "its lease is not over"


def closing_connections(work: Callable[..., Any]) -> Callable[..., Any]:
    """For threads of our own."""

    @functools.wraps(work)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return work(*arguments, **options)
        finally:
            connections.close_all()

    return run


def wait_until_somebody_waits_for_a_lock(*, how_many: int = 1) -> None:
    query = """
        SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND datname = current_database()
    """
    deadline = time.monotonic() + 60
    while True:
        with connections["system"].cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # else who came since the first look is never seen
            cursor.execute(query)
            waiting = cursor.fetchone()[0]
        if waiting >= how_many:
            return
        assert time.monotonic() < deadline, f"{waiting} wait"
        time.sleep(0.02)


@pytest.mark.parametrize("using", ["default", "system"])
def test_an_organization_keeps_its_zone(cast: stories.Cast, using: str) -> None:
    """Its months are cut by it, and so are the rollups and rates of what it used."""
    acme = cast.acme.organization
    change = "UPDATE accounts_organization SET zone = %s, name = 'Acme' WHERE id = %s"
    with pytest.raises(DatabaseError, match="is kept"):
        run(change, "UTC", acme.pk, who=[acme.pk], using=using)
    assert run(change, acme.zone, acme.pk, who=[acme.pk], using=using) == 1
