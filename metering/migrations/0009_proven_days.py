"""Days whose rollups were proven to be the sums of their events, and what they added up to then: so that a close reads no event again."""

from typing import Any

from django.db import migrations, models

from accounts.row_security import isolate, revoke

COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_cache_read_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "images",
    "searches",
    "requests",
)

CREATE = f"""
CREATE TABLE metering_provenday (
    organization_id bigint NOT NULL,
    period_id bigint NOT NULL,
    event_count bigint NOT NULL,
    event_digest bigint NOT NULL,
    {" bigint NOT NULL, ".join(COUNTS)} bigint NOT NULL,
    proven_at timestamptz NOT NULL,
    day date NOT NULL,
    cost numeric(38,20) NOT NULL CHECK (cost < 'NaN'),
    amount numeric(38,20) NOT NULL CHECK (amount < 'NaN'),
    PRIMARY KEY (organization_id, period_id, day)
);
"""


def _money() -> Any:
    return models.DecimalField(max_digits=38, decimal_places=20)


MODEL = migrations.CreateModel(
    name="ProvenDay",
    fields=[
        (
            "pk",
            models.CompositePrimaryKey(
                "organization_id", "period_id", "day", blank=True, editable=False, primary_key=True, serialize=False
            ),
        ),
        ("organization_id", models.BigIntegerField()),
        ("period_id", models.BigIntegerField()),
        ("day", models.DateField()),
        ("event_count", models.BigIntegerField()),
        ("event_digest", models.BigIntegerField()),
        ("cost", _money()),
        ("amount", _money()),
        *((name, models.BigIntegerField()) for name in COUNTS),
        ("proven_at", models.DateTimeField()),
    ],
    options={"db_table": "metering_provenday", "managed": False},
)


class Migration(migrations.Migration):
    dependencies = [("metering", "0008_usage_archives"), ("ledger", "0002_holds_partitions_row_security")]

    operations = [
        migrations.RunSQL(CREATE, reverse_sql="DROP TABLE metering_provenday;", state_operations=[MODEL]),
        isolate("metering_provenday"),
        revoke("metering_provenday", rights="INSERT, UPDATE, DELETE, TRUNCATE", roles=("app",)),
        revoke("metering_provenday", rights="TRUNCATE", roles=("system",)),
    ]
