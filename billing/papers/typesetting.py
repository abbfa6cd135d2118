"""Typst, as we use it: our own templates, our own fonts, data as data, and the same bytes for the same input.

A template is Typst code of this repository; what customers wrote reaches it as JSON strings, which Typst shows and never runs.
Nothing is read but the templates' folder and the fonts.
"""

import json
import logging
import re
import threading
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import typst
from django.conf import settings

TEMPLATES = Path(__file__).parent / "typst"
FAMILY, FALLBACK_FAMILY = "Pretendard", "Noto Sans KR"
ARCHIVAL: "list[typst.PDFStandard]" = ["a-2a", "ua-1"]
"""PDF/A-2a for the years that invoices are kept, PDF/UA-1 for readers who listen."""

log = logging.getLogger(__name__)
_of_this_thread = threading.local()


class FontsMissing(RuntimeError):
    """The fonts of documents are not installed; the message says where they were looked for."""


class TypesettingFailed(RuntimeError):
    """Typst refused the template or its data."""


def typeset(template: str, content: Mapping[str, Any], *, made_at: datetime) -> bytes:
    """The PDF of `template` (a file of billing/papers/typst) with `content`; its metadata say that it was made at `made_at`.

    A character that no font has (an emoji in a company's name) must not stop an invoice: the document is then no longer archival,
    and shows an empty box in its place. Raises FontsMissing, TypesettingFailed.
    """
    data = json.dumps(content, ensure_ascii=False, sort_keys=True)
    try:
        return _compile(template, data, made_at, standards=ARCHIVAL)
    except TypesettingFailed as error:
        if "could not be displayed with font" not in str(error):
            raise
        log.warning("a document has characters that no font has", extra={"template": template})
        return _compile(template, data, made_at, standards=[])


def keywords_of(pdf: bytes) -> list[str]:
    """The keywords in the metadata of a PDF that we made; PDF/A keeps them where no decoder is needed."""
    found = re.search(rb"<pdf:Keywords>([^<]*)</pdf:Keywords>", pdf)
    return unescape(found[1].decode()).split(", ") if found else []


def _compile(template: str, data: str, made_at: datetime, *, standards: "list[typst.PDFStandard]") -> bytes:
    try:
        pdf = _compiler(template).compile(
            format="pdf",
            sys_inputs={"data": data, "family": FAMILY, "fallback": FALLBACK_FAMILY},
            pdf_standards=standards,
            timestamp=int(made_at.timestamp()),
        )
    except typst.TypstError as error:
        raise TypesettingFailed(f"{template}: {error.message}") from error
    assert isinstance(pdf, bytes)
    return pdf


def _compiler(template: str) -> typst.Compiler:
    """One a thread and template, because setting one up reads files, and sharing one would make threads wait."""
    compilers: dict[str, typst.Compiler] = _of_this_thread.__dict__.setdefault("compilers", {})
    if template not in compilers:
        compilers[template] = typst.Compiler(
            TEMPLATES / template, root=TEMPLATES, font_paths=_fonts(), ignore_system_fonts=True
        )
    return compilers[template]


def check_fonts() -> None:
    """Raises FontsMissing, before work is begun that would end with it."""
    _fonts()


@cache
def _fonts() -> typst.Fonts:
    paths = list(settings.DOCUMENT_FONT_PATHS)
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=paths)
    missing = {FAMILY, FALLBACK_FAMILY} - set(fonts.families())
    if missing:
        raise FontsMissing(
            f"Documents need the font {' and '.join(sorted(missing))}, which is not in DOCUMENT_FONT_PATHS ({', '.join(paths)}). "
            "`make run` and the image install it; set DOCUMENT_FONT_PATHS if it lies elsewhere."
        )
    return fonts
