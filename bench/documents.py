"""PDFs a second (`make bench-documents`): invoices of a closed month, rendered by two processes as workers do it.

Each is read from its rows, set by Typst with its appendix, written to disk for good and noted with its hash. And the PDF of one
organization with 100 models and 50 keys.
"""

import argparse
import os
from pathlib import Path

from bench import embedded, steps
from bench.close_steps import BIG_KEYS, BIG_MODELS, ROLLUPS

STEPS = "bench.close_steps"
WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organizations", type=int, default=400)
    options = parser.parse_args()
    with embedded.system():
        steps.run(STEPS, "found", options.organizations)
        steps.run(STEPS, "fill", options.organizations, 1, 0, 1)
        steps.run(STEPS, "prove")
        invoices = steps.run(STEPS, "close_all")
        processes = [steps.start(STEPS, "render", number, WORKERS) for number in range(WORKERS)]
        parts = [steps.answer(process) for process in processes]
        pdfs = sum(part[0] for part in parts)
        print(f"{invoices} invoices of {ROLLUPS} rollups, {WORKERS} processes")
        print(f"PDFs a second: {sum(part[0] / part[1] for part in parts):.0f}")
        print(f"processor time of a PDF in Python and Typst: {sum(part[2] for part in parts) / pdfs * 1000:.1f} ms")
        steps.run(STEPS, "fill_big")
        steps.run(STEPS, "close_big")
        steps.run(STEPS, "render", 0, 1)
        print(f"{BIG_MODELS} models and {BIG_KEYS} keys: {_biggest() / 1024:.0f} KiB")


def _biggest() -> int:
    return max(file.stat().st_size for file in Path(os.environ["VAR_DIR"]).rglob("*.pdf"))


if __name__ == "__main__":
    main()
