"""The secret of a webhook before its last rotation, which signs beside the new one for a while."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0034_mails_that_come_back"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhookendpoint",
            name="previous_nonce",
            field=models.CharField(blank=True, default="", max_length=32),
        ),
        migrations.AddField(
            model_name="webhookendpoint", name="previous_until", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="webhookendpoint", name="rotated_at", field=models.DateTimeField(blank=True, null=True)
        ),
    ]
