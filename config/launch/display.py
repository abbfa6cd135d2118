"""What the launcher says: one line a step, with its time."""

import contextlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str = "") -> None:
    write(f"{text}\n")


def write(text: str) -> None:
    """Print at once. Neither a terminal that lacks a sign nor one that was closed may keep us from our work."""
    encoding = sys.stdout.encoding or "utf-8"
    with contextlib.suppress(OSError):
        print(text.encode(encoding, errors="replace").decode(encoding), end="", flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """`  Python packages   4.6 s`; without a number when the step fails, whose error follows on a line of its own."""
    terminal = sys.stdout.isatty()
    started = time.monotonic()
    if terminal:
        write(f"  {name} ...")
    try:
        yield
    except BaseException:
        say("" if terminal else f"  {name}: failed")
        raise
    done = f"  {name:<28}{time.monotonic() - started:5.1f} s"
    say(f"\r{done}" if terminal else done)
