"""docs/what-is-proven.md names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
NAMED = re.compile(r"`([\w/]+)::(\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    page = (TESTS.parent / "docs" / "what-is-proven.md").read_text(encoding="utf-8")
    lost = [
        f"{module}::{name}"
        for module, name in NAMED.findall(page)
        if not _says(TESTS / f"{module}.py", rf"^(async )?def test_{name}\(")
    ]
    assert not lost


def _says(module: Path, pattern: str) -> bool:
    return module.exists() and re.search(pattern, module.read_text(encoding="utf-8"), re.MULTILINE) is not None
