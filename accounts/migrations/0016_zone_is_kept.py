"""An organization's time zone stays what it was when it signed up: its periods, rollups and exchange rates are cut by it."""

from django.db import migrations

KEEP_ZONE = """
CREATE FUNCTION keep_zone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the time zone of organization % is kept: its months are cut by it', OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER zone_is_kept BEFORE UPDATE ON accounts_organization
    FOR EACH ROW WHEN (NEW.zone IS DISTINCT FROM OLD.zone) EXECUTE FUNCTION keep_zone();
"""
NO_GUARD = """
DROP TRIGGER zone_is_kept ON accounts_organization;
DROP FUNCTION keep_zone();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0015_closing_moment")]

    operations = [migrations.RunSQL(KEEP_ZONE, reverse_sql=NO_GUARD)]
