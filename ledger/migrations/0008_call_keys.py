"""Callers' own names for their calls: one call a name (docs/decisions/0019)."""

from django.db import migrations, models

from accounts.row_security import isolate, revoke

CREATE_CALL_KEYS = """
CREATE TABLE ledger_callkey (
    organization_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    digest uuid NOT NULL,
    hold_id uuid NOT NULL,
    PRIMARY KEY (organization_id, digest)
);
CREATE INDEX ledger_callkey_by_age ON ledger_callkey (created_at);
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_member_and_day_limits")]

    operations = [
        migrations.CreateModel(
            name="CallKey",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "organization_id", "digest", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("organization_id", models.BigIntegerField()),
                ("created_at", models.DateTimeField()),
                ("digest", models.UUIDField()),
                ("hold_id", models.UUIDField()),
            ],
            options={"db_table": "ledger_callkey", "managed": False},
        ),
        migrations.RunSQL(CREATE_CALL_KEYS, reverse_sql="DROP TABLE ledger_callkey;"),
        isolate("ledger_callkey"),
        revoke("ledger_callkey", rights="TRUNCATE"),
        revoke("ledger_callkey", rights="DELETE", roles=("app",)),
    ]
