"""Is the payer on a bank statement this customer? Banks cut names short, drop signs and put the legal form where they like.

Pure: texts in, a verdict out.
"""

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

_FORMS = re.compile(
    r"주식회사|유한책임회사|유한회사|합자회사|합명회사|사단법인|재단법인|\((?:주|유|사|재|합)\)"
    r"|\b(?:co|company|corp|corporation|inc|incorporated|llc|ltd|limited|gmbh)\b\.?"
)
_SIGNS = re.compile(r"[\W_]+")
SHORTEST = 3
"""Letters that a part of a name must have to say anything."""
ALIKE = 0.8


@lru_cache(maxsize=100_000)
def bare(text: str) -> str:
    """A name without legal form, spaces, signs and case: what two spellings of one payer have in common."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SIGNS.sub("", _FORMS.sub(" ", folded)) or _SIGNS.sub("", folded)


def is_same(payer: str, name: str) -> bool:
    """Whether both are the same name, but for its spelling."""
    return bool(bare(name)) and bare(payer) == bare(name)


def is_similar(payer: str, name: str) -> bool:
    """Whether one is the beginning of the other, as banks cut names short, or they differ in a letter or two."""
    one, other = sorted((bare(payer), bare(name)), key=len)
    if len(one) < SHORTEST:
        return False
    if other.startswith(one):
        return True
    compared = SequenceMatcher(None, one, other, autojunk=False)
    return compared.real_quick_ratio() >= ALIKE and compared.quick_ratio() >= ALIKE and compared.ratio() >= ALIKE


def names_invoice(texts: Iterable[str], number: str) -> bool:
    """Whether a text of the statement holds the invoice's number, with or without its signs."""
    wanted = bare(number)
    return any(re.search(rf"(?<![0-9]){re.escape(wanted)}(?![0-9])", bare(text)) for text in texts)
