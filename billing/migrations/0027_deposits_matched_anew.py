"""What was decided of a deposit can be undone, once; its payments are taken back, and the deposit waits for another decision."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

KEEP_DECISION = """
DROP TRIGGER immutable ON billing_depositdecision;
CREATE FUNCTION keep_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fate text[] := ARRAY['undone_at', 'undone_by_id', 'undo_reason'];
BEGIN
    IF TG_OP = 'DELETE' OR OLD.undone_at IS NOT NULL OR to_jsonb(OLD) - fate <> to_jsonb(NEW) - fate THEN
        RAISE EXCEPTION 'decision % is history: undo it, once', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_depositdecision
    FOR EACH ROW EXECUTE FUNCTION keep_decision();
"""
FORGET_DECISION = """
DROP TRIGGER immutable ON billing_depositdecision;
DROP FUNCTION keep_decision();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_depositdecision
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_history();
"""
KEEP_PAYMENT = """
-- As in 0012; a transfer may be taken back, once.
CREATE OR REPLACE FUNCTION keep_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.amount <> NEW.amount OR OLD.currency <> NEW.currency
        OR OLD.invoice_id IS DISTINCT FROM NEW.invoice_id OR OLD.idempotency_key <> NEW.idempotency_key
        OR (OLD.status IN ('succeeded', 'failed', 'canceled', 'reversed') AND NEW.status <> OLD.status {but})
    THEN
        RAISE EXCEPTION 'payment % is settled or would be changed in what it pays', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
TAKEN_BACK = "AND NOT (OLD.status = 'succeeded' AND NEW.status = 'reversed' AND OLD.processor = 'bank_transfer')"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0015_closing_moment"),
        ("billing", "0024_document_template"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="depositdecision",
            name="undo_reason",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="depositdecision",
            name="undone_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="depositdecision",
            name="undone_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AlterField(
            model_name="depositdecision",
            name="deposit",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to="billing.bankdeposit"
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
                    ("due_soon", "Due soon"),
                    ("overdue", "Overdue reminder"),
                    ("top_up", "Top-up receipt"),
                    ("top_up_failed", "Automatic top-up failed"),
                    ("credit_note", "Credit note"),
                    ("refund", "Refund"),
                    ("payment_reversed", "Payment taken back"),
                    ("tax_invoice", "Tax invoice issued"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("requires_action", "Waiting for the customer"),
                    ("unknown", "Unknown"),
                    ("succeeded", "Paid"),
                    ("failed", "Failed"),
                    ("canceled", "Canceled"),
                    ("reversed", "Taken back"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="depositdecision",
            constraint=models.UniqueConstraint(
                condition=models.Q(("undone_at", None)), fields=("deposit",), name="one_decision_per_deposit"
            ),
        ),
        migrations.RunSQL(KEEP_DECISION, reverse_sql=FORGET_DECISION),
        migrations.RunSQL(KEEP_PAYMENT.format(but=TAKEN_BACK), reverse_sql=KEEP_PAYMENT.format(but="")),
    ]
