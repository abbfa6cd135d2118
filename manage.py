#!/usr/bin/env python3
"""Django's commands, against the system that `make run` started, or against the one that DATABASE_URL names."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent
WITHOUT_DATABASE = {
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "help",
    "makemessages",
    "makemigrations",
    "spectacular",
    "--version",
    "--help",
}


def main() -> None:
    use_virtual_environment()
    from config.launch.environment import load_embedded  # only now: importing `config` needs the packages

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if not load_embedded() and not os.environ.get("DATABASE_URL"):
        if command not in WITHOUT_DATABASE:
            sys.exit(
                "No database: start the embedded system with `make run`, or set DATABASE_URL, REDIS_URL and SECRET_KEY."
            )
        supply_placeholders()

    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration: {error}")
    except OperationalError as error:
        # A statement that fails has an SQL state; without one there is no connection at all.
        if getattr(error.__cause__, "sqlstate", None) is not None:
            raise
        reason = " ".join(str(error).split())
        sys.exit(f"The database does not answer; start it with `make run`, or correct DATABASE_URL. {reason}")


def use_virtual_environment() -> None:
    """Run again with the checkout's own Python where there is one: another may have a Django, but not the locked one."""
    own = CHECKOUT / ".venv"
    if (own / "bin" / "python").exists():
        if Path(sys.prefix).resolve() != own.resolve():
            os.execv(own / "bin" / "python", [str(own / "bin" / "python"), *sys.argv])
    elif not (find_spec("django") and find_spec("psycopg")):
        sys.exit("Nothing is installed yet: `make run` does it.")


def supply_placeholders() -> None:
    """Settings name a database and a secret; commands that touch neither must still run."""
    for name, value in {
        "SECRET_KEY": "unused, because nothing is connected to",
        "DATABASE_URL": "postgres://127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    main()
