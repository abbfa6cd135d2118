"""A payment knows the stored method that it charges, who transferred it, and when the processor was last asked about it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_grace_hours"), ("billing", "0002_history_and_row_security")]

    operations = [
        migrations.AddField(
            model_name="payment",
            name="checked_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="payment",
            name="method",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.paymentmethod",
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="payer_name",
            field=models.CharField(blank=True, max_length=100, verbose_name="payer"),
        ),
        migrations.AddConstraint(
            model_name="paymentmethod",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="payment_method_of_organization"),
        ),
        migrations.RunSQL(
            """
            ALTER TABLE billing_payment ADD CONSTRAINT payment_method_is_of_organization
                FOREIGN KEY (organization_id, method_id) REFERENCES billing_paymentmethod (organization_id, id);
            """,
            reverse_sql="ALTER TABLE billing_payment DROP CONSTRAINT payment_method_is_of_organization;",
        ),
    ]
