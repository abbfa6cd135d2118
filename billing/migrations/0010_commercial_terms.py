"""Commercial terms, the lines that follow from them, and the PO number. Terms are the operator's: the `app` role reads them only."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import forbid_changes, isolate, revoke

OWN_TERMS = """
ALTER TABLE billing_billingterms ADD CONSTRAINT discount_is_a_number CHECK (discount < 'NaN' AND minimum_fee < 'NaN');
ALTER TABLE billing_invoice ADD CONSTRAINT invoice_terms_are_of_organization
    FOREIGN KEY (organization_id, terms_id) REFERENCES billing_billingterms (organization_id, id);
"""
FORGET_OWN_TERMS = """
ALTER TABLE billing_invoice DROP CONSTRAINT invoice_terms_are_of_organization;
ALTER TABLE billing_billingterms DROP CONSTRAINT discount_is_a_number;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_po_number"),
        ("billing", "0016_documents_of_more_than_invoices"),
        ("catalog", "0007_upstreams_and_routes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BillingTerms",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("effective_from", models.DateTimeField()),
                ("revision", models.PositiveSmallIntegerField(default=1)),
                (
                    "minimum_fee",
                    models.DecimalField(decimal_places=2, default=0, max_digits=18, verbose_name="minimum monthly fee"),
                ),
                (
                    "discount",
                    models.DecimalField(decimal_places=4, default=0, max_digits=5, verbose_name="discount on usage"),
                ),
                (
                    "zero_invoices",
                    models.CharField(
                        choices=[
                            ("with_usage", "Only for a month with usage"),
                            ("always", "Always"),
                            ("never", "Never"),
                        ],
                        default="with_usage",
                        max_length=10,
                        verbose_name="invoices of 0",
                    ),
                ),
                ("reviewed", models.BooleanField(default=False, verbose_name="reviewed before it is issued")),
                ("reason", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "commercial terms",
                "verbose_name_plural": "commercial terms",
            },
        ),
        migrations.RemoveConstraint(
            model_name="invoiceline",
            name="one_line_per_rate_and_class",
        ),
        migrations.AddField(
            model_name="invoice",
            name="po_number",
            field=models.CharField(blank=True, max_length=50, verbose_name="PO number"),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="kind",
            field=models.CharField(
                choices=[("usage", "Usage"), ("discount", "Discount"), ("minimum_fee", "Minimum fee")],
                default="usage",
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="applied_rate",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="catalog.appliedrate"
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="model",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="token_class",
            field=models.CharField(blank=True, max_length=20),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(
                fields=("invoice", "kind", "applied_rate", "token_class", "service_month"),
                name="one_line_per_rate_and_class",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("applied_rate__isnull", False), ("kind", "usage")),
                    models.Q(models.Q(("kind", "usage"), _negated=True), ("applied_rate", None)),
                    _connector="OR",
                ),
                name="line_of_usage_has_a_rate",
            ),
        ),
        migrations.AddField(
            model_name="billingterms",
            name="created_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="billingterms",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="billing_terms", to="accounts.organization"
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="terms",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.billingterms"
            ),
        ),
        migrations.AddConstraint(
            model_name="billingterms",
            constraint=models.UniqueConstraint(
                fields=("organization", "effective_from", "revision"), name="one_version_of_terms_per_moment"
            ),
        ),
        migrations.AddConstraint(
            model_name="billingterms",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="terms_of_organization"),
        ),
        migrations.AddConstraint(
            model_name="billingterms",
            constraint=models.CheckConstraint(
                condition=models.Q(("minimum_fee__gte", 0)), name="minimum_fee_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="billingterms",
            constraint=models.CheckConstraint(
                condition=models.Q(("discount__gte", 0), ("discount__lte", 1)), name="discount_is_a_fraction"
            ),
        ),
        migrations.RunSQL(OWN_TERMS, reverse_sql=FORGET_OWN_TERMS),
        isolate("billing_billingterms"),
        forbid_changes("billing_billingterms"),
        revoke("billing_billingterms", rights="INSERT, UPDATE, DELETE, TRUNCATE", roles=("app",)),
    ]
