"""The volume that `/models/compare` prices, as people type it: `input_tokens=50만&cached=25&requests=1,000`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.http import HttpRequest
from django.utils.translation import gettext as _

from billing.what_if import LISTED_TOKENS, Volume
from dashboard.token_counts import MOST_TOKENS, NoTokenCount, token_count
from pricing.exact import ZERO

LONGEST_ECHO = 40
"""Of a text that cannot be read, so much is shown again."""
DEFAULTS = {
    "input_tokens": f"{LISTED_TOKENS:,}",
    "output_tokens": f"{LISTED_TOKENS:,}",
    "cached": "0",
    "requests": "0",
    "images": "0",
}
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)\s*%?")


@dataclass(frozen=True, slots=True)
class CompareForm:
    """`texts` is what the fields show, `errors` what cannot be read of them; then there is no volume."""

    volume: Volume | None
    texts: Mapping[str, str]
    errors: Mapping[str, str]

    @property
    def changed(self) -> dict[str, str]:
        """What differs from an untouched form: what an address must say."""
        return {name: text for name, text in self.texts.items() if text != DEFAULTS[name]}


def compare_form(request: HttpRequest) -> CompareForm:
    """The form as the address fills it; fields that it leaves out have their defaults."""
    texts, errors = dict(DEFAULTS), {}
    values: dict[str, int | Decimal] = {}
    for name, default in DEFAULTS.items():
        text = request.GET.get(name, default).strip()[:LONGEST_ECHO]
        try:
            values[name] = READERS[name](text)
            texts[name] = f"{values[name]:,}" if name != "cached" else text.removesuffix("%").strip() or "0"
        except ValueError as problem:
            texts[name], errors[name] = text, str(problem)
    if errors:
        return CompareForm(None, texts, errors)
    volume = Volume(
        input_tokens=int(values["input_tokens"]),
        output_tokens=int(values["output_tokens"]),
        cached_share=Decimal(values["cached"]),
        requests=int(values["requests"]),
        images=int(values["images"]),
    )
    return CompareForm(volume, texts, errors)


def whole_number(text: str) -> int:
    """A count of pieces, written as tokens are. Raises ValueError with what is wrong."""
    try:
        return token_count(text)
    except NoTokenCount:
        raise ValueError(
            _("Please enter a whole number up to %(most)s, such as 1,000 or 1만.") % {"most": f"{MOST_TOKENS:,}"}
        ) from None


def share(text: str) -> Decimal:
    """A percentage as a fraction. Raises ValueError with what is wrong."""
    found = _PERCENT.fullmatch(text) if text else None
    percent = Decimal(found[1]) if found else ZERO
    if percent > 100 or (text and not found):
        raise ValueError(_("Please enter a percentage from 0 to 100."))
    return percent / 100


READERS: Mapping[str, Callable[[str], int | Decimal]] = {
    "input_tokens": token_count,
    "output_tokens": token_count,
    "cached": share,
    "requests": whole_number,
    "images": whole_number,
}
