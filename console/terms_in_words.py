"""What was agreed with a customer, in a sentence that an operator reads."""

from django.utils.translation import gettext

from billing.models import BillingTerms
from console.figures import figure


def terms_in_words(terms: BillingTerms, currency: str) -> str:
    """`minimum ₩50,000 without VAT · discount 5% · reviewed before it is issued`; of the defaults, that there is nothing."""
    parts = []
    if terms.minimum_fee:
        parts.append(
            gettext("minimum %(amount)s without VAT") % {"amount": figure("money")(terms.minimum_fee, currency)}
        )
    if terms.discount:
        parts.append(gettext("discount %(percent)s") % {"percent": figure("percent")(terms.discount, 2)})
    if terms.zero_invoices != BillingTerms.ZeroInvoices.WITH_USAGE:
        choice = terms.get_zero_invoices_display()
        parts.append(gettext("invoices of 0: %(when)s") % {"when": choice})
    if terms.reviewed:
        parts.append(gettext("reviewed before it is issued"))
    return " · ".join(parts) or gettext("nothing but prices")
