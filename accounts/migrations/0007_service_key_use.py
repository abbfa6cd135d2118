"""When a service key was last used, so that it is known when a replaced one is no longer needed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_alarms"),
    ]

    operations = [
        migrations.AddField(
            model_name="servicekey",
            name="last_used_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
