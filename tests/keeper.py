"""Keeps the servers of one test run: starts them, migrates the template database, and cleans up when the run ends.

A process of its own (`python -m tests.keeper`), because xdist's workers share the servers and any of them may die. It
stops on SIGTERM, or by itself once the run's first process is gone, however that ended.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from accounts import database_roles
from config.launch import places, ports, servers
from config.launch.environment import write_private
from config.launch.processes import birth, signal_group
from tests import environment

READY, FAILED = "ready", "failed"


class Stop(Exception):
    pass


def main() -> None:
    folder = environment.folder()
    owner = int(os.environ[environment.OWNER])
    born = birth(owner)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    children: list[subprocess.Popen[bytes]] = []
    home = places.memory_home() or places.temporary_home()  # some file systems make a thousand new files slowly
    try:
        try:
            children += start_servers(home=home, log=folder / "servers.log")
            make_template(log=folder / "migrate.log")
            write_private(folder / READY, str(os.getpid()))
        except (places.LaunchError, psycopg.Error, OSError, subprocess.CalledProcessError) as error:
            write_private(folder / FAILED, f"{error}\n{tail(folder / 'servers.log')}\n{tail(folder / 'migrate.log')}")
        while birth(owner) == born:
            time.sleep(0.5)
    except Stop:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        clean_up(children)
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _stop(*_: object) -> None:
    raise Stop


def start_servers(*, home: Path, log: Path) -> list[subprocess.Popen[bytes]]:
    embedded, children = os.environ[environment.EMBEDDED], []
    if "REDIS_URL" in embedded:
        url = urlsplit(os.environ["REDIS_URL"])
        assert url.port and url.password
        valkey = servers.Valkey(port=url.port, password=url.password, log=log)
        children.append(valkey.start())
    if "DATABASE_URL" in embedded:
        url = urlsplit(os.environ["DATABASE_URL"])
        assert url.port and url.password
        postgres = servers.Postgres(home=home, port=url.port, password=url.password, log=log, tuning=servers.FORGETFUL)
        postgres.create()
        children.append(postgres.start())
        wait_until(postgres.is_ready, child=children[-1])
    if "REDIS_URL" in embedded:
        wait_until(lambda: ports.answers(valkey.port), child=children[0])
    return children


def wait_until(condition: "object", *, child: subprocess.Popen[bytes]) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 30
    while not condition():
        if child.poll() is not None or time.monotonic() > deadline:
            raise places.LaunchError("a server of the tests did not start")
        time.sleep(0.02)


def make_template(*, log: Path) -> None:
    """The same command that sets up every other database, on a database that tests then copy."""
    url = environment.with_path(os.environ["DATABASE_URL"], environment.template_database())
    env = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"}
    with open(log, "wb") as output:
        subprocess.run(
            [sys.executable, "manage.py", "setup_database"],
            cwd=places.CHECKOUT,
            env=env,
            stdout=output,
            stderr=output,
            check=True,
        )


def clean_up(children: list[subprocess.Popen[bytes]]) -> None:
    """Embedded servers go with all they hold; from a foreign one we take our databases and roles away again."""
    if "DATABASE_URL" not in os.environ[environment.EMBEDDED]:
        drop_everything()
    for child in children:
        signal_group(child.pid, signal.SIGQUIT)  # PostgreSQL: at once, there is nothing to save
        signal_group(child.pid, signal.SIGTERM)
    for child in children:
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            signal_group(child.pid, signal.SIGKILL)


def drop_everything() -> None:
    admin_dsn = os.environ["DATABASE_URL"]
    try:
        with psycopg.connect(admin_dsn, autocommit=True) as connection:
            ours = connection.execute(
                "SELECT datname FROM pg_database WHERE datname ^@ %s", [f"test_{os.environ[environment.RUN]}_"]
            )
            for (name,) in ours.fetchall():
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        database_roles.drop_roles(admin_dsn=admin_dsn, prefix=os.environ["DATABASE_ROLE_PREFIX"])
    except psycopg.Error as error:
        print(f"tests: could not clean up: {error}", file=sys.stderr)


def tail(file: Path, lines: int = 30) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else ""


if __name__ == "__main__":
    main()
