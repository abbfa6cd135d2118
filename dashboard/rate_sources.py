"""Who publishes exchange rates, as invoices and receipts name them."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

NAMES: Mapping[str, Promise] = {
    "demo": _("example rate"),
    "manual": _("entered by the operator"),
    "smbs": _("Seoul Money Brokerage, base rate"),
    "seoul-fx": _("Seoul Money Brokerage, base rate"),
    "koreaexim": _("Export-Import Bank of Korea, base rate"),
    "ecb": _("European Central Bank, reference rate"),
    "frankfurter": _("European Central Bank, reference rate"),
}


def source_name(source: str) -> str:
    """The publisher in words; one that has no words yet is called as it calls itself."""
    return str(NAMES.get(source, source))
