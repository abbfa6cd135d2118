"""What a customer had twice may come back: the excess of a refund shrinks then."""

from django.db import migrations

KEEP_REFUNDS = """
-- As in 0023, but what was sent twice may come back.
CREATE OR REPLACE FUNCTION keep_refund() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fate text[] := ARRAY['status', 'reference', 'failure', 'settled_at', 'checked_at', 'excess'];
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(OLD) - fate <> to_jsonb(NEW) - fate
        OR (OLD.status = 'failed' AND NEW.status NOT IN ('failed', 'succeeded'))
        OR (OLD.status = 'succeeded' AND NEW.status NOT IN ('succeeded', 'failed'))
        OR ({changed} AND (OLD.status <> 'failed' OR NEW.status <> 'succeeded'))
    THEN
        RAISE EXCEPTION 'refund % is settled or would be changed in what it gives back', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0029_slips_taken_back")]

    operations = [
        migrations.RunSQL(
            KEEP_REFUNDS.format(changed="NEW.excess > OLD.excess"),
            reverse_sql=KEEP_REFUNDS.format(changed="NEW.excess <> OLD.excess"),
        )
    ]
