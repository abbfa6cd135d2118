"""PDFs a second (`make bench-documents`): invoices of a closed month, rendered by two processes as workers do it.

Each is read from its rows, set by Typst with its appendix, written to disk for good and noted with its hash. And the PDF of one
organization with 100 models and 50 keys.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import embedded
from bench.close_steps import BIG_KEYS, BIG_MODELS, ROLLUPS
from config.launch.places import CHECKOUT

WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organizations", type=int, default=400)
    options = parser.parse_args()
    with embedded.system():
        _run("found", options.organizations)
        _run("fill", options.organizations, 1, 0, 1)
        _run("prove")
        invoices = _run("close_all")
        processes = [_start("render", number, WORKERS) for number in range(WORKERS)]
        parts = [_answer(process) for process in processes]
        pdfs = sum(part[0] for part in parts)
        print(f"{invoices} invoices of {ROLLUPS} rollups, {WORKERS} processes")
        print(f"PDFs a second: {sum(part[0] / part[1] for part in parts):.0f}")
        print(f"processor time of a PDF in Python and Typst: {sum(part[2] for part in parts) / pdfs * 1000:.1f} ms")
        _run("fill_big")
        _run("close_big")
        _run("render", 0, 1)
        print(f"{BIG_MODELS} models and {BIG_KEYS} keys: {_biggest() / 1024:.0f} KiB")


def _biggest() -> int:
    return max(file.stat().st_size for file in Path(os.environ["VAR_DIR"]).rglob("*.pdf"))


def _run(name: str, *numbers: int) -> Any:
    return _answer(_start(name, *numbers))


def _answer(process: "subprocess.Popen[str]") -> Any:
    output, _errors = process.communicate()
    if process.returncode:
        raise SystemExit("the benchmark failed")
    return json.loads(output)


def _start(name: str, *numbers: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "bench.close_steps", name, *map(str, numbers)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    main()
