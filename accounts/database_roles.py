"""Before the first migration: the database, its three roles and what each may do.

Roles belong to the whole cluster, so migrations cannot make them: parallel tests and several databases would race.
Plain psycopg, no Django: `setup_database`, the tests and a person with a shell use the same functions.
Works on PostgreSQL 15 to 18, as superuser or as a login that owns the database and has CREATEROLE.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import conninfo, sql

ROLES = ("owner", "app", "system")
"""`owner` migrates; `app` sees the rows of the organizations its transaction names; `system` sees all rows."""

_LOCK = 0x1D_0B
"""Advisory lock of `create_roles`; any constant that nothing else in the cluster uses."""


class UnsafeRole(Exception):
    """An existing role could walk around row-level security."""


def role_name(prefix: str, role: str) -> str:
    return f"{prefix}_{role}"


def create_database(*, admin_dsn: str) -> bool:
    """Create the database that `admin_dsn` names unless it exists; returns whether it did. Needs CREATEDB then."""
    name = str(conninfo.conninfo_to_dict(admin_dsn)["dbname"])
    try:
        psycopg.connect(admin_dsn).close()
        return False
    except psycopg.OperationalError:
        maintenance = conninfo.make_conninfo(admin_dsn, dbname="postgres")
    with psycopg.connect(maintenance, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return False
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
        with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            connection.execute(statement)
    return True


def create_roles(*, admin_dsn: str, prefix: str, passwords: Mapping[str, str]) -> None:
    """Make the three login roles, or give existing ones these passwords (role → password). Safe to race."""

    def work(connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        for role in ROLES:
            _create_role(connection, name=role_name(prefix, role), password=passwords[role])

    _retry(admin_dsn, work)


def _create_role(connection: psycopg.Connection[Any], *, name: str, password: str) -> None:
    facts = connection.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    if facts is None:
        _execute(connection, "CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE", name)
    elif any(facts):
        raise UnsafeRole(
            f"role {name} is superuser or bypasses row security: ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS"
        )
    # Hashed here, so that no server log can hold the password itself.
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier)))
    if not _is_superuser(connection):
        # Only a member may grant in the role's name; from PostgreSQL 16 on creating it is not enough.
        _execute(connection, "GRANT {} TO CURRENT_USER", name)


def grant_rights(*, admin_dsn: str, prefix: str) -> None:
    """Inside the database: extension, schema, and the rights that tables made by `owner` give to the other two."""
    owner, app, system = (role_name(prefix, role) for role in ROLES)

    def work(connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
        database = connection.info.dbname
        _execute(connection, "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}", database, owner)
        _execute(connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}, {}", database, app, system)
        # The owner first: it is the new owner of the schema who must be able to give the rest away.
        _execute(connection, "ALTER SCHEMA public OWNER TO {}", owner)
        _execute(connection, "GRANT USAGE ON SCHEMA public TO {}, {}", app, system)
        rights: tuple[LiteralString, ...] = (
            "SELECT, INSERT, UPDATE, DELETE ON TABLES",
            "USAGE, SELECT ON SEQUENCES",
            "EXECUTE ON FUNCTIONS",
        )
        for right in rights:
            _execute(
                connection,
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA public GRANT " + right + " TO {}, {}",
                owner,
                app,
                system,
            )

    _retry(admin_dsn, work)


def drop_roles(*, admin_dsn: str, prefix: str) -> None:
    """Take the roles away again once no database holds anything of theirs (tests on a shared server)."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        for role in reversed(ROLES):
            _execute(connection, "DROP ROLE IF EXISTS {}", role_name(prefix, role))


def _retry(admin_dsn: str, work: Callable[[psycopg.Connection[Any]], None]) -> None:
    """Advisory locks hold within one database only; two databases of one cluster still collide over its roles."""
    attempts = 10
    for attempt in range(1, attempts + 1):
        try:
            with psycopg.connect(admin_dsn) as connection:
                connection.execute("SET LOCAL client_min_messages = warning")
                work(connection)
            return
        except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject, psycopg.errors.InternalError_):
            # InternalError is "tuple concurrently updated", the cluster's word for such a collision.
            if attempt == attempts:
                raise
            time.sleep(0.05 * attempt)


def _is_superuser(connection: psycopg.Connection[Any]) -> bool:
    return bool(connection.info.parameter_status("is_superuser") == "on")


def _execute(connection: psycopg.Connection[Any], statement: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))
