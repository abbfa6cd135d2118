"""An invoice with a total below zero gives it all as credit."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_audit_runs"),
        ("ledger", "0005_double_entry"),
    ]

    operations = [
        migrations.RemoveConstraint("invoice", "invoice_credit_not_negative"),
        migrations.AddConstraint(
            "invoice",
            models.CheckConstraint(
                condition=models.Q(("credit_applied__gte", 0), ("credit_applied", models.F("total")), _connector="OR"),
                name="invoice_credit_used_or_all_given",
            ),
        ),
    ]
