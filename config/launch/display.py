"""What the launcher says: one line a step, with its time; a running clock on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str = "") -> None:
    """Print and flush, never failing on a terminal that cannot show a sign."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, errors="replace").decode(encoding), flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """`  Python packages …  4.6 s`; without a number when the step fails, whose error follows on a line of its own."""
    terminal = sys.stdout.isatty()
    started = time.monotonic()
    if terminal:
        print(f"  {name} ...", end="", flush=True)
    try:
        yield
    except BaseException:
        print("" if terminal else f"  {name}: failed", flush=True)
        raise
    took = f"{time.monotonic() - started:5.1f} s"
    print(f"\r  {name:<28}{took}" if terminal else f"  {name:<28}{took}", flush=True)
