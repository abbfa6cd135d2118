"""What reporters took back or changed: who, why, and, of an event that was not charged yet, what it had been reported as."""

from django.db import migrations, models

from accounts.row_security import isolate, revoke

CREATE_CORRECTIONS = """
CREATE TABLE metering_usagecorrection (
    organization_id bigint NOT NULL,
    corrected_at timestamptz NOT NULL,
    service_key_id bigint,
    api_key_id bigint,
    event_id uuid NOT NULL,
    action smallint NOT NULL CHECK (action IN (1, 2)),
    reason text NOT NULL CHECK (reason <> ''),
    report jsonb,
    PRIMARY KEY (organization_id, event_id, action),
    CONSTRAINT corrected_by_one_key CHECK (num_nonnulls(service_key_id, api_key_id) = 1)
);
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0003_corrections")]

    operations = [
        migrations.RunSQL(
            CREATE_CORRECTIONS,
            reverse_sql="DROP TABLE metering_usagecorrection;",
            state_operations=[
                migrations.CreateModel(
                    name="UsageCorrection",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "organization_id",
                                "event_id",
                                "action",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("organization_id", models.BigIntegerField()),
                        ("event_id", models.UUIDField()),
                        ("action", models.SmallIntegerField(choices=[(1, "Void"), (2, "Amend")])),
                        ("corrected_at", models.DateTimeField()),
                        ("service_key_id", models.BigIntegerField(null=True)),
                        ("api_key_id", models.BigIntegerField(null=True)),
                        ("reason", models.TextField()),
                        ("report", models.JSONField(null=True)),
                    ],
                    options={"db_table": "metering_usagecorrection", "managed": False},
                ),
            ],
        ),
        isolate("metering_usagecorrection"),
        revoke("metering_usagecorrection", rights="UPDATE, DELETE, TRUNCATE"),
    ]
