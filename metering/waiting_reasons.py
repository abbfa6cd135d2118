"""Why usage waits for a price, in the reader's language, on the site and in the console. What was raised is what is stored."""

import re
from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from metering.token_labels import TOKEN_CLASSES
from pricing.tokens import TokenClass

Patterns = Iterable[tuple[re.Pattern[str], Promise]]

REASONS: Patterns = (
    (re.compile(r"unknown model: (?P<model>\S+)"), _("Unknown model: %(model)s")),
    (re.compile(r"no price of (?P<model>\S+) at (?P<at>\S+)"), _("No price of this model at that time")),
    (re.compile(r"no markup covers (?P<model>\S+) at (?P<at>\S+)"), _("No markup covers this model at that time")),
    (
        re.compile(r"the last exchange rate before (?P<day>\S+) is of (?P<last>\S+)"),
        _("The last exchange rate before %(day)s is of %(last)s"),
    ),
    (
        re.compile(r"no exchange rate was published before (?P<day>\S+)"),
        _("No exchange rate was published before %(day)s"),
    ),
    (re.compile(r"no unit price for (?P<token_class>\w+)"), _("This model has no price for: %(token_class)s")),
    (re.compile(r"\S+ does not fit NUMERIC\(38,20\)"), _("The amount is too large to be charged")),
)


def reason_in_words(reason: str) -> str:
    """The reason, if it is one of ours; anything else as it is."""
    return said_by(REASONS, reason) or reason


def said_by(patterns: Patterns, text: str) -> str | None:
    """The words of the pattern that the text is of."""
    for pattern, words in patterns:
        if found := pattern.fullmatch(text):
            parts = found.groupdict()
            if "token_class" in parts:
                parts["token_class"] = str(TOKEN_CLASSES[TokenClass(parts["token_class"])])
            return str(words) % parts
    return None
