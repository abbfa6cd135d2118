"""Proposals of credit notes: what closed periods would have been at prices corrected afterwards. Only their status ever changes."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.expressions import CombinedExpression

from accounts.row_security import isolate

GUARDS = """
CREATE FUNCTION keep_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.status <> 'proposed' OR to_jsonb(OLD) - 'status' <> to_jsonb(NEW) - 'status' THEN
        RAISE EXCEPTION 'proposal % stays as it was made', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_creditnoteproposal FOR EACH ROW EXECUTE FUNCTION keep_proposal();
ALTER TABLE billing_creditnoteproposal ADD CONSTRAINT proposal_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
"""
NO_GUARDS = """
ALTER TABLE billing_creditnoteproposal DROP CONSTRAINT proposal_invoice_is_of_organization;
DROP TRIGGER immutable ON billing_creditnoteproposal;
DROP FUNCTION keep_proposal();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0004_room_for_processors_names"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CreditNoteProposal",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "status",
                    models.CharField(
                        choices=[("proposed", "Proposed"), ("superseded", "Superseded")],
                        default="proposed",
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(max_length=300)),
                ("currency", models.CharField(choices=[("KRW", "KRW"), ("USD", "USD")], max_length=3)),
                ("subtotal_change", models.DecimalField(decimal_places=2, max_digits=18)),
                ("tax_change", models.DecimalField(decimal_places=2, max_digits=18)),
                ("total_change", models.DecimalField(decimal_places=2, max_digits=18)),
                ("exact_change", models.DecimalField(decimal_places=20, max_digits=38)),
                ("event_count", models.PositiveIntegerField()),
                ("unpriced_count", models.PositiveIntegerField(default=0)),
                ("lines", models.JSONField()),
                ("created_at", models.DateTimeField()),
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
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_note_proposals",
                        to="billing.invoice",
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
                "verbose_name": "credit note proposal",
                "verbose_name_plural": "credit note proposals",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("invoice",), condition=models.Q(status="proposed"), name="one_open_proposal_per_invoice"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            total_change=CombinedExpression(models.F("subtotal_change"), "+", models.F("tax_change"))
                        ),
                        name="proposal_total_is_subtotal_and_tax",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, reverse_sql=NO_GUARDS),
        isolate("billing_creditnoteproposal"),
    ]
