"""What a caller files a call under is charged with it even where nobody saw its end, so its hold remembers it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0008_call_keys")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE ledger_hold ADD COLUMN tags jsonb;", reverse_sql="ALTER TABLE ledger_hold DROP COLUMN tags;"
        )
    ]
