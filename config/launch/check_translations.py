"""`python -m config.launch.check_translations`: every text a person can see exists in Korean. Part of `make lint`.

Babel reads the sources, so no gettext tools are needed. Templates are first turned into something it can read, by
the same function that Django's own makemessages uses.
"""

import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import django
from babel.messages import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils.translation import template

CHECKOUT = Path(__file__).resolve().parents[2]
CATALOG = CHECKOUT / "locale" / "ko" / "LC_MESSAGES" / "django.po"
SOURCES = ("accounts", "billing", "catalog", "config", "console", "dashboard", "demo", "gateway", "ledger", "metering")
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
PLACEHOLDER = re.compile(r"%\([A-Za-z_]\w*\)[#0 +-]*\d*(?:\.\d+)?[sdfr]|%[sdfr]|\{[A-Za-z_]?\w*\}")


@dataclass(frozen=True)
class Text:
    """A text in the sources: its context, its English forms (two when it has a plural), where it stands."""

    context: str | None
    forms: tuple[str, ...]
    place: str


def main() -> int:
    if not settings.configured:
        settings.configure(USE_I18N=True)
        django.setup()
    if not CATALOG.exists():
        print(f"There is no {CATALOG.relative_to(CHECKOUT)}.")
        return 1
    with open(CATALOG, "rb") as file:
        catalog = read_po(file, locale="ko")
    problems = sorted(set(find_problems(list(texts_in(CHECKOUT)), catalog)))
    print("\n".join(problems) if problems else "Every text exists in Korean.")
    return 1 if problems else 0


def texts_in(root: Path) -> Iterator[Text]:
    for folder in SOURCES:
        for file in sorted((root / folder).rglob("*.py")):
            if "migrations" not in file.parts:
                yield from texts_of(file.read_text(), place=str(file.relative_to(root)))
    for file in sorted([*(root / "templates").rglob("*"), *root.glob("*/templates/**/*")]):
        if file.suffix in (".html", ".txt", ".xml"):
            yield from texts_of_template(file.read_text(), place=str(file.relative_to(root)))


def texts_of_template(source: str, *, place: str) -> Iterator[Text]:
    # The result is only almost Python: a template's indentation would be an error in it.
    lines = template.templatize(source, origin=place).splitlines()
    yield from texts_of("\n".join(line.lstrip() for line in lines), place=place)


def texts_of(source: str, *, place: str) -> Iterator[Text]:
    found = extract("python", io.BytesIO(source.encode()), keywords=KEYWORDS)
    for line, message, _comments, context in found:
        forms = (message,) if isinstance(message, str) else tuple(message)
        if forms[0]:
            yield Text(context=context, forms=forms, place=f"{place}:{line}")


def find_problems(texts: list[Text], catalog: Catalog) -> Iterator[str]:
    for text in texts:
        entry = catalog.get(text.forms[0], context=text.context)
        if (problem := problem_with(text, entry)) is not None:
            yield f"{text.place}: {problem}: {text.forms[0]!r}"


def problem_with(text: Text, entry: Message | None) -> str | None:
    """What is wrong with the Korean of one text, or None."""
    if entry is None:
        return "not in the Korean catalogue"
    korean = (entry.string,) if isinstance(entry.string, str) else tuple(entry.string or ())
    if not korean or not all(korean):
        return "empty in Korean"
    if entry.fuzzy:
        return "marked fuzzy"
    # Korean has one form for both numbers; it must be able to say what the plural says.
    if any(placeholders(form) != placeholders(text.forms[-1]) for form in korean):
        return "other placeholders in Korean"
    return None


def placeholders(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text.replace("%%", "")))


if __name__ == "__main__":
    sys.exit(main())
