"""What programs of a suspended organization are told: which invoice is overdue and where it is paid."""

from django.conf import settings

from billing.overdue.suspension import SuspendedFor
from gateway.errors import GatewayError
from pricing.plain_text import plain


class Suspended(GatewayError):
    """Calls are refused until somebody pays, or we let the organization call again. Trying again does not help."""

    status, type, code = 403, "permission_error", "account_suspended"


class PaymentRequired(Suspended):
    """Over an overdue invoice."""

    status, type = 402, "billing_error"


def suspended(why: SuspendedFor) -> Suspended:
    """The refusal, with the invoice in words and for programs."""
    headers = {"x-should-retry": "false"}
    if not why.invoice_number:
        return Suspended(
            f"This organization is suspended. Please contact us: {settings.SITE_URL}/dashboard.", headers=headers
        )
    return PaymentRequired(
        f"This organization is suspended because invoice {why.invoice_number} is overdue: {why.amount:,f} {why.currency} are "
        f"still to be paid. How to pay it says {why.url}; calls are answered again as soon as nothing is overdue.",
        headers=headers,
        details={
            "invoice": {
                "number": why.invoice_number,
                "outstanding": plain(why.amount),
                "currency": why.currency,
                "url": why.url,
            }
        },
    )
