"""What every stand-in's process shares: its arguments, its one log line, its end at SIGTERM."""

import argparse
import asyncio
import json
import signal
import sys
from datetime import UTC, datetime


def argument_parser(*, name: str, summary: str, port: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m sandbox.{name}", description=summary)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=port, help=f"port to listen on ({port}); 0 takes a free one")
    return parser


def log(event: str, **fields: object) -> None:
    """Write one JSON line to standard output. Nothing that a caller sent belongs in it."""
    line = {"event": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **fields}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def fail(message: str) -> None:
    """End the process with one clear line instead of a traceback."""
    print(message, file=sys.stderr)
    raise SystemExit(1)


async def until_told_to_stop() -> None:
    """Return at the first SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
