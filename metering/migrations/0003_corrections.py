"""Corrections name what they replace and who had them made."""

from django.db import migrations, models

ADD_COLUMNS = """
ALTER TABLE metering_usageevent
    ADD COLUMN replaces_id uuid,
    ADD COLUMN actor_id bigint,
    ADD CONSTRAINT replacement_is_usage CHECK (replaces_id IS NULL OR kind = 1);
"""
DROP_COLUMNS = "ALTER TABLE metering_usageevent DROP COLUMN replaces_id, DROP COLUMN actor_id;"


class Migration(migrations.Migration):
    dependencies = [("metering", "0002_hot_tables")]

    operations = [
        migrations.RunSQL(
            ADD_COLUMNS,
            reverse_sql=DROP_COLUMNS,
            state_operations=[
                migrations.AddField("usageevent", "replaces_id", models.UUIDField(null=True)),
                migrations.AddField("usageevent", "actor_id", models.BigIntegerField(null=True)),
            ],
        ),
    ]
