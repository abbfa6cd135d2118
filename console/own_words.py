"""Short texts that our programs store in English, in words that an operator reads. What people typed stays as they typed it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.admin import AllValuesFieldListFilter
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import CardSetup, Payment
from metering.waiting_reasons import REASONS, Patterns, said_by

VOCABULARY: Mapping[str, Mapping[str, Promise | str]] = {
    "band": {"base": _("Base price")},
    "failure": {
        "buyer_closed": _("The buyer's business is closed, says the tax office."),
        "buyer_suspended": _("The buyer's business is suspended, says the tax office."),
        "buyer_unregistered": _("The tax office does not know the buyer's registration number."),
    },
    "language": {"ko": _("Korean"), "en": _("English")},
    "last_error": {
        "The recipient is not an e-mail address.": _("The recipient is not an e-mail address."),
        "The invoice was voided before this mail went out.": _("The invoice was voided before this mail went out."),
        "Nothing was owed any more when this reminder would have gone out.": _(
            "Nothing was owed any more when this reminder would have gone out."
        ),
        "The invitation ended before this mail went out.": _("The invitation ended before this mail went out."),
    },
    "origin": {"console": _("Entered by an operator"), "our table": _("Packaged price list")},
    "outcome": {
        "nothing to do": _("Nothing to do"),
        "no payment of ours": _("No payment of ours"),
        **{status.value: status.label for status in (*CardSetup.Status, *Payment.Status)},
    },
    "processor": {"stripe": _("Card (Stripe)"), "bank_transfer": _("Bank transfer")},
    "reason": {
        "Trial credit": _("Trial credit"),
        "Top-up": _("Top-up"),
        "The organization is closed": _("The organization is closed"),
        "Came after the organization was closed": _("Came after the organization was closed"),
        "Demo: 10 % on everything": _("Demo: 10 percent on everything"),
    },
    "source": {
        "demo": _("example rate"),
        "ecb": _("European Central Bank, reference rate"),
        "frankfurter": _("European Central Bank, reference rate"),
        "koreaexim": _("Export-Import Bank of Korea, base rate"),
        "manual": _("entered by the operator"),
        "seoul-fx": _("Seoul Money Brokerage, base rate"),
        "smbs": _("Seoul Money Brokerage, base rate"),
    },
    "source_name": {"InvoiceDream gateway": _("InvoiceDream gateway"), "Usage API": _("Usage API")},
    "target": {"top-up": _("Top-up"), "organization": _("Organization")},
    "upstream": {
        "books": _("All books"),
        "openrouter": "OpenRouter",
        "openai_compatible": _("OpenAI-compatible server"),
        "self-hosted": _("Own servers"),
        "sandbox": _("Sandbox"),
    },
}
"""By the name of the field, or of what it is shown as."""
PATTERNS: Mapping[str, Patterns] = {
    "band": ((re.compile(r"(?P<number>\d+)"), _("Condition %(number)s")),),
    "last_error": (
        (
            re.compile(r"The mail server cannot be reached: (?P<why>.*)", re.DOTALL),
            _("The mail server cannot be reached: %(why)s"),
        ),
    ),
    "origin": (
        (re.compile(r"(?P<table>.+) feed"), _("Price list of %(table)s")),
        (re.compile(r"file (?P<name>.+)"), _("File %(name)s")),
    ),
    "reason": (
        (re.compile(r"Overpayment, (?P<number>\S+)"), _("Overpayment, %(number)s")),
        (re.compile(r"Credit note (?P<number>\S+)"), _("Credit note %(number)s")),
        *REASONS,
    ),
}


def in_words(field: str, text: Any) -> Any:
    """`text` of `field` in the reader's language, if it is one of ours; anything else as it is."""
    if not isinstance(text, str):
        return text
    if (known := VOCABULARY.get(field, {}).get(text)) is not None:
        return str(known)
    return said_by(PATTERNS.get(field, ()), text) or text


def words_filter(words: Callable[[Any], Any]) -> type[AllValuesFieldListFilter]:
    """A filter by every value that occurs, each called by `words`."""

    class InWords(AllValuesFieldListFilter):
        def choices(self, changelist: Any) -> Any:
            for choice in super().choices(changelist):
                yield choice | {"display": words(choice["display"])}

    return InWords
