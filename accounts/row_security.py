"""SQL for row-level security, used by migrations of every app.

The policy of the `app` role accepts the *set* of organizations that the transaction named with
`SET LOCAL invoicedream.organizations` (see `tenancy.tenant_scope`), so a batch may span tenants.
The `system` role sees all rows. Row security is FORCEd, so even the owner of the tables sees none.
"""

from django.conf import settings
from django.db.migrations import RunSQL

SETTING = "invoicedream.organizations"
VISIBLE = f"(NULLIF(current_setting('{SETTING}', true), '')::bigint[])"


def role(name: str) -> str:
    """The full name of the database role "owner", "app" or "system"."""
    return f"{settings.DATABASE_ROLE_PREFIX}_{name}"


def isolate(table: str, *, column: str = "organization_id", shared_when_null: bool = False) -> RunSQL:
    """Put `table` behind row security by its tenant `column`; rows with NULL are readable by all where `shared_when_null`."""
    own = f"{column} = ANY ({VISIBLE})"
    readable = f"({own} OR {column} IS NULL)" if shared_when_null else own
    return RunSQL(
        f"""
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON {table} TO {role("app")} USING ({readable}) WITH CHECK ({own});
        CREATE POLICY everything ON {table} TO {role("system")} USING (true) WITH CHECK (true);
        """,
        reverse_sql=f"""
        DROP POLICY everything ON {table};
        DROP POLICY tenant ON {table};
        ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
        """,
    )


def revoke(table: str, *, rights: str, roles: tuple[str, ...] = ("app", "system")) -> RunSQL:
    """Take `rights` (such as "UPDATE, DELETE, TRUNCATE") on `table` away from `roles`: how hot tables stay immutable."""
    names = ", ".join(role(name) for name in roles)
    return RunSQL(
        f"REVOKE {rights} ON {table} FROM {names};",
        reverse_sql=f"GRANT {rights} ON {table} TO {names};",
    )


def forbid_changes(table: str) -> RunSQL:
    """Refuse UPDATE and DELETE on `table` by a trigger: how cold history stays immutable."""
    return RunSQL(
        f"""
        CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION refuse_change_of_history();
        """,
        reverse_sql=f"DROP TRIGGER immutable ON {table};",
    )


CREATE_IMMUTABILITY_FUNCTION = RunSQL(
    """
    CREATE FUNCTION refuse_change_of_history() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% of % is refused: rows of this table are history; correct them with new rows', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END $$;
    """,
    reverse_sql="DROP FUNCTION refuse_change_of_history();",
)
