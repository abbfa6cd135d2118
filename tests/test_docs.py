"""What the pages of documentation name is there."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
SKIPPED = {"node_modules", "var"}
TOPS = [top for top in CHECKOUT.iterdir() if not top.name.startswith(".") and top.name not in SKIPPED]
FILES = {
    file.relative_to(CHECKOUT).as_posix()
    for top in TOPS
    for file in (top.rglob("*") if top.is_dir() else [top])
    if file.is_file()
}
PAGES = sorted(name for name in FILES if name.endswith(".md") and name != "CHANGELOG.md")
PLACES = ("", "templates/", "static/", "pricing/")
"""The checkout, what pages are made of, and the script that is served to customers by its bare name."""
NAMED = re.compile(r"(?<![\w./<{-])((?:[\w-]+/)*[\w-]+\.(?:py|md|html|css|js|typ|toml|sql))(?![\w/])")
EXAMPLES = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    """A name alone stands somewhere below the page's folder, of docs/ anywhere; a path ends there, or begins in one of PLACES."""
    folder = page.rpartition("/")[0].removeprefix("docs/decisions").removeprefix("docs")
    below = {name for name in FILES if name.startswith(f"{folder}/")} if folder else FILES
    for name in NAMED.findall(EXAMPLES.sub("", (CHECKOUT / page).read_text())):
        ends = any(file.endswith(f"/{name}") for file in below)
        assert ends or any(f"{place}{name}" in FILES for place in PLACES), f"{page} names {name}"
