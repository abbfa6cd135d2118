"""The supervisor's children: started, watched, started again when they crash, and stopped in order."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.launch.display import say
from config.launch.places import CHECKOUT, LaunchError
from config.launch.processes import Registry, signal_group, spawn

LONGEST_PAUSE = 30.0
"""Seconds between two attempts to start a child that keeps crashing."""
STEADY = 60.0
"""Seconds after which a child counts as healthy again."""


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP arrived."""


@dataclass
class Child:
    """A running process and how to make another one of it."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    is_ready: Callable[[], bool]
    log: Path
    stage: int
    patience: float
    stop_signal: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    crashes: int = 0
    resume: float | None = field(default=None)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Children:
    """All children of one supervisor. Single-threaded: whoever waits here also sees the signal to stop."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._children: list[Child] = []
        self.interrupts = 0

    def interrupt(self, *_: object) -> None:
        """A signal handler: noted here, acted upon by whoever waits."""
        self.interrupts += 1

    def heed(self) -> None:
        if self.interrupts:
            raise Interrupted

    def launch(self, child: Child) -> None:
        self._children.append(child)
        self._start(child)

    def _start(self, child: Child) -> None:
        child.process, child.started, child.resume = child.start(), time.monotonic(), None
        self._registry.add(child.process)

    def wait_ready(self, names: Sequence[str], *, within: float = 120.0) -> None:
        """Until all of them are ready. One that ends or stays silent is an error that shows the end of its log."""
        waiting = [child for child in self._children if child.name in names]
        deadline = time.monotonic() + within
        while waiting:
            self.heed()
            for child in list(waiting):
                assert child.process is not None
                if child.process.poll() is not None:
                    ended = f"{child.name} ended while starting ({describe(child.process.returncode)})"
                    raise LaunchError(f"{last_lines(child.log)}\n{ended}; its log: {child.log}")
                if child.is_ready():
                    waiting.remove(child)
            if waiting and time.monotonic() > deadline:
                late = f"Not ready after {within:.0f} s: {', '.join(child.name for child in waiting)}"
                raise LaunchError(f"{last_lines(waiting[0].log)}\n{late}; logs: {waiting[0].log.parent}")
            time.sleep(0.05)

    def run(
        self, command: Sequence[str | Path], *, what: str, log: Path, environment: dict[str, str], visible: bool = False
    ) -> None:
        """A step with an end, such as a migration. `visible` shows what it prints instead of logging it."""
        process = spawn(command, log=None if visible else log, environment=environment, folder=CHECKOUT)
        self._registry.add(process)
        try:
            while process.poll() is None:
                self.heed()
                time.sleep(0.02)
        finally:
            end(process, patience=5)
            self._registry.discard(process)
        if process.returncode != 0:
            shown = "" if visible else f"{last_lines(log)}\n"
            raise LaunchError(
                f"{shown}{what} failed (exit {process.returncode}){'' if visible else f'; its log: {log}'}"
            )

    def watch(self) -> None:
        """Runs until interrupted; what crashes is started again, later and later while it keeps crashing."""
        while True:
            self.heed()
            now = time.monotonic()
            for child in self._children:
                if child.resume is not None:
                    if now >= child.resume:
                        self._start(child)
                elif not child.is_running:
                    self._note_crash(child, now=now)
            time.sleep(0.2)

    def _note_crash(self, child: Child, *, now: float) -> None:
        assert child.process is not None
        self._registry.discard(child.process)
        signal_group(child.process.pid, signal.SIGKILL)
        child.crashes = 1 if now - child.started > STEADY else child.crashes + 1
        pause = min(2.0 ** (child.crashes - 1), LONGEST_PAUSE)
        child.resume = now + pause
        ended = f"{child.name} ended ({describe(child.process.returncode)})"
        say(f"{ended}; starting it again in {pause:.0f} s. Its log: {child.log}")

    def stop_all(self) -> None:
        """Stage by stage; within one all at once. A further Ctrl-C takes away the patience."""
        already = self.interrupts
        for stage in sorted({child.stage for child in self._children}):
            group = [child for child in self._children if child.stage == stage and child.is_running]
            for child in group:
                assert child.process is not None
                child.process.send_signal(child.stop_signal)
            since = time.monotonic()
            while any(child.is_running and time.monotonic() - since < child.patience for child in group):
                if self.interrupts > already:
                    break
                time.sleep(0.02)
            for child in self._children:
                if child.stage == stage and child.process is not None:
                    end(child.process, patience=0)
        self._registry.clear()


def end(process: subprocess.Popen[bytes], *, patience: float) -> None:
    """Ends it and whatever it left in its process group."""
    if process.poll() is None and patience:
        signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
    signal_group(process.pid, signal.SIGKILL)
    process.wait()


def describe(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"


def last_lines(log: Path, count: int = 15, width: int = 300) -> str:
    """The end of a log, fit for a terminal: of a long structured line its end, where the error's own words stand."""
    try:
        with open(log, "rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - 20_000))
            lines = handle.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return ""
    return "\n".join(line if len(line) <= width else f"… {line[-width:]}" for line in lines)
