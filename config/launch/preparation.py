"""What must be right before the services start: static files and the database. Skipped while nothing changed."""

import os
import shutil
import sys
from pathlib import Path

from config.launch import stamps
from config.launch.children import Children
from config.launch.display import step
from config.launch.installation import NODE_STAMP, STAMP
from config.launch.places import CHECKOUT

APPS = ("accounts", "billing", "catalog", "console", "dashboard", "demo", "gateway", "ledger", "metering")
SETTINGS = CHECKOUT / "config" / "settings.py"
ALL_SETTINGS = [SETTINGS, SETTINGS.with_name("console_settings.py")]


def collect_static_files(children: Children, *, var: Path, environment: dict[str, str]) -> None:
    """Into `var/static`, under names that carry their content's hash: the site's files and what the console has besides."""
    target, stamp = var / "static", var / "static.json"
    wanted = {"files": stamps.fingerprint([_own_static_files(), _packages(), stamps.digests(ALL_SETTINGS)])}
    if stamps.read(stamp) == wanted and (target / "staticfiles.json").exists():
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    command = ("collectstatic", "--noinput", "--settings", "config.console_settings")
    with step("Static files"):
        _manage(children, *command, what="Collecting the static files", var=var, environment=environment)
    stamps.write(stamp, wanted)


def set_up_database(children: Children, *, var: Path, environment: dict[str, str], data: Path | None) -> bool:
    """Roles and migrations; returns whether there was anything to do. `data` is the embedded cluster's folder.

    A server of somebody else's is always looked at.
    """
    stamp = data.with_name("set_up.json") if data else None
    migrations = [file for app in APPS for file in (CHECKOUT / app / "migrations").glob("*.py")]
    made_from = [*migrations, *(CHECKOUT / "accounts").glob("**/*database*.py"), SETTINGS]
    names = ("SECRET_KEY", "DATABASE_ROLE_PREFIX")
    wanted = stamps.digests(made_from) | {
        "else": stamps.fingerprint([_packages(), [environment.get(name) for name in names]])
    }
    if stamp and stamps.read(stamp) == wanted:
        return False
    with step("Database"):
        _manage(children, "setup_database", what="Setting up the database", var=var, environment=environment)
    if stamp:
        stamps.write(stamp, wanted)
    return True


def seed_demo(children: Children, *, file: Path, var: Path, environment: dict[str, str]) -> None:
    """Shows its own progress. Quick when the demo is there already; then it only notes today's addresses in `file`."""
    what = "Making the demo's data"
    _manage(children, "seed_demo", "--write", str(file), what=what, var=var, environment=environment, visible=True)


def _manage(
    children: Children, *arguments: str, what: str, var: Path, environment: dict[str, str], visible: bool = False
) -> None:
    command = [sys.executable, "manage.py", *arguments]
    log = var / "log" / f"{arguments[0]}.log"
    children.run(command, what=what, log=log, environment=environment, visible=visible)


def _packages() -> list[dict[str, str]]:
    return [stamps.read(STAMP), stamps.read(NODE_STAMP)]


def _own_static_files() -> list[tuple[str, int, int]]:
    """By name, size and time: reading them all would cost more than it saves."""
    folders = [CHECKOUT / "static", *(CHECKOUT / app / "static" for app in APPS)]
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file())
    return [(str(file), (facts := os.stat(file)).st_size, facts.st_mtime_ns) for file in files]
