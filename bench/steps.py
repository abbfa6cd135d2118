"""What benchmarks do with a database, each step in a process of its own that knows it from its environment."""

import json
import subprocess
import sys
from typing import Any

from config.launch.places import CHECKOUT


def start(module: str, *words: object, stdout: int | None = subprocess.PIPE) -> "subprocess.Popen[str]":
    """Begin a step: `python -m module words`. With `stdout=None` it prints where we do."""
    return subprocess.Popen([sys.executable, "-m", module, *map(str, words)], cwd=CHECKOUT, stdout=stdout, text=True)


def answer(process: "subprocess.Popen[str]") -> Any:
    """What a step prints as JSON at its end. Ends the benchmark if it failed."""
    output, _errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the benchmark failed: {' '.join(map(str, process.args))}")  # type: ignore[arg-type]
    return json.loads(output)


def run(module: str, *words: object) -> Any:
    """Do a step and wait for what it answers."""
    return answer(start(module, *words))
