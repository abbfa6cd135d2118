"""Child processes that never outlive us: own process group, a log file each, and a signal when their parent dies."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from config.launch.places import Account

_PR_SET_PDEATHSIG = 1


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path | int | IO[Any] | None,
    environment: Mapping[str, str],
    folder: Path | str,
    account: Account | None = None,
    orphan_signal: signal.Signals = signal.SIGTERM,
    standard_input: str | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a child in a session of its own, so that Ctrl-C reaches it only through us and in the right order.

    `log` is a file to append to, an open file or descriptor, or None to share our own output.
    `orphan_signal` is what the kernel sends it when we die without a word (Linux only; elsewhere the next start
    looks for leftovers, see `Registry`).
    """
    opened = open(log, "ab") if isinstance(log, Path) else None
    try:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE if standard_input is not None else subprocess.DEVNULL,
            stdout=opened or log,
            stderr=subprocess.STDOUT if log is not None else None,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=_die_with_parent(orphan_signal),
        )
    finally:
        if opened:
            opened.close()
    if standard_input is not None:
        assert child.stdin is not None
        child.stdin.write(standard_input.encode())
        child.stdin.close()
    return child


def _die_with_parent(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    """To run in the child after it changed its user, because changing it clears the request."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def die_with_make() -> None:
    """`make` may be killed without passing it on; then the supervisor that it started has nobody to stop it."""
    if sys.platform == "linux" and started_by_make():
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


def started_by_make() -> bool:
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text().strip() in ("make", "gmake")
    except OSError:
        return False


def signal_group(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, what)


def birth(pid: int) -> str | None:
    """A text that tells this process from a later one with the same number; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    return None if sys.platform == "linux" else _ps(pid, "lstart") or None


def command_line(pid: int) -> str:
    """The command that process runs, words separated by blanks; empty when there is none."""
    if sys.platform != "linux":
        return _ps(pid, "args")
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _ps(pid: int, column: str) -> str:
    """Where there is no /proc. (And where there is, `ps` may be missing.)"""
    return subprocess.run(
        ["ps", "-ww", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()


class Registry:
    """The children we started, on disk: what a killed supervisor leaves running, the next one ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._children: dict[str, str] = {}

    def add(self, child: subprocess.Popen[bytes]) -> None:
        self._children[str(child.pid)] = birth(child.pid) or ""
        self._write()

    def discard(self, child: subprocess.Popen[bytes]) -> None:
        self._children.pop(str(child.pid), None)
        self._write()

    def clear(self) -> None:
        self._children.clear()
        self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(self._children))
        fresh.replace(self._file)

    def end_leftovers(self, *, patience: float = 8.0) -> int:
        """Ends what the file names and still runs; returns how many. Never touches a reused process number."""
        try:
            noted: dict[str, str] = json.loads(self._file.read_text())
        except (OSError, ValueError):
            noted = {}
        alive = [int(pid) for pid, born in noted.items() if born and birth(int(pid)) == born]
        for pid in alive:
            signal_group(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while any(birth(pid) == noted[str(pid)] for pid in alive) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in alive:
            # The group too: a worker may outlive the parent that should have ended it.
            signal_group(pid, signal.SIGKILL)
        self.clear()
        return len(alive)
