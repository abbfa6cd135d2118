"""Money that left at a processor without a refund of ours, until an operator has seen to it."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import isolate


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0014_business_standing"),
        ("billing", "0020_closures_and_exports"),
        ("billing", "0025_mails_of_tax_invoices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ProcessorOutflow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("refund", "Refund made at the processor"), ("dispute", "Dispute")], max_length=10
                    ),
                ),
                ("processor", models.CharField(max_length=20)),
                ("reference", models.CharField(max_length=255)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=18)),
                ("currency", models.CharField(max_length=3)),
                ("status", models.CharField(max_length=40)),
                ("reason", models.CharField(blank=True, max_length=100)),
                ("noticed_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                ("settlement", models.CharField(blank=True, max_length=200, verbose_name="what was done")),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="outflows", to="billing.payment"
                    ),
                ),
                (
                    "settled_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "outflow at the processor",
                "verbose_name_plural": "outflows at the processor",
                "indexes": [models.Index(fields=["organization", "-noticed_at"], name="outflow_by_organization")],
                "constraints": [
                    models.UniqueConstraint(fields=("processor", "reference"), name="one_outflow_per_reference")
                ],
            },
        ),
        migrations.RunSQL(
            """
            ALTER TABLE billing_processoroutflow ADD CONSTRAINT outflow_payment_is_of_organization
                FOREIGN KEY (organization_id, payment_id) REFERENCES billing_payment (organization_id, id);
            """,
            reverse_sql="ALTER TABLE billing_processoroutflow DROP CONSTRAINT outflow_payment_is_of_organization;",
        ),
        isolate("billing_processoroutflow"),
    ]
