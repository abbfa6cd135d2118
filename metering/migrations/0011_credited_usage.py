"""Which charges a credit note gave back: their reporter cannot have them given back once more."""

from django.db import migrations, models

from accounts.row_security import isolate, revoke

CREATE = """
CREATE TABLE metering_creditedusage (
    organization_id bigint NOT NULL,
    period_id bigint NOT NULL,
    applied_rate_id integer NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (organization_id, period_id, applied_rate_id)
);
"""

MODEL = migrations.CreateModel(
    name="CreditedUsage",
    fields=[
        (
            "pk",
            models.CompositePrimaryKey(
                "organization_id",
                "period_id",
                "applied_rate_id",
                blank=True,
                editable=False,
                primary_key=True,
                serialize=False,
            ),
        ),
        ("organization_id", models.BigIntegerField()),
        ("period_id", models.BigIntegerField()),
        ("applied_rate_id", models.IntegerField()),
        ("document", models.TextField()),
    ],
    options={"db_table": "metering_creditedusage", "managed": False},
)


class Migration(migrations.Migration):
    dependencies = [("metering", "0010_recording_at_once")]

    operations = [
        migrations.RunSQL(CREATE, reverse_sql="DROP TABLE metering_creditedusage;", state_operations=[MODEL]),
        isolate("metering_creditedusage"),
        revoke("metering_creditedusage", rights="UPDATE, DELETE, TRUNCATE", roles=("app", "system")),
    ]
