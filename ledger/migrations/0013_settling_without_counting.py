"""Recording settles and commits in one message where there are no spend limits to count; if some were set meanwhile, it must fail."""

from django.db import migrations

LIMITS_WERE_SET = """
CREATE FUNCTION ledger_limits_were_set() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'spend limits were set while usage was being recorded; try the transaction again'
        USING ERRCODE = 'serialization_failure';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0009_hold_tags")]

    operations = [
        migrations.RunSQL(LIMITS_WERE_SET, reverse_sql="DROP FUNCTION ledger_limits_were_set();"),
    ]
