"""Recording goes in one message where terms and months are as they were known; if they are not, it must fail."""

from django.db import migrations

TERMS_CHANGED = """
CREATE FUNCTION metering_terms_have_changed() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the terms or the open months are not what they were; record by asking first'
        USING ERRCODE = 'serialization_failure';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0009_proven_days")]

    operations = [
        migrations.RunSQL(TERMS_CHANGED, reverse_sql="DROP FUNCTION metering_terms_have_changed();"),
    ]
