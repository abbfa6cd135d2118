"""`python manage.py setup_database`: the database, its roles and rights, then all migrations as the owner."""

import os
import time
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import database_roles

CONNECTIONS = {"owner": "owner", "app": "default", "system": "system"}
"""Role → the connection in settings.DATABASES that logs in as it."""


class Command(BaseCommand):
    help = "Create the database, its three roles and their rights, and migrate. Safe to repeat."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-migrate", action="store_true", help="roles and rights only")

    def handle(self, *args: Any, no_migrate: bool, **options: Any) -> None:
        if brings_own_roles():
            self.stdout.write("Roles: taken from DATABASE_OWNER_URL, DATABASE_APP_URL and DATABASE_SYSTEM_URL.")
        else:
            self._create()
        if not no_migrate:
            started = time.monotonic()
            call_command(
                "migrate", database="owner", interactive=False, verbosity=options["verbosity"], stdout=self.stdout
            )
            self.stdout.write(self.style.SUCCESS(f"Database ready ({time.monotonic() - started:.1f} s)."))

    def _create(self) -> None:
        admin_dsn, prefix = os.environ["DATABASE_URL"], settings.DATABASE_ROLE_PREFIX
        try:
            created = database_roles.create_database(admin_dsn=admin_dsn)
            passwords = {role: settings.DATABASES[alias]["PASSWORD"] for role, alias in CONNECTIONS.items()}
            database_roles.create_roles(admin_dsn=admin_dsn, prefix=prefix, passwords=passwords)
            database_roles.grant_rights(admin_dsn=admin_dsn, prefix=prefix)
        except (psycopg.Error, database_roles.UnsafeRole) as error:
            raise CommandError(f"Setting up the database failed: {str(error).strip()}") from error
        names = ", ".join(database_roles.role_name(prefix, role) for role in database_roles.ROLES)
        self.stdout.write(f"Database {'created' if created else 'found'}, roles {names}.")


def brings_own_roles() -> bool:
    """Somebody else made the roles and gave us a login for each: we have no right to change them, and no need."""
    return all(f"DATABASE_{role.upper()}_URL" in os.environ for role in database_roles.ROLES)
