"""Which report of a mail server a mail heard last, so that one that is read twice notes nothing twice."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0033_sample_mails"),
    ]

    operations = [
        migrations.AddField(
            model_name="outboxmail", name="report_digest", field=models.CharField(blank=True, default="", max_length=64)
        ),
        migrations.AddField(
            model_name="outboxmail", name="reported_at", field=models.DateTimeField(blank=True, null=True)
        ),
    ]
