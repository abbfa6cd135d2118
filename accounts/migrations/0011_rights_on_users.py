"""The `app` role makes ordinary users and changes what people may change of themselves; who is an operator is not among it."""

from django.db import migrations

from accounts.row_security import revoke, role

OWN_COLUMNS = "email, name, language, organization_name, password, last_login"
RIGHTS = ("accounts_user_groups", "accounts_user_user_permissions", "auth_group", "auth_group_permissions")

GUARD_USERS = f"""
REVOKE UPDATE, DELETE ON accounts_user FROM {role("app")};
GRANT UPDATE ({OWN_COLUMNS}) ON accounts_user TO {role("app")};
ALTER TABLE accounts_user ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts_user FORCE ROW LEVEL SECURITY;
CREATE POLICY everybody ON accounts_user FOR SELECT TO {role("app")} USING (true);
CREATE POLICY customers ON accounts_user FOR INSERT TO {role("app")} WITH CHECK (NOT is_staff AND NOT is_superuser);
CREATE POLICY own_columns ON accounts_user FOR UPDATE TO {role("app")} USING (true);
CREATE POLICY everything ON accounts_user TO {role("system")} USING (true) WITH CHECK (true);
"""
RELEASE_USERS = f"""
DROP POLICY everything ON accounts_user;
DROP POLICY own_columns ON accounts_user;
DROP POLICY customers ON accounts_user;
DROP POLICY everybody ON accounts_user;
ALTER TABLE accounts_user NO FORCE ROW LEVEL SECURITY;
ALTER TABLE accounts_user DISABLE ROW LEVEL SECURITY;
REVOKE UPDATE ({OWN_COLUMNS}) ON accounts_user FROM {role("app")};
GRANT UPDATE, DELETE ON accounts_user TO {role("app")};
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_rate_limits"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        migrations.RunSQL(GUARD_USERS, reverse_sql=RELEASE_USERS),
        *(revoke(table, rights="INSERT, UPDATE, DELETE", roles=("app",)) for table in RIGHTS),
    ]
