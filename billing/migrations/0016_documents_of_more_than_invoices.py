"""Papers of more than invoices – receipts, statements, quotations, evidence – and addresses that mail servers refuse."""

import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import forbid_changes, isolate

OWN_ROWS = """
ALTER TABLE billing_document
    ADD CONSTRAINT document_payment_is_of_organization
        FOREIGN KEY (organization_id, payment_id) REFERENCES billing_payment (organization_id, id),
    ADD CONSTRAINT document_quotation_is_of_organization
        FOREIGN KEY (organization_id, quotation_id) REFERENCES billing_quotation (organization_id, id);
"""
FORGET_OWN_ROWS = """
ALTER TABLE billing_document DROP CONSTRAINT document_payment_is_of_organization,
    DROP CONSTRAINT document_quotation_is_of_organization;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_rights_on_users"),
        ("billing", "0013_bank_deposits"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BouncingAddress",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("address", models.EmailField(max_length=254)),
                ("reason", models.CharField(max_length=300)),
                ("bounced_at", models.DateTimeField()),
                ("cleared_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "refused address",
                "verbose_name_plural": "refused addresses",
            },
        ),
        migrations.CreateModel(
            name="Quotation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("language", models.CharField(max_length=2)),
                ("currency", models.CharField(choices=[("KRW", "KRW"), ("USD", "USD")], max_length=3)),
                ("tax_treatment", models.CharField(max_length=12)),
                ("tax_rate", models.DecimalField(decimal_places=4, max_digits=5)),
                ("zone", models.CharField(max_length=50)),
                ("issued_on", models.DateField()),
                ("valid_until", models.DateField()),
                ("subject", models.CharField(blank=True, max_length=100)),
                ("seller", models.JSONField()),
                ("buyer", models.JSONField()),
                ("exchange_rates", models.JSONField()),
                ("lines", models.JSONField()),
                ("subtotal", models.DecimalField(decimal_places=2, max_digits=18)),
                ("tax", models.DecimalField(decimal_places=2, max_digits=18)),
                ("total", models.DecimalField(decimal_places=2, max_digits=18)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "quotation",
                "verbose_name_plural": "quotations",
            },
        ),
        migrations.AddField(model_name="document", name="kept", field=models.JSONField(default=dict)),
        migrations.AddField(
            model_name="document",
            name="payment",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="documents", to="billing.payment"
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="invoice",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="documents", to="billing.invoice"
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="kind",
            field=models.CharField(
                choices=[
                    ("invoice", "Invoice"),
                    ("statement", "Statement"),
                    ("evidence", "Evidence"),
                    ("receipt", "Receipt"),
                    ("quotation", "Quotation"),
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="size",
            field=models.PositiveBigIntegerField(),
        ),
        migrations.AlterField(
            model_name="notice",
            name="kind",
            field=models.CharField(
                choices=[
                    ("limit.threshold", "Spend limit: a share is used"),
                    ("limit.refusing", "Spend limit: calls are refused"),
                    ("credit.low", "Credit is low"),
                    ("key.created", "A key was made"),
                    ("key.stopped", "A key was stopped"),
                    ("webhook.disabled", "A webhook was switched off"),
                    ("webhook.test", "Test"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="outboxmail",
            name="status",
            field=models.CharField(
                choices=[
                    ("waiting", "Waiting"),
                    ("sent", "Sent"),
                    ("failed", "Failed"),
                    ("bounced", "Refused by the recipient's server"),
                ],
                default="waiting",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="bouncingaddress",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddField(
            model_name="quotation",
            name="created_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="quotation",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddField(
            model_name="document",
            name="quotation",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="documents", to="billing.quotation"
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(fields=("payment", "kind"), name="one_document_per_payment"),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(fields=("quotation", "kind"), name="one_document_per_quotation"),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("invoice__isnull", False),
                        ("kind__in", ["invoice", "statement", "evidence"]),
                        ("payment", None),
                        ("quotation", None),
                    ),
                    models.Q(("invoice", None), ("kind", "receipt"), ("payment__isnull", False), ("quotation", None)),
                    models.Q(("invoice", None), ("kind", "quotation"), ("payment", None), ("quotation__isnull", False)),
                    _connector="OR",
                ),
                name="document_of_one_subject",
            ),
        ),
        migrations.AddConstraint(
            model_name="bouncingaddress",
            constraint=models.UniqueConstraint(
                condition=models.Q(("cleared_at", None)),
                fields=("organization", "address"),
                name="one_bounce_per_address",
            ),
        ),
        migrations.AddIndex(
            model_name="quotation",
            index=models.Index(fields=["organization", "-id"], name="quotation_by_organization"),
        ),
        migrations.AddConstraint(
            model_name="quotation",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="quotation_of_organization"),
        ),
        migrations.AddConstraint(
            model_name="quotation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "total",
                        django.db.models.expressions.CombinedExpression(models.F("subtotal"), "+", models.F("tax")),
                    )
                ),
                name="quotation_total_is_subtotal_and_tax",
            ),
        ),
        migrations.AddConstraint(
            model_name="quotation",
            constraint=models.CheckConstraint(
                condition=models.Q(("valid_until__gte", models.F("issued_on"))), name="quotation_valid_for_a_while"
            ),
        ),
        migrations.RunSQL(OWN_ROWS, reverse_sql=FORGET_OWN_ROWS),
        isolate("billing_quotation"),
        forbid_changes("billing_quotation"),
        isolate("billing_bouncingaddress"),
    ]
