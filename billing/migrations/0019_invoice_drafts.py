"""What an invoice would say, for an operator to review before it is issued. Only what became of a draft changes."""

import uuid

import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import isolate

KEEP_DRAFTS = """
CREATE FUNCTION keep_draft() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fate text[] := ARRAY['status', 'decided_at', 'decided_by_id'];
BEGIN
    IF TG_OP = 'DELETE' OR OLD.status <> 'waiting' OR to_jsonb(OLD) - fate <> to_jsonb(NEW) - fate THEN
        RAISE EXCEPTION 'draft % is history: make it anew', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_invoicedraft FOR EACH ROW EXECUTE FUNCTION keep_draft();
ALTER TABLE billing_invoicedraft ADD CONSTRAINT draft_period_is_of_organization
    FOREIGN KEY (organization_id, period_id) REFERENCES ledger_billingperiod (organization_id, id);
ALTER TABLE billing_invoicedraft ADD CONSTRAINT draft_terms_are_of_organization
    FOREIGN KEY (organization_id, terms_id) REFERENCES billing_billingterms (organization_id, id);
"""
FORGET_DRAFTS = """
ALTER TABLE billing_invoicedraft DROP CONSTRAINT draft_terms_are_of_organization;
ALTER TABLE billing_invoicedraft DROP CONSTRAINT draft_period_is_of_organization;
DROP TRIGGER immutable ON billing_invoicedraft;
DROP FUNCTION keep_draft();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_po_number"),
        ("billing", "0018_credit_notes_on_paper"),
        ("ledger", "0009_hold_tags"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="InvoiceDraft",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "status",
                    models.CharField(
                        choices=[("waiting", "To be reviewed"), ("superseded", "Made anew"), ("approved", "Approved")],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("po_number", models.CharField(blank=True, max_length=50, verbose_name="PO number")),
                ("currency", models.CharField(choices=[("KRW", "KRW"), ("USD", "USD")], max_length=3)),
                ("tax_rate", models.DecimalField(decimal_places=4, max_digits=5)),
                ("subtotal", models.DecimalField(decimal_places=2, max_digits=18)),
                ("tax", models.DecimalField(decimal_places=2, max_digits=18)),
                ("total", models.DecimalField(decimal_places=2, max_digits=18)),
                ("exact_subtotal", models.DecimalField(decimal_places=20, max_digits=38)),
                ("lines", models.JSONField()),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("made_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_drafts",
                        to="accounts.organization",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_drafts",
                        to="ledger.billingperiod",
                    ),
                ),
                (
                    "terms",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.billingterms",
                    ),
                ),
            ],
            options={
                "verbose_name": "invoice draft",
                "verbose_name_plural": "invoice drafts",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "waiting")),
                        fields=("period",),
                        name="one_waiting_draft_per_period",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "total",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("subtotal"), "+", models.F("tax")
                                ),
                            )
                        ),
                        name="draft_total_is_subtotal_and_tax",
                    ),
                ],
            },
        ),
        migrations.AlterField(
            model_name="invoice",
            name="status",
            field=models.CharField(
                choices=[("open", "Open"), ("paid", "Paid"), ("void", "Void"), ("uncollectible", "Uncollectible")],
                max_length=13,
            ),
        ),
        migrations.RunSQL(KEEP_DRAFTS, reverse_sql=FORGET_DRAFTS),
        isolate("billing_invoicedraft"),
    ]
