"""Invoices are history once finalized, settled payments stay settled, and nothing refers across tenants."""

from django.db import migrations

from accounts.row_security import forbid_changes, isolate

GUARDS = """
-- An invoice is finalized when its row is made; afterwards only what became of it may change.
CREATE FUNCTION keep_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fate text[] := ARRAY['status', 'paid_at', 'voided_at', 'void_reason'];
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(OLD) - fate <> to_jsonb(NEW) - fate THEN
        RAISE EXCEPTION 'invoice % is final: void it and issue another', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.status = 'void' AND NEW.status <> 'void' THEN
        RAISE EXCEPTION 'invoice % is void and stays so', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_invoice FOR EACH ROW EXECUTE FUNCTION keep_invoice();

-- Payment states are monotonic: what is settled is not unsettled, whatever order webhooks come in.
CREATE FUNCTION keep_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.amount <> NEW.amount OR OLD.currency <> NEW.currency OR OLD.invoice_id <> NEW.invoice_id
        OR OLD.idempotency_key <> NEW.idempotency_key
        OR (OLD.status IN ('succeeded', 'failed', 'canceled') AND NEW.status <> OLD.status)
    THEN
        RAISE EXCEPTION 'payment % is settled or would be changed in what it pays', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_payment FOR EACH ROW EXECUTE FUNCTION keep_payment();

-- A closed period stays closed.
CREATE FUNCTION keep_period() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.status = 'closed' AND NEW.status <> 'closed'
        OR (OLD.organization_id, OLD.starts_at, OLD.ends_at) <> (NEW.organization_id, NEW.starts_at, NEW.ends_at)
    THEN
        RAISE EXCEPTION 'period % is closed or would be moved', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON ledger_billingperiod FOR EACH ROW EXECUTE FUNCTION keep_period();

ALTER TABLE billing_invoice ADD CONSTRAINT invoice_period_is_of_organization
    FOREIGN KEY (organization_id, period_id) REFERENCES ledger_billingperiod (organization_id, id);
ALTER TABLE billing_invoiceline ADD CONSTRAINT line_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
ALTER TABLE billing_document ADD CONSTRAINT document_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
ALTER TABLE billing_outboxmail ADD CONSTRAINT mail_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
ALTER TABLE billing_payment ADD CONSTRAINT payment_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
"""
NO_GUARDS = """
ALTER TABLE billing_payment DROP CONSTRAINT payment_invoice_is_of_organization;
ALTER TABLE billing_outboxmail DROP CONSTRAINT mail_invoice_is_of_organization;
ALTER TABLE billing_document DROP CONSTRAINT document_invoice_is_of_organization;
ALTER TABLE billing_invoiceline DROP CONSTRAINT line_invoice_is_of_organization;
ALTER TABLE billing_invoice DROP CONSTRAINT invoice_period_is_of_organization;
DROP TRIGGER immutable ON ledger_billingperiod;
DROP TRIGGER immutable ON billing_payment;
DROP TRIGGER immutable ON billing_invoice;
DROP FUNCTION keep_period();
DROP FUNCTION keep_payment();
DROP FUNCTION keep_invoice();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("ledger", "0003_credit_use")]

    operations = [
        migrations.RunSQL(GUARDS, reverse_sql=NO_GUARDS),
        isolate("ledger_credituse"),
        forbid_changes("ledger_credituse"),
        isolate("billing_invoice"),
        isolate("billing_invoiceline"),
        forbid_changes("billing_invoiceline"),
        isolate("billing_document"),
        forbid_changes("billing_document"),
        isolate("billing_outboxmail"),
        isolate("billing_paymentmethod"),
        isolate("billing_payment"),
    ]
