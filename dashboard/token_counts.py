"""A count of tokens as people type it: `500,000`, `0.5M`, `50만`. What could be read in two ways is not read at all.

static/js/token-count.js reads the same texts the same way. (The REST API takes whole numbers only.)
"""

import re
from decimal import Decimal

from django.utils.translation import gettext as _

MOST_TOKENS = 10**12 - 1
"""As many digits as the field takes, and no more than the API accepts."""

UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "b": 10**9,
    "천": 10**3,
    "만": 10**4,
    "백만": 10**6,
    "천만": 10**7,
    "억": 10**8,
    "조": 10**12,
}
_COUNT = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,20})(\.[0-9]{1,12})?\s*(k|m|b|천|만|백만|천만|억|조)?")


class NoTokenCount(ValueError):
    """The message says to a reader what is wrong, and what would be right."""


def token_count(text: str) -> int:
    """The count that `text` names; nothing at all is none. Raises NoTokenCount."""
    text = text.strip().lower()
    if not text:
        return 0
    found = _COUNT.fullmatch(text)
    if found is None:
        raise NoTokenCount(_("Please enter a number of tokens, such as 500,000, 0.5M or 50만."))
    whole, fraction, unit = found[1].replace(",", ""), found[2] or "", found[3] or ""
    count = Decimal(whole + fraction) * UNITS[unit]
    if count != int(count):
        raise NoTokenCount(_("Tokens are counted in whole numbers, such as 500,000, 0.5M or 50만."))
    if count > MOST_TOKENS:
        raise NoTokenCount(_("Please enter at most %(most)s tokens.") % {"most": f"{MOST_TOKENS:,}"})
    return int(count)
