"""The outbox has a kind of mail that tells of a tax invoice."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0020_closures_and_exports")]

    operations = [
        migrations.AlterField(
            model_name="outboxmail",
            name="kind",
            field=models.CharField(
                choices=[
                    ("invoice", "Invoice"),
                    ("receipt", "Receipt"),
                    ("payment_failed", "Payment failed"),
                    ("invitation", "Invitation"),
                    ("notice", "Notice"),
                    ("due_soon", "Due soon"),
                    ("overdue", "Overdue reminder"),
                    ("top_up", "Top-up receipt"),
                    ("top_up_failed", "Automatic top-up failed"),
                    ("credit_note", "Credit note"),
                    ("refund", "Refund"),
                    ("tax_invoice", "Tax invoice issued"),
                ],
                max_length=20,
            ),
        ),
    ]
