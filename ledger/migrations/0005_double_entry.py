"""The journal behind the balances, credits that are used by name, and opening entries for books that were kept without."""

import django.db.models.deletion
from django.db import migrations, models

from accounts.row_security import SETTING, forbid_changes, isolate, revoke
from ledger.migrations._opening_books import NAME_CREDITS, OPEN_BOOKS

CREATE_JOURNAL = """
CREATE TABLE ledger_ledgertransaction (
    organization_id bigint NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    entry_count smallint NOT NULL CHECK (entry_count >= 2),
    kind text COLLATE "C" NOT NULL CHECK (kind <> ''),
    key text COLLATE "C" NOT NULL CHECK (key <> ''),
    currency text COLLATE "C" NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT posted_once UNIQUE (organization_id, kind, key),
    CONSTRAINT transaction_of_as_many_entries UNIQUE (organization_id, id, entry_count)
);
CREATE TABLE ledger_ledgerentry (
    organization_id bigint NOT NULL,
    transaction_id uuid NOT NULL,
    position smallint NOT NULL,
    entry_count smallint NOT NULL,
    account text COLLATE "C" NOT NULL CHECK (account <> ''),
    amount numeric(38,20) NOT NULL CHECK (amount <> 0 AND amount < 'NaN'),
    PRIMARY KEY (organization_id, transaction_id, position),
    CHECK (position BETWEEN 1 AND entry_count),
    -- Tenant and number of entries are part of the reference: none crosses tenants, none is added to a transaction that is whole.
    CONSTRAINT entry_is_of_transaction FOREIGN KEY (organization_id, transaction_id, entry_count)
        REFERENCES ledger_ledgertransaction (organization_id, id, entry_count)
);
"""
CHECK_TRANSACTION = f"""
-- When a transaction commits, each movement of money has its entries and they add up to zero: once a row of
-- ledger_ledgertransaction, not once an entry. Row security may have been narrowed since; then its own organization is looked at.
CREATE FUNCTION check_ledger_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted bigint;
    total numeric;
    visible text;
BEGIN
    SELECT count(*), sum(amount) INTO posted, total FROM ledger_ledgerentry
    WHERE organization_id = NEW.organization_id AND transaction_id = NEW.id;
    IF posted = NEW.entry_count AND total = 0 THEN
        RETURN NULL;
    END IF;
    visible := current_setting('{SETTING}', true);
    PERFORM set_config('{SETTING}', '{{' || NEW.organization_id || '}}', true);
    SELECT count(*), sum(amount) INTO posted, total FROM ledger_ledgerentry
    WHERE organization_id = NEW.organization_id AND transaction_id = NEW.id;
    PERFORM set_config('{SETTING}', coalesce(visible, ''), true);
    IF posted IS DISTINCT FROM NEW.entry_count OR total IS DISTINCT FROM 0 THEN
        RAISE EXCEPTION 'ledger transaction % has % of % entries, which add up to %, not 0', NEW.id, posted, NEW.entry_count, total
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER adds_up AFTER INSERT ON ledger_ledgertransaction DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION check_ledger_transaction();
"""
DROP_JOURNAL = """
DROP TABLE ledger_ledgerentry; DROP TABLE ledger_ledgertransaction; DROP FUNCTION check_ledger_transaction();
"""
OWN_CREDITS = """
ALTER TABLE ledger_credituse ADD CONSTRAINT used_credit_is_of_organization
    FOREIGN KEY (organization_id, grant_id) REFERENCES ledger_creditgrant (organization_id, id);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0002_history_and_row_security"),
        ("ledger", "0007_attempts_and_questions"),
    ]

    operations = [
        migrations.AddField("balance", "credit_expires_at", models.DateTimeField(null=True)),
        migrations.AddConstraint(
            "creditgrant", models.UniqueConstraint(fields=["organization", "id"], name="credit_of_organization")
        ),
        migrations.AddField(
            "credituse",
            "grant",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="uses",
                to="ledger.creditgrant",
            ),
        ),
        migrations.AlterField("credituse", "invoice_id", models.UUIDField(null=True)),
        migrations.CreateModel(
            name="LedgerTransaction",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "organization_id", "id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("organization_id", models.BigIntegerField()),
                ("id", models.UUIDField()),
                ("at", models.DateTimeField()),
                ("entry_count", models.SmallIntegerField()),
                ("kind", models.TextField()),
                ("key", models.TextField()),
                ("currency", models.TextField()),
            ],
            options={"db_table": "ledger_ledgertransaction", "managed": False},
        ),
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "organization_id", "transaction_id", "position",
                        blank=True, editable=False, primary_key=True, serialize=False,
                    ),
                ),
                ("organization_id", models.BigIntegerField()),
                ("transaction_id", models.UUIDField()),
                ("position", models.SmallIntegerField()),
                ("entry_count", models.SmallIntegerField()),
                ("account", models.TextField()),
                ("amount", models.DecimalField(decimal_places=20, max_digits=38)),
            ],
            options={"db_table": "ledger_ledgerentry", "managed": False},
        ),
        migrations.RunSQL(CREATE_JOURNAL + CHECK_TRANSACTION, reverse_sql=DROP_JOURNAL),
        migrations.RunSQL(NAME_CREDITS, reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL(OPEN_BOOKS, reverse_sql=migrations.RunSQL.noop),
        *(
            operation
            for table in ("ledger_ledgertransaction", "ledger_ledgerentry")
            for operation in (
                isolate(table),
                forbid_changes(table),
                revoke(table, rights="UPDATE, DELETE, TRUNCATE"),
            )
        ),
        migrations.AlterField(
            "credituse",
            "grant",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="uses", to="ledger.creditgrant"
            ),
        ),
        migrations.AddConstraint(
            "credituse",
            models.CheckConstraint(
                condition=models.Q(("amount__gt", 0), ("invoice_id__isnull", False), _connector="OR"),
                name="expiry_takes_credit",
            ),
        ),
        migrations.AddConstraint(
            "credituse",
            models.UniqueConstraint(
                condition=models.Q(("amount__gt", 0)),
                fields=("invoice_id", "grant"),
                name="one_use_per_invoice_and_credit",
            ),
        ),
        migrations.AddConstraint(
            "credituse",
            models.UniqueConstraint(
                condition=models.Q(("amount__lt", 0)),
                fields=("invoice_id", "grant"),
                name="one_return_per_invoice_and_credit",
            ),
        ),
        migrations.RunSQL(
            OWN_CREDITS, reverse_sql="ALTER TABLE ledger_credituse DROP CONSTRAINT used_credit_is_of_organization;"
        ),
    ]  # fmt: skip
