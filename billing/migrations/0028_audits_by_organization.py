"""Whom each violation concerns: the months of everybody else are closed. What older audits found concerns everybody."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0027_deposits_matched_anew"),
    ]

    operations = [
        migrations.AddField(model_name="auditrun", name="organizations", field=models.JSONField(default=dict)),
    ]
