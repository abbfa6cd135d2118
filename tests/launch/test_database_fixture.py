"""The `db` fixture itself: isolation, roles, and a clear refusal without it."""

import subprocess
import sys

import pytest
from django.db import connections

from config.launch.places import CHECKOUT


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_has_a_database_of_its_own(db: None, attempt: int) -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute("CREATE TABLE scratch (id int)")  # fails the second time unless the first one is gone


def test_each_connection_has_its_role(db: None) -> None:
    logins = {}
    for alias in ("default", "system", "owner"):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_user, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
            logins[alias] = cursor.fetchone()
    assert [name.rpartition("_")[2] for name, _ in logins.values()] == ["app", "system", "owner"]
    assert not any(powerful for _, powerful in logins.values())


def test_without_the_fixture_the_database_is_out_of_reach() -> None:
    with pytest.raises(RuntimeError, match='"db"'):
        connections["default"].ensure_connection()


def test_a_child_process_works_on_the_same_database(process_environment: dict[str, str]) -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute("CREATE TABLE seen_by_the_child (id int)")
    code = "import django; django.setup(); from django.db import connections as c; "
    code += "print(c['owner'].introspection.table_names())"
    child = subprocess.run(
        [sys.executable, "-c", code], env=process_environment, cwd=CHECKOUT, capture_output=True, text=True
    )
    assert "seen_by_the_child" in child.stdout, child.stderr
