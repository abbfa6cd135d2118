"""Paid credit that goes back to the customer; refunds are of it or of a credit note, and one taken for failed may succeed after all."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import forbid_changes, isolate

KEEP_REFUNDS = """
-- As in 0011, but an answer that comes late counts: what we took for failed was sent after all.
CREATE OR REPLACE FUNCTION keep_refund() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fate text[] := ARRAY['status', 'reference', 'failure', 'settled_at', 'checked_at', 'excess'];
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(OLD) - fate <> to_jsonb(NEW) - fate
        OR (OLD.status = 'failed' AND NEW.status NOT IN ('failed', 'succeeded'))
        OR (OLD.status = 'succeeded' AND NEW.status NOT IN ('succeeded', 'failed'))
        OR (OLD.excess <> NEW.excess AND (OLD.status <> 'failed' OR NEW.status <> 'succeeded'))
    THEN
        RAISE EXCEPTION 'refund % is settled or would be changed in what it gives back', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

ALTER TABLE billing_creditpayout ADD CONSTRAINT payout_credit_is_of_organization
    FOREIGN KEY (organization_id, credit_use_id) REFERENCES ledger_credituse (organization_id, id);
ALTER TABLE billing_refund ADD CONSTRAINT refund_payout_is_of_organization
    FOREIGN KEY (organization_id, credit_payout_id) REFERENCES billing_creditpayout (organization_id, id);
"""
NO_PAYOUTS = """
ALTER TABLE billing_refund DROP CONSTRAINT refund_payout_is_of_organization;
ALTER TABLE billing_creditpayout DROP CONSTRAINT payout_credit_is_of_organization;
CREATE OR REPLACE FUNCTION keep_refund() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0014_business_standing"),
        ("billing", "0022_tax_invoices_anew"),
        ("ledger", "0015_credit_uses_by_organization"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="refund",
            name="excess",
            field=models.DecimalField(decimal_places=2, default=0, max_digits=18),
        ),
        migrations.AlterField(
            model_name="refund",
            name="credit_note",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="billing.creditnote"
            ),
        ),
        migrations.AlterField(
            model_name="refund",
            name="payment",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="billing.payment"
            ),
        ),
        migrations.CreateModel(
            name="CreditPayout",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=100)),
                ("currency", models.CharField(max_length=3)),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
                ("taken_at", models.DateTimeField()),
                (
                    "credit_use",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="payout", to="ledger.credituse"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
                (
                    "taken_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "credit refund",
                "verbose_name_plural": "credit refunds",
            },
        ),
        migrations.AddField(
            model_name="refund",
            name="credit_payout",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="billing.creditpayout",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(("excess__gte", 0), ("excess__lte", models.F("amount"))),
                name="refund_excess_is_of_it",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("credit_note", None), ("credit_payout__isnull", False)),
                    models.Q(("credit_note__isnull", False), ("credit_payout", None)),
                    _connector="OR",
                ),
                name="refund_of_a_note_or_a_payout",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("payment__isnull", False),
                    models.Q(("credit_note", None), ("processor", "bank_transfer")),
                    _connector="OR",
                ),
                name="refund_without_payment_by_hand",
            ),
        ),
        migrations.AddIndex(
            model_name="creditpayout",
            index=models.Index(fields=["organization", "-taken_at"], name="payout_by_organization"),
        ),
        migrations.AddConstraint(
            model_name="creditpayout",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="payout_of_organization"),
        ),
        migrations.AddConstraint(
            model_name="creditpayout",
            constraint=models.UniqueConstraint(fields=("organization", "key"), name="one_payout_per_key"),
        ),
        migrations.RunSQL(KEEP_REFUNDS, reverse_sql=NO_PAYOUTS),
        isolate("billing_creditpayout"),
        forbid_changes("billing_creditpayout"),
    ]
