"""The proof of each supply, and tax invoices: what was asked for stays as it was, numbers of approval are kept for ever."""

import uuid

import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import isolate

GUARDS = """
ALTER TABLE billing_supplyproof ADD CONSTRAINT proof_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
ALTER TABLE billing_taxinvoice
    ADD CONSTRAINT tax_invoice_invoice_is_of_organization
        FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id),
    ADD CONSTRAINT tax_invoice_amends_one_of_organization
        FOREIGN KEY (organization_id, amends_id) REFERENCES billing_taxinvoice (organization_id, id);

CREATE FUNCTION keep_supply_proof() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.organization_id, OLD.invoice_id) <> (NEW.organization_id, NEW.invoice_id) THEN
        RAISE EXCEPTION 'the proof of invoice % is kept', OLD.invoice_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_supplyproof FOR EACH ROW EXECUTE FUNCTION keep_supply_proof();

-- What the tax office may know of is changed in its fate only; what it knows stays issued.
CREATE FUNCTION keep_tax_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fate text[] := ARRAY['status', 'approval_number', 'failure', 'requested_at', 'checked_at', 'issued_at', 'sent_at'];
    unasked text[] := ARRAY['buyer', 'purpose', 'write_date', 'issue_from', 'due_on', 'supply', 'tax', 'total', 'items'];
BEGIN
    IF OLD.status IN ('planned', 'failed', 'dropped') THEN
        fate := fate || unasked;
    END IF;
    IF TG_OP = 'DELETE' OR to_jsonb(OLD) - fate <> to_jsonb(NEW) - fate THEN
        RAISE EXCEPTION 'tax invoice % is kept as it was: amend it', OLD.mgt_key USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.status IN ('issued', 'sent', 'canceled')
        AND (NEW.approval_number <> OLD.approval_number OR NEW.status NOT IN ('issued', 'sent', 'canceled'))
        OR OLD.status IN ('sent', 'canceled') AND NEW.status <> OLD.status
    THEN
        RAISE EXCEPTION 'tax invoice % was issued and stays so', OLD.mgt_key USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_taxinvoice FOR EACH ROW EXECUTE FUNCTION keep_tax_invoice();
"""
NO_GUARDS = """
DROP TRIGGER immutable ON billing_taxinvoice;
DROP TRIGGER immutable ON billing_supplyproof;
DROP FUNCTION keep_tax_invoice();
DROP FUNCTION keep_supply_proof();
ALTER TABLE billing_taxinvoice DROP CONSTRAINT tax_invoice_amends_one_of_organization,
    DROP CONSTRAINT tax_invoice_invoice_is_of_organization;
ALTER TABLE billing_supplyproof DROP CONSTRAINT proof_invoice_is_of_organization;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_rights_on_users"),
        ("billing", "0011_credit_notes_and_refunds"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="SupplyProof",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("card_slip", "Card slip"),
                            ("tax_invoice", "Tax invoice"),
                            ("cash_receipt", "Cash receipt"),
                            ("none", "None"),
                        ],
                        max_length=12,
                    ),
                ),
                ("by_card", models.DecimalField(decimal_places=2, default=0, max_digits=18)),
                ("chosen_at", models.DateTimeField()),
                (
                    "invoice",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="proof", to="billing.invoice"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "verbose_name": "proof of a supply",
                "verbose_name_plural": "proofs of supplies",
            },
        ),
        migrations.CreateModel(
            name="TaxInvoice",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("01", "01 Correction of entries"),
                            ("02", "02 Change of the supply value"),
                            ("03", "03 Return"),
                            ("04", "04 Cancellation of the contract"),
                            ("06", "06 Issued twice by mistake"),
                        ],
                        max_length=2,
                    ),
                ),
                ("occasion", models.CharField(max_length=60)),
                ("mgt_key", models.CharField(max_length=24, unique=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("planned", "Planned"),
                            ("requested", "Asked for, unanswered"),
                            ("issued", "Issued"),
                            ("sent", "Sent to the tax office"),
                            ("failed", "Failed"),
                            ("canceled", "Canceled before it was sent"),
                            ("dropped", "Not needed any more"),
                        ],
                        default="planned",
                        max_length=10,
                    ),
                ),
                ("write_date", models.DateField()),
                ("issue_from", models.DateField()),
                ("due_on", models.DateField()),
                (
                    "purpose",
                    models.CharField(choices=[("received", "Received"), ("claimed", "Claimed")], max_length=8),
                ),
                (
                    "tax_type",
                    models.CharField(choices=[("taxable", "Taxable"), ("zero_rated", "Zero-rated")], max_length=10),
                ),
                ("supply", models.DecimalField(decimal_places=2, max_digits=18)),
                ("tax", models.DecimalField(decimal_places=2, max_digits=18)),
                ("total", models.DecimalField(decimal_places=2, max_digits=18)),
                ("items", models.JSONField()),
                ("supplier", models.JSONField()),
                ("buyer", models.JSONField()),
                ("remark", models.CharField(blank=True, max_length=150)),
                ("approval_number", models.CharField(blank=True, max_length=24)),
                ("failure", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField()),
                ("requested_at", models.DateTimeField(blank=True, null=True)),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
                ("issued_at", models.DateTimeField(blank=True, null=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                (
                    "amends",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="amendments",
                        to="billing.taxinvoice",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="tax_invoices", to="billing.invoice"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "verbose_name": "tax invoice",
                "verbose_name_plural": "tax invoices",
                "indexes": [
                    models.Index(
                        condition=models.Q(("status__in", ["planned", "requested", "failed"])),
                        fields=["due_on"],
                        name="tax_invoice_unissued",
                    ),
                    models.Index(
                        condition=models.Q(("status__in", ["requested", "issued"])),
                        fields=["checked_at"],
                        name="tax_invoice_to_ask",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("reason", "")), fields=("invoice",), name="one_original_per_invoice"
                    ),
                    models.UniqueConstraint(fields=("invoice", "occasion"), name="one_tax_invoice_per_occasion"),
                    models.UniqueConstraint(
                        condition=models.Q(("approval_number", ""), _negated=True),
                        fields=("approval_number",),
                        name="one_tax_invoice_per_approval",
                    ),
                    models.UniqueConstraint(fields=("organization", "id"), name="tax_invoice_of_organization"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "total",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("supply"), "+", models.F("tax")
                                ),
                            )
                        ),
                        name="tax_invoice_total_adds_up",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("amends", None), ("reason", ""), ("total__gt", 0)),
                            models.Q(("amends__isnull", False), models.Q(("reason", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="original_above_zero_or_amendment_of_one",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status__in", ["issued", "sent", "canceled"]), _negated=True),
                            models.Q(("approval_number__regex", "^[0-9A-Za-z]{24}$"), ("issued_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="issued_with_approval_number",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, reverse_sql=NO_GUARDS),
        isolate("billing_supplyproof"),
        isolate("billing_taxinvoice"),
    ]
