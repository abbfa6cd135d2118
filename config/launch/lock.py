"""One `make run` in a checkout: a file lock, which the system itself takes away when its holder dies."""

import fcntl
import os
from pathlib import Path
from typing import IO

from config.launch.places import LaunchError, var_folder


class AlreadyRunning(LaunchError):
    """Somebody holds the lock; says who, and how to stop it."""


def acquire() -> IO[str]:
    """Hold the lock until the returned file is closed, at the latest by our end. Raises AlreadyRunning."""
    file = lock_file()
    handle = open(file, "a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise AlreadyRunning(
            f"`make run` is already running in this checkout (process {holder}): "
            f"use it, or stop it with Ctrl-C there or `kill {holder}`."
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def refuse_when_running() -> None:
    acquire().close()


def lock_file() -> Path:
    return var_folder() / "supervisor.lock"
