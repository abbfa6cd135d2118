"""`manage.py audit` finds what should never be: each invariant is broken once, behind the application's back."""

import os
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from accounts.invariants import all_invariants
from billing import cycle, documents, invoicing
from billing.papers import evidence_files
from billing.sellers import set_seller
from ledger import holds
from ledger.event_ids import new_id
from ledger.models import LimitWindow
from metering.limiting import set_limit
from pricing.tokens import TokenUsage
from tests import environment, stories
from tests.billing.collecting import House
from tests.billing.correcting import note_on
from tests.stories import NOON, SELLER, use

PAYMENTS = """
    INSERT INTO billing_payment (id, organization_id, invoice_id, processor, amount, currency, status, idempotency_key, reference,
        action_url, failure, payer_name, created_at)
    SELECT gen_random_uuid(), organization_id, id, 'stripe', 1, currency, '{}', gen_random_uuid(), '', '', '', '', now()
    FROM billing_invoice, generate_series(1, {})"""
TOP_UPS = PAYMENTS.replace("organization_id, id, 'stripe'", "organization_id, NULL, 'stripe'")
TAX_INVOICES = """
    UPDATE billing_supplyproof SET kind = '{kind}';
    INSERT INTO billing_taxinvoice (id, organization_id, invoice_id, occasion, reason, mgt_key, status, write_date, issue_from,
        due_on, purpose, tax_type, supply, tax, total, items, supplier, buyer, remark, approval_number, failure, created_at,
        issued_at)
    SELECT gen_random_uuid(), organization_id, id, 'n' || n, '', left(replace(id::text, '-', ''), 20) || n, 'issued', written_on,
        written_on, written_on, 'claimed', 'taxable', 10, 1, 11, '[]', '{{}}', '{{}}', '',
        repeat(n::text, 24), '', now(), now()
    FROM billing_invoice, generate_series(1, {count}) AS n"""
BREAKAGES = {
    "1": "DELETE FROM ledger_ledgerentry WHERE position = 2",
    "2": "DELETE FROM ledger_ledgertransaction",
    "3": "UPDATE ledger_balance SET unbilled = unbilled + 1",
    "3b": "UPDATE ledger_balance SET prepaid = prepaid + 1",
    "3c": """INSERT INTO ledger_credituse (organization_id, grant_id, invoice_id, amount, at)
             SELECT organization_id, id, gen_random_uuid(), amount + 1, now() FROM ledger_creditgrant""",
    "5": "UPDATE ledger_hold SET status = 3, resolved_at = now()",
    "6": "UPDATE ledger_hold SET status = 2, resolved_at = now(), captured = amount + 1",
    "8a": "DELETE FROM metering_eventkey",
    "8b": "DELETE FROM metering_usageevent",
    "9a": "UPDATE metering_usageevent SET amount = amount + 0.00000000000000000001",
    "9c": "UPDATE metering_usageevent SET output_tokens = output_tokens - 1 WHERE kind = 2",
    "9d": "UPDATE metering_usageevent SET output_tokens = output_tokens + 1 WHERE replaces_id IS NOT NULL",
    "9e": """INSERT INTO metering_usagecorrection (organization_id, corrected_at, api_key_id, event_id, action, reason)
             SELECT organization_id, now(), 1, id, 1, 'never happened' FROM metering_usageevent WHERE kind = 1""",
    "9b": """UPDATE catalog_appliedrate SET unit_prices = jsonb_set(unit_prices, '{input}', '"1"')""",
    "10": """ALTER TABLE catalog_costprice DROP CONSTRAINT one_cost_price_per_moment;
             INSERT INTO catalog_costprice (cost_table_id, language_model_id, effective_from, sheet, raw, origin, created_at)
             SELECT cost_table_id, language_model_id, effective_from, sheet, raw, origin, created_at FROM catalog_costprice""",
    "11": "UPDATE catalog_costprice SET effective_from = now() + interval '1 year'",
    "11b": """INSERT INTO catalog_costprice
                (cost_table_id, language_model_id, effective_from, revision, sheet, raw, origin, created_at)
             SELECT cost_table_id, language_model_id, effective_from, revision + 1, jsonb_set(sheet, '{base,input}', '"0.5"'), raw,
                origin, created_at - interval '1 day' FROM catalog_costprice""",
    "12": "UPDATE metering_usagerollup SET input_tokens = input_tokens + 1",
    "14": "UPDATE billing_invoiceline SET amount = amount + 1",
    "15": "UPDATE billing_invoiceline SET exact_amount = exact_amount + 0.5",
    "16": """DELETE FROM billing_invoiceline; DELETE FROM billing_outboxmail; DELETE FROM billing_document;
             DELETE FROM billing_invoice""",
    "17": "UPDATE billing_invoiceseries SET next_number = next_number + 1",
    "19": "UPDATE billing_document SET sha256 = repeat('0', 64) WHERE kind = 'invoice'",
    "53": "UPDATE billing_document SET sha256 = repeat('0', 64) WHERE kind = 'evidence'",
    "23": "UPDATE billing_outboxmail SET next_attempt_at = '1900-01-01'",
    "20": f"""DROP INDEX one_open_attempt_per_invoice; {PAYMENTS.format("unknown", 2)}""",
    "21": PAYMENTS.format("succeeded", 1),
    "44": TOP_UPS.format("succeeded", 1),
    "45": f"""DROP INDEX one_open_top_up_per_organization; {TOP_UPS.format("unknown", 2)}""",
    "22": """ALTER TABLE billing_processorevent DROP CONSTRAINT one_row_per_processor_event;
             INSERT INTO billing_processorevent (processor, event_id, type, payload, received_at, outcome, attempts)
             SELECT 'stripe', 'evt_1', 'x', '{}', now(), '', 0 FROM generate_series(1, 2)""",
    "25": """ALTER TABLE catalog_exchangerate DROP CONSTRAINT exchange_rate_positive;
             UPDATE catalog_exchangerate SET rate = 0""",
    "29": """ALTER TABLE ledger_billingperiod DROP CONSTRAINT periods_do_not_overlap;
             INSERT INTO ledger_billingperiod (organization_id, starts_at, ends_at, zone, status)
             SELECT organization_id, starts_at + interval '1 day', ends_at, zone, 'open' FROM ledger_billingperiod""",
    "30": "UPDATE ledger_balance SET unbilled = unbilled + 1",
    "32": "UPDATE ledger_balance SET receivable = receivable + 1",
    "33": "UPDATE ledger_spendlimit SET held = held + 1",
    "34": "UPDATE ledger_spendlimit SET spent_ahead = spent_ahead + 1",
    "35": "UPDATE ledger_balance SET limited = NOT limited",
    "36": "INSERT INTO metering_archivedmonth VALUES ('2026-01-01', 1, 1, 1, 1, now(), now())",
    "37": """INSERT INTO metering_usagearchive (organization_id, archived_at, event_count, event_digest, size, first_id, last_id,
                 month, cost, amount, currency, sha256)
             SELECT organization_id, now(), 1, 1, 1, event_id, event_id, '2026-01-01', 0, 0, 'KRW', repeat('0', 64)
             FROM metering_eventkey LIMIT 1;
             INSERT INTO metering_archivedmonth VALUES ('2026-01-01', 1, 1, 0, 0, now(), now())""",
    "47": "UPDATE accounts_organization SET status = 'suspended' WHERE slug = 'globex'",
    "46": """INSERT INTO billing_bankstatement (id, account, currency, file_name, sha256, form, deposits, imported_at)
             VALUES (1, '1', 'KRW', 'x', '', '', 1, now());
             INSERT INTO billing_bankdeposit (id, statement_id, line, account, currency, at, amount, payer, sequence, memo, branch)
             VALUES (1, 1, 2, '1', 'KRW', now(), 100, 'x', 1, '', '');
             INSERT INTO billing_depositdecision (deposit_id, organization_id, kind, because, reason, undo_reason, decided_at)
             SELECT 1, id, 'automatic', '[]', '', '', now() FROM accounts_organization LIMIT 1""",
    "51": """UPDATE billing_invoice SET terms_id = 1;
             INSERT INTO billing_billingterms
                (id, organization_id, effective_from, revision, minimum_fee, discount, zero_invoices, reviewed, reason, created_at)
             SELECT 1, organization_id, now(), 1, 0, 0.5, 'never', false, '', now() FROM billing_invoice""",
    "40": "UPDATE billing_creditnote SET subtotal = subtotal + 1000000, total = total + 1000000, applied = applied + 1000000",
    "41": "UPDATE billing_creditnoteline SET amount = amount + 1",
    "42": "UPDATE billing_invoiceseries SET next_number = next_number + 1 WHERE credit_notes_of_id IS NOT NULL",
    "43": """INSERT INTO billing_refund (id, organization_id, payment_id, credit_note_id, processor, amount, excess, currency,
                status, idempotency_key, reference, failure, created_at)
             SELECT gen_random_uuid(), organization_id, gen_random_uuid(), id, 'stripe', 1, 0, currency,
                'unknown', 'x', '', '', now() FROM billing_creditnote""",
    "58": "UPDATE billing_payment SET status = 'reversed'; " + PAYMENTS.format("reversed", 1),
    "57": """INSERT INTO billing_creditpayout (id, organization_id, credit_use_id, key, currency, reason, taken_at)
             SELECT gen_random_uuid(), organization_id, id, id, 'KRW', '', now() FROM ledger_credituse""",
    "60": "DELETE FROM metering_creditedusage",
    "48": TAX_INVOICES.format(kind="card_slip", count=1),
    "49": "DROP INDEX one_standing_original_per_invoice; " + TAX_INVOICES.format(kind="tax_invoice", count=2),
    "50": TAX_INVOICES.format(kind="tax_invoice", count=1),
    "56": """UPDATE billing_supplyproof SET kind = 'tax_invoice';
             UPDATE billing_invoice SET subtotal = -10, tax = -1, total = -11, credit_applied = -11, amount_due = 0""",
    "52": "UPDATE ledger_billingperiod SET status = 'closing' WHERE status = 'open'",
    "54": "UPDATE accounts_organization SET status = 'closing', closes_at = '2026-01-01'",
    "55": "UPDATE accounts_organization SET closes_at = '2099-01-01'",
    "59": """UPDATE ledger_ledgertransaction SET at = '2020-01-01';
             UPDATE accounts_organization SET status = 'closed', closes_at = '2020-01-01', readable_until = '2020-04-01';
             INSERT INTO billing_closure
                (organization_id, status, at_once, by_operator, reason, asked_at, closes_at, ended_at, closed_at)
             SELECT id, 'closed', true, false, '', closes_at, closes_at, closes_at, closes_at FROM accounts_organization""",
    "31": "UPDATE metering_usageevent SET occurred_at = occurred_at - interval '1 minute'",
}


@pytest.fixture
def books(db: None) -> stories.Cast:
    """Two tenants with usage, an invoice of the month before with its PDF, a credit
    note and a mail that waits, and a running call."""
    before = NOON - timedelta(days=30)
    cast = stories.meet_the_cast(now=before)
    for company in (cast.acme, cast.globex):
        use(company.organization, at=before, usage=TokenUsage(input_tokens=1_000_000, output_tokens=0))
        use(company.organization, at=NOON)
    set_seller(now=before, **SELLER)
    [period, _other] = cycle.periods_of_month("2026-10", now=NOON)
    invoice = invoicing.close_period(organization_id=period.organization_id, period_id=period.period_id, now=NOON)
    assert invoice is not None
    documents.render_document(organization_id=period.organization_id, subject_id=invoice.pk, now=NOON)
    evidence_files.write_evidence(organization_id=period.organization_id, invoice_id=invoice.pk, now=NOON)
    note_on(House(cast, invoice, None), {1: 1}, now=NOON)  # type: ignore[arg-type]
    request = holds.HoldRequest(
        organization_id=cast.acme.organization.pk,
        id=new_id(NOON),
        created_at=NOON,
        expires_at=NOON + timedelta(minutes=15),
        api_key_id=cast.acme.key.pk,
        model_id=1,
        amount=Decimal(100),
        request_id="req",
        upstream="test",
    )
    assert holds.reserve([request]) == [None]
    set_limit(organization=cast.acme.organization, amount=Decimal(1000), actor=None, now=NOON)
    stories.correct_usage(cast.globex.organization, now=NOON)
    return cast


def break_books(statements: str) -> None:
    """As the superuser, with triggers and row security out of the way."""
    url = environment.with_path(os.environ["DATABASE_URL"], connections["default"].settings_dict["NAME"])
    connections.close_all()
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statements)


def test_books_that_are_right_pass(books: stories.Cast, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("audit")
    assert "All invariants hold" in capsys.readouterr().out


def test_every_invariant_is_broken_below() -> None:
    assert {invariant.number for invariant in all_invariants()} == set(BREAKAGES)


@pytest.mark.parametrize("number", BREAKAGES)
def test_a_violation_is_found_and_named(books: stories.Cast, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    break_books(BREAKAGES[number])
    with pytest.raises(CommandError, match="violated"):
        call_command("audit")
    [line] = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.split("  ")[0].strip() == number or line.strip().startswith(f"{number}  ")
    ]
    assert "violation" in line


@pytest.mark.parametrize(
    ("number", "statements"),
    [
        ("33", "UPDATE ledger_spendlimit SET held = held + 1 WHERE \"window\" = 'day'"),
        ("34", "UPDATE ledger_spendlimit SET spent = spent + 1 WHERE member_id IS NOT NULL"),
        ("34", "UPDATE accounts_apikey SET created_by_id = NULL"),
        ("35", "UPDATE ledger_balance SET stopped = true"),
    ],
    ids=["held of a day", "spent of a member", "whose key it was", "stopped without a stop"],
)
def test_counters_of_days_and_members_are_compared(
    books: stories.Cast, number: str, statements: str, capsys: pytest.CaptureFixture[str]
) -> None:
    acme = books.acme
    key, _secret = stories.make_key(acme.organization, now=NOON, created_by=acme.owner)
    use(acme.organization, at=NOON, api_key_id=key.pk)
    for chosen in ({"window": LimitWindow.DAY}, {"member": acme.owner}):
        set_limit(organization=acme.organization, amount=Decimal(1000), actor=None, now=NOON, **chosen)  # type: ignore[arg-type]
    call_command("audit")
    break_books(statements)
    with pytest.raises(CommandError, match="violated"):
        call_command("audit")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith(f"{number}  ")]
    assert "violation" in lines[-1]


@pytest.mark.parametrize(
    ("number", "statements"),
    [
        ("9c", "UPDATE metering_usageevent SET reverses_id = gen_random_uuid() WHERE kind = 2"),
        (
            "9d",
            "UPDATE metering_usageevent SET replaces_id = other.id FROM metering_usageevent AS other"
            " WHERE metering_usageevent.replaces_id IS NOT NULL AND other.kind = 1 AND other.replaces_id IS NULL"
            " AND other.organization_id = metering_usageevent.organization_id AND other.id <> metering_usageevent.replaces_id",
        ),
    ],
    ids=["reversal of nothing", "replacement of what stands"],
)
def test_a_correction_of_nothing_is_found(
    books: stories.Cast, number: str, statements: str, capsys: pytest.CaptureFixture[str]
) -> None:
    break_books(statements)
    with pytest.raises(CommandError, match="violated"):
        call_command("audit")
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith(f"{number}  ")]
    assert "violation" in line
