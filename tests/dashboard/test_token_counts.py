"""Counts as people type them: the server and the page's script read the same texts the same way."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from dashboard.token_counts import MOST_TOKENS, NoTokenCount, token_count

SCRIPT = Path(__file__).parents[2] / "static" / "js" / "token-count.js"
READ = {
    "": 0,
    "0": 0,
    "500000": 500_000,
    " 500,000 ": 500_000,
    "1,234,567": 1_234_567,
    "0.5M": 500_000,
    "1.5m": 1_500_000,
    "1,000K": 1_000_000,
    "2b": 2_000_000_000,
    "50만": 500_000,
    "1.5 억": 150_000_000,
    "3천만": 30_000_000,
    "100.0": 100,
    "999,999,999,999": MOST_TOKENS,
}
REFUSED = [
    "1.5",
    "1e3",
    "abc",
    "-5",
    "+5",
    "5,00",
    "1,0000",
    "1.000.000",
    "0.0000001M",
    "1조",
    "5 000",
    "0x10",
    "٣",
    "50만M",
    "1.",
    ".5M",
    "9" * 21,
]


@pytest.mark.parametrize("text", READ, ids=[str(number) for number in range(len(READ))])
def test_a_count_is_read(text: str) -> None:
    assert token_count(text) == READ[text]


@pytest.mark.parametrize("text", REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_what_could_mean_something_else_is_refused(text: str) -> None:
    with pytest.raises(NoTokenCount):
        token_count(text)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_script_reads_the_same() -> None:
    texts = [*READ, *REFUSED]
    program = f"require({json.dumps(str(SCRIPT))}); console.log(JSON.stringify({json.dumps(texts)}.map(tokenCount)))"
    answer = subprocess.run(["node", "-e", program], check=True, capture_output=True, text=True, timeout=60)
    assert dict(zip(texts, json.loads(answer.stdout), strict=True)) == READ | dict.fromkeys(REFUSED, None)
