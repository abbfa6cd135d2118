"""Credit notes, refunds and write-offs: new rows beside a final invoice, themselves never changed but in where a refund stands."""

import uuid

import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import forbid_changes, isolate

GUARDS = """
-- What a refund gives back, of what and under which key, never changes; its states are monotonic, but a bank may send money back.
CREATE FUNCTION keep_refund() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fate text[] := ARRAY['status', 'reference', 'failure', 'settled_at', 'checked_at'];
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(OLD) - fate <> to_jsonb(NEW) - fate
        OR (OLD.status = 'failed' AND NEW.status <> 'failed')
        OR (OLD.status = 'succeeded' AND NEW.status NOT IN ('succeeded', 'failed'))
    THEN
        RAISE EXCEPTION 'refund % is settled or would be changed in what it gives back', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_refund FOR EACH ROW EXECUTE FUNCTION keep_refund();

ALTER TABLE billing_creditnote ADD CONSTRAINT note_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
ALTER TABLE billing_creditnoteline
    ADD CONSTRAINT note_line_is_of_organization
        FOREIGN KEY (organization_id, credit_note_id) REFERENCES billing_creditnote (organization_id, id),
    ADD CONSTRAINT noted_line_is_of_organization
        FOREIGN KEY (organization_id, invoice_line_id) REFERENCES billing_invoiceline (organization_id, id);
ALTER TABLE billing_writeoff ADD CONSTRAINT write_off_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
ALTER TABLE billing_refund
    ADD CONSTRAINT refund_payment_is_of_organization
        FOREIGN KEY (organization_id, payment_id) REFERENCES billing_payment (organization_id, id),
    ADD CONSTRAINT refund_note_is_of_organization
        FOREIGN KEY (organization_id, credit_note_id) REFERENCES billing_creditnote (organization_id, id);
"""
NO_GUARDS = """
ALTER TABLE billing_refund DROP CONSTRAINT refund_note_is_of_organization, DROP CONSTRAINT refund_payment_is_of_organization;
ALTER TABLE billing_writeoff DROP CONSTRAINT write_off_invoice_is_of_organization;
ALTER TABLE billing_creditnoteline DROP CONSTRAINT noted_line_is_of_organization, DROP CONSTRAINT note_line_is_of_organization;
ALTER TABLE billing_creditnote DROP CONSTRAINT note_invoice_is_of_organization;
DROP TRIGGER immutable ON billing_refund;
DROP FUNCTION keep_refund();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_rights_on_users"),
        ("billing", "0010_commercial_terms"),
        ("catalog", "0007_upstreams_and_routes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CreditNote",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("sequence", models.PositiveIntegerField()),
                ("number", models.CharField(max_length=40, unique=True)),
                (
                    "reason_code",
                    models.CharField(
                        choices=[
                            ("01", "Correction of an entry"),
                            ("02", "Change of the supply value"),
                            ("03", "Return"),
                            ("04", "Cancellation of the contract"),
                            ("06", "Issued twice"),
                        ],
                        max_length=2,
                        verbose_name="reason for tax",
                    ),
                ),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
                ("language", models.CharField(max_length=2)),
                ("currency", models.CharField(choices=[("KRW", "KRW"), ("USD", "USD")], max_length=3)),
                ("tax_treatment", models.CharField(max_length=12)),
                ("tax_rate", models.DecimalField(decimal_places=4, max_digits=5)),
                ("subtotal", models.DecimalField(decimal_places=2, max_digits=18)),
                ("tax", models.DecimalField(decimal_places=2, max_digits=18)),
                ("total", models.DecimalField(decimal_places=2, max_digits=18)),
                ("applied", models.DecimalField(decimal_places=2, max_digits=18)),
                ("to_credit", models.DecimalField(decimal_places=2, max_digits=18)),
                ("to_refund", models.DecimalField(decimal_places=2, max_digits=18)),
                ("credit_returned", models.DecimalField(decimal_places=2, max_digits=18)),
                ("issued_on", models.DateField(verbose_name="issue date")),
                ("issued_at", models.DateTimeField()),
                ("seller", models.JSONField()),
                ("buyer", models.JSONField()),
            ],
            options={
                "verbose_name": "credit note",
                "verbose_name_plural": "credit notes",
            },
        ),
        migrations.CreateModel(
            name="CreditNoteLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.DecimalField(decimal_places=2, max_digits=18)),
            ],
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("processor", models.CharField(max_length=20)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=18)),
                ("currency", models.CharField(max_length=3)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("unknown", "Unknown"),
                            ("pending", "Pending"),
                            ("succeeded", "Refunded"),
                            ("failed", "Failed"),
                        ],
                        max_length=10,
                    ),
                ),
                ("idempotency_key", models.CharField(max_length=150, unique=True)),
                ("reference", models.CharField(blank=True, max_length=255)),
                ("failure", models.CharField(blank=True, max_length=200)),
                ("sent_on", models.DateField(blank=True, null=True)),
                ("created_at", models.DateTimeField()),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "refund",
                "verbose_name_plural": "refunds",
            },
        ),
        migrations.CreateModel(
            name="WriteOff",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.DecimalField(decimal_places=2, max_digits=18)),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
                ("written_off_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "write-off",
                "verbose_name_plural": "write-offs",
            },
        ),
        migrations.AddField(
            model_name="invoiceseries",
            name="credit_notes_of",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_note_series",
                to="billing.invoiceseries",
            ),
        ),
        migrations.AlterField(
            model_name="creditnoteproposal",
            name="status",
            field=models.CharField(
                choices=[("proposed", "Proposed"), ("superseded", "Superseded"), ("accepted", "Accepted")],
                default="proposed",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="invoiceseries",
            name="prefix",
            field=models.CharField(max_length=25, unique=True),
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
                    ("credit_note.issued", "A credit note was issued"),
                    ("refund.succeeded", "Money was sent back"),
                    ("webhook.disabled", "A webhook was switched off"),
                    ("webhook.test", "Test"),
                ],
                max_length=20,
            ),
        ),
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
                    ("top_up", "Top-up receipt"),
                    ("top_up_failed", "Automatic top-up failed"),
                    ("credit_note", "Credit note"),
                    ("refund", "Refund"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="invoice_line_of_organization"),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="credit_notes", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="issued_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="proposal",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_note",
                to="billing.creditnoteproposal",
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="series",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.invoiceseries"
            ),
        ),
        migrations.AddField(
            model_name="creditnoteline",
            name="credit_note",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="billing.creditnote"
            ),
        ),
        migrations.AddField(
            model_name="creditnoteline",
            name="invoice_line",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="credited", to="billing.invoiceline"
            ),
        ),
        migrations.AddField(
            model_name="creditnoteline",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="credit_note",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="billing.creditnote"
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="payment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="billing.payment"
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="started_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="writeoff",
            name="invoice",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="write_off", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="writeoff",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddField(
            model_name="writeoff",
            name="written_off_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddIndex(
            model_name="creditnote",
            index=models.Index(fields=["organization", "-issued_at"], name="note_by_organization"),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.UniqueConstraint(fields=("series", "sequence"), name="one_note_per_sequence"),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="note_of_organization"),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("subtotal__gt", 0),
                    ("tax__gte", 0),
                    (
                        "total",
                        django.db.models.expressions.CombinedExpression(models.F("subtotal"), "+", models.F("tax")),
                    ),
                ),
                name="note_takes_back",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("applied__gte", 0),
                    ("credit_returned__gte", 0),
                    ("to_credit__gte", 0),
                    ("to_refund__gte", 0),
                    (
                        "total",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("applied"), "+", models.F("to_credit")
                                ),
                                "+",
                                models.F("to_refund"),
                            ),
                            "+",
                            models.F("credit_returned"),
                        ),
                    ),
                ),
                name="note_goes_somewhere",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnoteline",
            constraint=models.UniqueConstraint(fields=("credit_note", "invoice_line"), name="one_note_line_per_line"),
        ),
        migrations.AddConstraint(
            model_name="creditnoteline",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount", 0), _negated=True), name="note_line_not_zero"
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(fields=["organization", "-created_at"], name="refund_by_organization"),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["unknown", "pending"])),
                fields=("payment",),
                name="one_open_refund_per_payment",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="refund_positive"),
        ),
        migrations.AddConstraint(
            model_name="writeoff",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="write_off_positive"),
        ),
        migrations.RunSQL(GUARDS, reverse_sql=NO_GUARDS),
        *(
            operation
            for table in ("billing_creditnote", "billing_creditnoteline", "billing_writeoff")
            for operation in (isolate(table), forbid_changes(table))
        ),
        isolate("billing_refund"),
    ]
