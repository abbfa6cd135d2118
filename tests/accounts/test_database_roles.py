"""What `setup_database` does to a PostgreSQL: three roles, none powerful; repeatable, and safe when two run at once."""

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from accounts import database_roles

Connection = psycopg.Connection[tuple[object, ...]]
PASSWORDS = {"owner": "one", "app": "two", "system": "three"}


@dataclass(frozen=True)
class Place:
    """A database that no test made yet, under an administrator who is no superuser, and a prefix for roles."""

    administrator: str
    prefix: str

    @property
    def admin_dsn(self) -> str:
        host = os.environ["DATABASE_URL"].rpartition("@")[2].partition("/")[0]
        return f"postgres://{self.administrator}:secret@{host}/{self.administrator}"

    def dsn(self, role: str) -> str:
        host = self.admin_dsn.rpartition("@")[2]
        return f"postgres://{self.prefix}_{role}:{PASSWORDS[role]}@{host}"

    def set_up(self) -> None:
        database_roles.create_database(admin_dsn=self.admin_dsn)
        database_roles.create_roles(admin_dsn=self.admin_dsn, prefix=self.prefix, passwords=PASSWORDS)
        database_roles.grant_rights(admin_dsn=self.admin_dsn, prefix=self.prefix)


@pytest.fixture
def place(servers: Connection) -> Iterator[Place]:
    name = f"test_{secrets.token_hex(4)}"
    servers.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD 'secret'").format(sql.Identifier(name)))
    yield Place(administrator=name, prefix=f"{name}_r")
    servers.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    database_roles.drop_roles(admin_dsn=os.environ["DATABASE_URL"], prefix=f"{name}_r")
    servers.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_makes_roles_without_power_even_as_a_modest_administrator(place: Place, servers: Connection) -> None:
    place.set_up()
    powers = "rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication"
    found = servers.execute(f"SELECT rolname, {powers} FROM pg_roles WHERE rolname LIKE %s", [f"{place.prefix}_%"])
    assert sorted(found.fetchall()) == [(f"{place.prefix}_{role}", False) for role in ("app", "owner", "system")]


def test_repeating_it_changes_passwords_and_nothing_else(place: Place) -> None:
    place.set_up()
    with psycopg.connect(place.dsn("owner")) as owner:
        owner.execute("CREATE TABLE kept (id int)")
    place.set_up()
    with psycopg.connect(place.dsn("app")) as app:
        assert app.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    database_roles.create_roles(
        admin_dsn=place.admin_dsn, prefix=place.prefix, passwords=PASSWORDS | {"app": "another"}
    )
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(place.dsn("app"))


def test_two_at_once_both_succeed(place: Place) -> None:
    database_roles.create_database(admin_dsn=place.admin_dsn)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(place.set_up) for _ in range(4)]:
            done.result()


def test_tables_of_the_owner_serve_the_other_two_who_own_nothing(place: Place) -> None:
    place.set_up()
    with psycopg.connect(place.dsn("owner")) as owner:
        owner.execute("CREATE TABLE facts (id int GENERATED ALWAYS AS IDENTITY, span int4range)")
        owner.execute("ALTER TABLE facts ADD EXCLUDE USING gist (id WITH =, span WITH &&)")  # needs btree_gist
    for role in ("app", "system"):
        with psycopg.connect(place.dsn(role)) as connection:
            connection.execute("INSERT INTO facts (span) VALUES ('[1,2)')")
            connection.execute("UPDATE facts SET span = '[2,3)'")
            connection.execute("DELETE FROM facts")
            for forbidden in ("TRUNCATE facts", "CREATE TABLE mine (id int)", "DROP TABLE facts"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(forbidden)


def test_refuses_a_role_that_could_walk_around_row_security(place: Place, servers: Connection) -> None:
    place.set_up()
    servers.execute(sql.SQL("ALTER ROLE {} BYPASSRLS").format(sql.Identifier(f"{place.prefix}_system")))
    with pytest.raises(database_roles.UnsafeRole, match="NOBYPASSRLS"):
        place.set_up()


def test_the_password_itself_reaches_no_server_log(place: Place, servers: Connection) -> None:
    place.set_up()
    stored = servers.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [f"{place.prefix}_app"]).fetchone()
    assert stored is not None and str(stored[0]).startswith("SCRAM-SHA-256$")
