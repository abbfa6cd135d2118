"""Under which declared tags an event was summed: its rollup row follows from the event alone, whatever is declared later."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("metering", "0005_reported_corrections"), ("accounts", "0008_tag_declarations")]

    operations = [
        migrations.RunSQL(
            'ALTER TABLE metering_usageevent ADD COLUMN tag_1 text COLLATE "C", ADD COLUMN tag_2 text COLLATE "C", '
            'ADD COLUMN tag_3 text COLLATE "C";',
            reverse_sql="ALTER TABLE metering_usageevent DROP COLUMN tag_1, DROP COLUMN tag_2, DROP COLUMN tag_3;",
            state_operations=[
                migrations.AddField(model_name="usageevent", name=name, field=models.TextField(null=True))
                for name in ("tag_1", "tag_2", "tag_3")
            ],
        ),
    ]
