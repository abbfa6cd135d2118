"""Books that were kept before there was a journal are opened by the migration: uses name their credits, and the audit is clean."""

import os
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from accounts.tenancy import tenant_scope
from billing import cycle, invoicing
from billing.models import Invoice
from billing.sellers import set_seller
from ledger.credits import grant_credit
from ledger.models import CreditGrant, CreditUse, LedgerEntry, LedgerTransaction
from pricing.tokens import TokenUsage
from tests import environment, stories
from tests.stories import NOON, SELLER, use

BEFORE = [("billing", "0007_audit_runs"), ("ledger", "0007_attempts_and_questions")]
MONTH_BEFORE = NOON - timedelta(days=30)
LOTS = TokenUsage(input_tokens=100_000_000, output_tokens=0)


ONE_USE_AN_INVOICE = """
WITH whole AS (DELETE FROM ledger_credituse RETURNING organization_id, invoice_id, amount, at)
INSERT INTO ledger_credituse (organization_id, invoice_id, amount, at)
SELECT organization_id, invoice_id, sum(amount), at FROM whole GROUP BY organization_id, invoice_id, at, amount > 0
ORDER BY sum(amount) DESC
"""


def as_it_was_before() -> None:
    """Migrate back; what an invoice used of several credits was one row that named none."""
    MigrationExecutor(connections["owner"]).migrate(BEFORE)
    name = connections["default"].settings_dict["NAME"]
    connections.close_all()
    with psycopg.connect(environment.with_path(os.environ["DATABASE_URL"], name)) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(ONE_USE_AN_INVOICE)


def migrate() -> None:
    executor = MigrationExecutor(connections["owner"])
    executor.migrate(executor.loader.graph.leaf_nodes())
    connections.close_all()


@pytest.fixture
def cast(db: None) -> stories.Cast:
    """Acme has an invoice that two credits pay in part and usage since; globex's was voided; its credit has been given back."""
    cast = stories.meet_the_cast(now=MONTH_BEFORE)
    set_seller(now=MONTH_BEFORE, **SELLER)
    grant_credit(
        organization=cast.acme.organization,
        amount=Decimal(1000),
        currency="KRW",
        kind=CreditGrant.Kind.PAID,
        reason="Top-up",
        key="top-up",
        now=MONTH_BEFORE,
        expires_at=NOON + timedelta(days=90),
    )
    for company in (cast.acme, cast.globex):
        use(company.organization, at=MONTH_BEFORE, usage=LOTS)
        use(company.organization, at=NOON)
    for period in cycle.periods_of_month("2026-10", now=NOON):
        invoice = invoicing.close_period(organization_id=period.organization_id, period_id=period.period_id, now=NOON)
        assert invoice is not None
        if period.organization_id == cast.globex.organization.pk:
            invoicing.void_invoice(
                organization_id=period.organization_id, invoice_id=invoice.pk, reason="test", now=NOON, actor=None
            )
    return cast


def test_an_old_database_opens_its_books_when_it_migrates(cast: stories.Cast) -> None:
    as_it_was_before()
    migrate()
    with tenant_scope([cast.acme.organization.pk]):
        uses = CreditUse.objects.order_by("pk").values_list("grant__kind", "amount")
        assert list(uses) == [("promotional", 5000), ("paid", 1000)]
        [opening] = LedgerTransaction.objects.all()
        booked = dict(LedgerEntry.objects.filter(transaction_id=opening.id).values_list("account", "amount"))
    assert opening.kind == "opening"
    assert (booked["receivable"], "prepaid" in booked) == (1260, False)
    assert sum(booked.values()) == 0
    with tenant_scope([cast.globex.organization.pk]):
        assert [(use.grant.key, use.amount) for use in CreditUse.objects.order_by("pk").select_related("grant")] == [
            ("trial", 5000),
            ("trial", -5000),
        ]
    call_command("audit")


def test_a_month_goes_on_in_books_that_were_opened(cast: stories.Cast) -> None:
    as_it_was_before()
    migrate()
    use(cast.globex.organization, at=NOON)
    with tenant_scope([cast.globex.organization.pk]):
        void = Invoice.objects.get()
    invoice = invoicing.reissue_invoice(
        organization_id=void.organization_id, period_id=void.period_id, now=NOON, actor=None
    )
    assert (invoice.credit_applied, invoice.amount_due) == (5000, 2260)
    call_command("audit")
