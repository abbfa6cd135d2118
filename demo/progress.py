"""What a seeding says: a bar that grows on a terminal; plain lines, one a step and a few on the way, anywhere else."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WIDTH = 24
QUARTERS = 4
LINE = 78


def say_nothing(_text: str) -> None:
    """For a seeding that nobody watches."""


class Progress:
    """Reports the steps of a long job through `say`, which writes a text as it is and at once."""

    def __init__(self, say: Callable[[str], None] = say_nothing, *, on_terminal: bool = False) -> None:
        self._say, self._on_terminal = say, on_terminal
        self._name, self._note, self._quarter = "", "", 0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """`  Demo: usage                   4.1 s  41,203 calls` once it is done."""
        started = time.monotonic()
        self._name, self._note, self._quarter = name, "", 0
        self._show(f"  {name} ...")
        yield
        self._finish(f"  {name:<28}{time.monotonic() - started:5.1f} s  {self._note}")

    def say(self, text: str) -> None:
        """Something that belongs to no step, as it is."""
        self._say(text)

    def note(self, text: str) -> None:
        """What the line of the running step ends with."""
        self._note = text

    def advance(self, done: int, *, of: int, note: str) -> None:
        """The running step has done `done` of so many parts."""
        self._note = note
        share = done / of
        filled = int(WIDTH * share)
        self._show(f"  {self._name}  [{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%}  {note}")
        if not self._on_terminal and int(QUARTERS * share) > self._quarter and done < of:
            self._quarter = int(QUARTERS * share)
            self._finish(f"  {self._name}: {share:.0%}, {note}")

    def _show(self, line: str) -> None:
        if self._on_terminal:
            self._say(f"\r{line:<{LINE}}")

    def _finish(self, line: str) -> None:
        line = line.rstrip()
        self._say(f"\r{line:<{LINE}}\n" if self._on_terminal else f"{line}\n")
