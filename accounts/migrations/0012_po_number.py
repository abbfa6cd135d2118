"""The buyer's own number of the order, which invoices repeat."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_rights_on_users"),
    ]

    operations = [
        migrations.AddField(
            model_name="billingprofile",
            name="po_number",
            field=models.CharField(blank=True, max_length=50, verbose_name="PO number"),
        ),
    ]
