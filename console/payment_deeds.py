"""End an attempt to pay that stands in the way, say of voiding its invoice. What became of it is known from the processor only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.collection import cancel_attempt
from billing.models import Invoice, Payment
from billing.payments.attempts import PAGE_LIFE
from billing.payments.payment_states import payment_state
from billing.settlement import AmountDiffers
from console.deeds import Obstacle, Refused, Row, add_deed
from console.figures import figure, money
from console.one_invoice import InvoiceDeed
from console.own_words import in_words
from console.standing import ReasonForm

Status = Payment.Status
MEANINGS: Mapping[str, Promise] = {
    Status.REQUIRES_ACTION: _(
        "The customer has a payment page, on which the invoice can still be paid. Ending the attempt closes the page; "
        "if the customer pays at that very moment, the payment counts and the invoice is paid."
    ),
    Status.PENDING: _(
        "The customer has paid in a way that takes time, and the processor is working on it. That can rarely be stopped: "
        "if ending it does not succeed, wait for the outcome, which arrives by itself."
    ),
    Status.UNKNOWN: _(
        "Nobody knows what became of the attempt: the processor has not answered. It may have taken the money, "
        "so the invoice cannot be voided before that is clear. Ending it asks the processor again."
    ),
}
NEXT: Mapping[str, Promise] = {
    Status.REQUIRES_ACTION: _("The processor does not answer, so the page may still be open. Try again in a minute."),
    Status.PENDING: _(
        "The processor cannot stop it any more. When it succeeds, the invoice is paid; when it fails, the invoice can be voided. "
        "We ask by ourselves, at least once an hour."
    ),
    Status.UNKNOWN: _(
        "The processor still does not tell what became of it. We ask by ourselves, ever more seldom, at last once an hour. "
        "A payment page is settled within minutes after the processor answers again, a charge of a stored card within "
        "25 hours at the latest. If it is urgent, look for the payment's number in the processor's own dashboard."
    ),
}


def open_attempt(invoice: Invoice) -> Payment | None:
    """The attempt that is under way, if any; there is at most one."""
    found: Payment | None = invoice.payments.filter(status__in=Payment.OPEN_STATUSES).first()
    return found


def attempt_in_the_way(invoice: Invoice, *, now: datetime) -> Obstacle | None:
    """What keeps an invoice from being voided, and what to do about it."""
    attempt = open_attempt(invoice)
    if attempt is None:
        return None
    being_paid = gettext("The invoice is being paid right now.")
    return Obstacle(
        text=f"{being_paid} {MEANINGS[attempt.status]}",
        facts=attempt_facts(attempt, now=now),
        label=_("End the payment attempt first"),
        url=reverse("admin:cancel_attempt", args=[invoice.pk]),
    )


def attempt_facts(attempt: Payment, *, now: datetime) -> list[Row]:
    rows: list[Row] = [
        (_("payment"), attempt.pk),
        (_("Amount"), money(attempt.amount, attempt.currency)),
        (_("Status"), payment_state(attempt, now=now).label),
        (_("Processor"), in_words("processor", attempt.processor)),
        (_("Reference"), attempt.reference or "–"),
        (_("Begun at"), figure("table_time")(attempt.created_at)),
        (_("Last asked at"), figure("table_time")(attempt.checked_at) if attempt.checked_at else "–"),
    ]
    if attempt.status == Status.REQUIRES_ACTION and attempt.method_id is None:
        rows.append((_("Page open until"), figure("table_time")(attempt.created_at + PAGE_LIFE)))
    return rows


class CancelAttempt(InvoiceDeed):
    form_class = ReasonForm
    title = _("End the payment attempt")
    lead = _("The processor is asked to end it, so that it cannot succeed any more. It answers within seconds.")
    button = _("End the attempt")
    danger = True

    def facts(self) -> list[Row]:
        attempt = open_attempt(self.invoice)
        if attempt is None:
            return super().facts()
        return [(_("invoice"), self.invoice.number), *attempt_facts(attempt, now=timezone.now())]

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        attempt = open_attempt(self.invoice)
        if attempt is None:
            raise Refused(gettext("No attempt is under way any more."))
        return [*self.facts(), (_("What it means"), MEANINGS[attempt.status]), (_("Reason"), values["reason"])]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            payment = cancel_attempt(
                organization_id=self.invoice.organization_id,
                invoice_id=self.invoice.pk,
                now=now,
                actor=self.request.user,
                reason=values["reason"],
            )
        except AmountDiffers:
            raise Refused(
                gettext(
                    "The processor took another amount than the attempt was for. Compare it with the processor's dashboard."
                )
            ) from None
        if payment is None:
            raise Refused(gettext("No attempt is under way any more."))
        if payment.status in Payment.OPEN_STATUSES:
            raise Refused(str(NEXT[payment.status]))
        if payment.status == Status.SUCCEEDED:
            return gettext("The customer has paid in the meantime: %(amount)s arrived.") % {
                "amount": figure("money")(payment.amount, payment.currency)
            }
        return gettext("The attempt has ended without a payment. The invoice can be voided now.")


add_deed("invoices/<uuid:pk>/cancel-attempt/", CancelAttempt, name="cancel_attempt")
