"""What holds for every template: it compiles, nothing in it is inline, and what it refers to exists."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.template import engines

FOLDER = Path(settings.BASE_DIR) / "templates"
TEMPLATES = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.suffix in {".html", ".txt"}
)
PAGES = [
    name for name in TEMPLATES if name.endswith(".html") and not name.startswith("mail/") and "/email/" not in name
]
INLINE = re.compile(
    r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*(\ssrc=|type=\"application/json\"))|javascript:", re.IGNORECASE
)
ICONS = set(re.findall(r'<symbol id="([\w-]+)"', (FOLDER.parent / "static/img/icons.svg").read_text()))


def text_of(name: str) -> str:
    return (FOLDER / name).read_text()


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_compiles(name: str) -> None:
    engines["django"].get_template(name)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_inline(name: str) -> None:
    assert INLINE.findall(text_of(name)) == []


@pytest.mark.parametrize("name", PAGES)
def test_its_icons_are_drawn(name: str) -> None:
    text = text_of(name)
    used = re.findall(r'{% icon "([\w-]+)"', text) + re.findall(r'icon_name="([\w-]+)"', text)
    assert set(used) <= ICONS


@pytest.mark.parametrize("name", TEMPLATES)
def test_its_static_files_exist(name: str) -> None:
    for file in re.findall(r"{% static ['\"]([^'\"]+)['\"]", text_of(name)):
        assert finders.find(file), file


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name.endswith("_message.html")])
def test_mail_in_html_has_its_text(name: str) -> None:
    assert name.removesuffix(".html") + ".txt" in TEMPLATES
