"""The site's role of the database makes customers, never operators, whatever a page or a library forgets to check."""

from typing import Any

import pytest
from django.db import DatabaseError, connections
from django.utils import timezone

from accounts.models import User
from tests import stories
from tests.stories import NOON


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


@pytest.mark.parametrize(
    "change", ["is_staff = true", "is_superuser = true", "is_active = false", "date_joined = now()", "id = 9"]
)
def test_flags_cannot_be_changed(cast: stories.Cast, change: str) -> None:
    for email in (cast.acme.owner.email, cast.operator.email):
        with pytest.raises(DatabaseError, match="permission denied"), connections["default"].cursor() as cursor:
            cursor.execute(f"UPDATE accounts_user SET {change} WHERE email = %s", [email])


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_no_operator_can_be_made(cast: stories.Cast, flag: str) -> None:
    with pytest.raises(DatabaseError, match="row-level security"):
        User.objects.create_user("new@acme.example", **{flag: True})
    assert User.objects.create_user("new@acme.example").pk


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM accounts_user",
        "TRUNCATE accounts_user CASCADE",
        "INSERT INTO accounts_user_groups (user_id, group_id) VALUES (1, 1)",
        "INSERT INTO accounts_user_user_permissions (user_id, permission_id) VALUES (1, 1)",
        "INSERT INTO auth_group (name) VALUES ('x')",
        "UPDATE auth_group_permissions SET group_id = 1",
    ],
)
def test_nobody_is_removed_or_given_rights(cast: stories.Cast, statement: str) -> None:
    with pytest.raises(DatabaseError, match="permission denied"), connections["default"].cursor() as cursor:
        cursor.execute(statement)


def test_what_people_change_of_themselves_is_saved_and_nothing_else(cast: stories.Cast) -> None:
    user = User.objects.get(pk=cast.acme.owner.pk)
    changes: dict[str, Any] = {
        "email": "Other@acme.example",
        "name": "김민지",
        "language": "en",
        "organization_name": "Acme",
        "last_login": timezone.now(),
    }
    for name, value in changes.items():
        setattr(user, name, value)
    user.set_password("another long password")
    user.is_staff = True
    user.save()
    saved = User.objects.get(pk=user.pk)
    assert {name: getattr(saved, name) for name in changes} == changes | {"email": "other@acme.example"}
    assert saved.check_password("another long password") and not saved.is_staff


def test_the_system_role_makes_operators_and_stops_users(cast: stories.Cast) -> None:
    user = User.objects.using("system").get(pk=cast.operator.pk)
    assert user.is_staff and user.is_superuser
    user.is_active = False
    user.save(using="system", update_fields=["is_active"])
    assert not User.objects.get(pk=user.pk).is_active
