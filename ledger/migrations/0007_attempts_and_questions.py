"""What a hold must remember so that a call whose end nobody saw can be asked about, and charged as if it had been seen."""

from django.db import migrations

ADD_COLUMNS = """
ALTER TABLE ledger_hold
    ADD COLUMN attempt smallint NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    ADD COLUMN asked smallint NOT NULL DEFAULT 0 CHECK (asked >= 0),
    ADD COLUMN ask_after timestamptz,
    ADD COLUMN end_user text COLLATE "C";
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_spend_limits")]

    operations = [
        migrations.RunSQL(
            ADD_COLUMNS,
            reverse_sql="ALTER TABLE ledger_hold DROP COLUMN attempt, DROP COLUMN asked, DROP COLUMN ask_after,"
            " DROP COLUMN end_user;",
        )
    ]
