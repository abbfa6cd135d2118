"""Typst, as we use it: our own templates, our own fonts, data as data, and the same bytes for the same input.

A template is Typst code of this repository; what customers wrote reaches it as JSON strings, which Typst shows and never runs.
Nothing is read but the templates' folder and the fonts.

Every version of the template stays, in a folder named after its number, and a paper is rendered again by the one that made it: what
looks otherwise is a new version, never a change of one that is in use.
"""

import json
import logging
import os
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
VERSION = 2
"""The template that new papers are set with."""
FAMILY, FALLBACK_FAMILY = "Pretendard", "Noto Sans KR"
ARCHIVAL: "list[typst.PDFStandard]" = ["a-2a", "ua-1"]
"""PDF/A-2a for the years that invoices are kept, PDF/UA-1 for readers who listen."""

log = logging.getLogger(__name__)
_of_this_thread = threading.local()


class FontsMissing(RuntimeError):
    """The fonts of documents are not installed; the message says where they were looked for."""


class TypesettingFailed(RuntimeError):
    """Typst refused the template or its data."""


def typeset(content: Mapping[str, Any], *, made_at: datetime, version: int = VERSION) -> bytes:
    """The PDF of `content`, by the template `version`; its metadata say that it was made at `made_at`.

    A character that no font has (an emoji in a company's name) must not stop an invoice: the document is then no longer archival,
    and shows an empty box in its place. Raises FontsMissing, TypesettingFailed.
    """
    source = _source(content, version)
    try:
        return _compile(source, made_at, standards=ARCHIVAL)
    except TypesettingFailed as error:
        if "could not be displayed with font" not in str(error):
            raise
        log.warning("a document has characters that no font has", extra={"template": version})
        return _compile(source, made_at, standards=[])


def keywords_of(pdf: bytes) -> list[str]:
    """The keywords in the metadata of a PDF that we made; PDF/A keeps them where no decoder is needed."""
    found = re.search(rb"<pdf:Keywords>([^<]*)</pdf:Keywords>", pdf)
    return unescape(found[1].decode()).split(", ") if found else []


def _source(content: Mapping[str, Any], version: int) -> bytes:
    """Typst code that sets `content`, a string of JSON in it. Given in `sys.inputs` it would belong to the library, and nothing
    that was laid out for one paper, such as labels, would serve for the next one.
    """
    data = json.dumps(content, ensure_ascii=False, sort_keys=True).replace("\\", "\\\\").replace('"', '\\"')
    return f'#import "/{version}/document.typ": paper\n#paper(json(bytes("{data}")))'.encode()


def _compile(source: bytes, made_at: datetime, *, standards: "list[typst.PDFStandard]") -> bytes:
    try:
        pdf = _compiler().compile(
            input=source, format="pdf", pdf_standards=standards, timestamp=int(made_at.timestamp())
        )
    except typst.TypstError as error:
        raise TypesettingFailed(error.message) from error
    assert isinstance(pdf, bytes)
    return pdf


def _compiler() -> typst.Compiler:
    """One a thread, because setting one up reads files, and sharing one would make threads wait."""
    if not hasattr(_of_this_thread, "compiler"):
        _of_this_thread.compiler = typst.Compiler(root=TEMPLATES, font_paths=_fonts(), ignore_system_fonts=True)
    compiler: typst.Compiler = _of_this_thread.compiler
    return compiler


def check_fonts() -> None:
    """Raises FontsMissing, before work is begun that would end with it."""
    _fonts()


@cache
def _fonts() -> typst.Fonts:
    os.environ.setdefault("RAYON_NUM_THREADS", "1")  # papers are set beside one another, not in parts
    paths = list(settings.DOCUMENT_FONT_PATHS)
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=paths)
    missing = {FAMILY, FALLBACK_FAMILY} - set(fonts.families())
    if missing:
        raise FontsMissing(
            f"Documents need the font {' and '.join(sorted(missing))}, which is not in DOCUMENT_FONT_PATHS ({', '.join(paths)}). "
            "`make run` and the image install it; set DOCUMENT_FONT_PATHS if it lies elsewhere."
        )
    return fonts
