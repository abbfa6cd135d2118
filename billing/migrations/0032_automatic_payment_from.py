"""Automatic payment may begin with the next invoice: those that were open when it was switched on are paid by hand."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0031_deposits_taken_back")]

    operations = [
        migrations.AddField("collectionsetting", "automatic_from", models.DateTimeField(null=True, blank=True)),
    ]
