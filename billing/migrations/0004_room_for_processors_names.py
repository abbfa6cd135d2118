"""Stripe's ids have up to 255 characters, and the addresses of its pages often more than 500."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_payments_by_method_and_payer")]

    operations = [
        migrations.AlterField("payment", "action_url", models.CharField(blank=True, max_length=2000)),
        migrations.AlterField("payment", "reference", models.CharField(blank=True, max_length=255)),
        migrations.AlterField("paymentmethod", "customer_reference", models.CharField(max_length=255)),
        migrations.AlterField("paymentmethod", "reference", models.CharField(max_length=255)),
        migrations.AlterField("processorevent", "event_id", models.CharField(max_length=255)),
    ]
