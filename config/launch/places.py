"""Where the embedded system keeps its things, and as whom its servers run.

PostgreSQL refuses to run as root. As an ordinary user everything stands in `var/` of the checkout; as root the
servers run as `nobody`, who may be unable to enter the checkout (0700), so their data and a copy of their programs
stand in a folder that he can reach: `/var/cache/invoicedream/<checkout>-<instance>`.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED_FOLDERS = (Path("/var/cache/invoicedream"), Path("/var/tmp/invoicedream-root"))  # noqa: S108  (checked)
MEMORY, MEMORY_PREFIX = Path("/dev/shm"), "invoicedream-test-"  # noqa: S108  (mkdtemp makes what is ours alone)
MEMORY_WANTED = 6 << 30
"""Bytes: the data of a whole test run take a good part of a GiB, and others use memory, too."""
FORGOTTEN = 24 * 3600
"""Seconds after which nobody is coming back for the data of a test run."""


class LaunchError(Exception):
    """Says in one line what is wrong and what to do; the launcher prints it without a traceback."""


@dataclass(frozen=True)
class Account:
    """The account that the embedded servers run as."""

    uid: int
    gid: int


def var_folder() -> Path:
    """The folder for data, logs and secrets: `VAR_DIR`, else `var/` in the checkout. Made private on first use."""
    folder = Path(os.environ.get("VAR_DIR") or CHECKOUT / "var").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o700)
        (folder / "log").mkdir(exist_ok=True)
    except OSError as error:
        raise LaunchError(
            f"Cannot write to {folder} ({error.strerror}): give this user the right, or set VAR_DIR."
        ) from None
    return folder


def server_account() -> Account | None:
    """None: the servers run as ourselves. As root it is `nobody`."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise LaunchError(
            "PostgreSQL refuses to run as root and there is no account `nobody`: "
            "run as an ordinary user, or set DATABASE_URL."
        ) from None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def servers_home(*, var: Path) -> Path:
    """The folder that holds the embedded servers' data, kept from start to start."""
    if server_account() is None:
        home = var / "servers"
        home.mkdir(exist_ok=True)
        return home
    return _home_for_root(var=var)


def _home_for_root(*, var: Path) -> Path:
    """A checkout that is deleted and cloned again at the same path has a new instance: its predecessor's data goes."""
    instance_file = var / "instance"
    if not instance_file.exists():
        instance_file.write_text(secrets.token_hex(4))
    shared = shared_folder()
    own = f"{checkout_key(var=var)}-{instance_file.read_text().strip()}"
    for other in shared.glob(f"{checkout_key(var=var)}-*"):
        if other.name != own:
            shutil.rmtree(other, ignore_errors=True)
    home = shared / own
    home.mkdir(mode=0o711, exist_ok=True)
    home.chmod(0o711)
    return home


def checkout_key(*, var: Path) -> str:
    return hashlib.sha256(os.fsencode(var.resolve())).hexdigest()[:12]


def temporary_home() -> Path:
    """A new folder for servers that live as long as a test run; the caller removes it."""
    if server_account() is None:
        return Path(tempfile.mkdtemp(prefix="invoicedream-test-"))
    return _new_home(shared_folder(), prefix="test-")


def memory_home() -> Path | None:
    """As `temporary_home`, but in memory; None where there is too little of it. For data that a crash may take."""
    try:
        space = os.statvfs(MEMORY)
        if space.f_bavail * space.f_frsize < MEMORY_WANTED:
            return None
        return _new_home(MEMORY, prefix=MEMORY_PREFIX)
    except OSError:
        return None


def _new_home(folder: Path, *, prefix: str) -> Path:
    """A new folder below `folder`, from which those of runs that forgot theirs are removed."""
    for forgotten in folder.glob(f"{prefix}*"):
        if time.time() - forgotten.stat().st_mtime > FORGOTTEN:
            shutil.rmtree(forgotten, ignore_errors=True)
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    if server_account() is not None:
        home.chmod(0o711)
    return home


def shared_folder() -> Path:
    """As root: the first folder that is ours alone to write, and that anybody can traverse and run programs from."""
    for folder in SHARED_FOLDERS:
        try:
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError:
            continue
        if (
            _is_ours_alone(folder)
            and is_traversable(folder)
            and not os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0)
        ):
            return folder
    names = " nor ".join(str(folder) for folder in SHARED_FOLDERS)
    raise LaunchError(
        f"Neither {names} can hold the servers' data: run as an ordinary user, or set DATABASE_URL and REDIS_URL."
    )


def _is_ours_alone(folder: Path) -> bool:
    """Not a link, and nobody else can put files there: /var/tmp is open to all."""
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o022


def is_traversable(folder: Path) -> bool:
    return all(place.stat().st_mode & stat.S_IXOTH for place in (folder, *folder.parents))


def remove_servers_home(*, var: Path) -> None:
    """Deletes the servers' data; as root also the shared copy of the programs once nobody else uses it."""
    if server_account() is None:
        shutil.rmtree(var / "servers", ignore_errors=True)
        return
    shared = shared_folder()
    for home in shared.glob(f"{checkout_key(var=var)}-*"):
        shutil.rmtree(home, ignore_errors=True)
    if all(entry.name.startswith("programs") for entry in shared.iterdir()):
        shutil.rmtree(shared, ignore_errors=True)
