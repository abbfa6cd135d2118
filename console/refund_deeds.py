"""Send money back that a credit note or a credit payout set aside: to the card once more, or by hand from the bank account."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import tenant_scope
from billing.corrections.refundable import Origin, left_to_refund, payments_of, refundable_payments
from billing.corrections.refunds import (
    InvalidRefund,
    NothingToRefund,
    ReferenceInUse,
    cards_of,
    record_refund,
    refund_again,
)
from billing.corrections.unresolved_refunds import call_first
from billing.models import CreditNote, CreditPayout, Refund
from console.deeds import DayInput, Deed, DeedForm, Refused, Row, add_deed
from console.figures import figure, money
from console.own_words import in_words
from console.read_only import address_of
from pricing.exact import ZERO
from pricing.plain_text import plain


class OriginDeed(Deed):
    """On one credit note or credit payout."""

    def prepare(self, pk: Any) -> None:
        note = CreditNote.objects.select_related("invoice", "organization").filter(pk=pk).first()
        payouts = CreditPayout.objects.select_related("organization", "credit_use__grant")
        self.origin: Origin = note or get_object_or_404(payouts, pk=pk)

    def facts(self) -> list[Row]:
        origin = self.origin
        of_note = isinstance(origin, CreditNote)
        return [
            *([(_("credit note"), origin.number), (_("invoice"), origin.invoice.number)] if of_note else []),
            *([] if of_note else [(_("credit"), origin)]),
            (_("organization"), origin.organization),
            (_("To be refunded"), money(left_to_refund(origin), origin.currency)),
        ]

    def back(self) -> str:
        return address_of(self.origin)


class RefundToCard(OriginDeed):
    title = _("Refund to the card")
    lead = _("What was set aside goes back to the card that paid. The processor answers within seconds.")
    button = _("Refund to the card")
    danger = True

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return self.facts()

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            made = refund_again(
                organization_id=self.origin.organization_id, origin_id=self.origin.pk, now=now, actor=self.request.user
            )
        except NothingToRefund:
            raise Refused(
                gettext("Nothing can be refunded to a card now: it is on its way already, or no card paid it.")
            ) from None
        done = call_first(made, now=now)
        if all(refund.status == Refund.Status.SUCCEEDED for refund in done):
            return gettext("The money is on its way back to the card.")
        return gettext("The refund is asked for. Its state stands below.")


class RecordRefundForm(DeedForm):
    payment = forms.ChoiceField(label=_("Payment that it gives back"))
    amount = forms.DecimalField(
        label=_("Amount"), min_value=Decimal("0.01"), max_value=Decimal(10**12), max_digits=14, decimal_places=2
    )
    sent_on = forms.DateField(label=_("Sent on"), widget=DayInput)
    reference = forms.CharField(
        label=_("Statement's own number"),
        max_length=60,
        help_text=_("Date and serial number on the bank statement, say. The same one counts once."),
    )

    def __init__(self, *args: Any, payments: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["payment"].choices = payments  # type: ignore[attr-defined]


class RecordRefund(OriginDeed):
    title = _("Record a refund by bank transfer")
    lead = _(
        "Send the money from the bank account first; here you write down that it left, and the customer is told by mail."
    )
    button = _("Record the refund")

    def form(self, data: Any = None) -> DeedForm:
        form = RecordRefundForm(data, initial=self.initial(), payments=self._payments())
        if not payments_of(self.origin):
            del form.fields["payment"]
        return form

    def initial(self) -> dict[str, Any]:
        return {"amount": plain(left_to_refund(self.origin)), "sent_on": timezone.localdate()}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [
            *self.facts(),
            *self._payment_row(values),
            (_("Amount"), money(values["amount"], self.origin.currency)),
            (_("Sent on"), figure("table_date")(values["sent_on"])),
            (_("Statement's own number"), values["reference"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            record_refund(
                organization_id=self.origin.organization_id,
                origin_id=self.origin.pk,
                payment_id=UUID(values["payment"]) if "payment" in values else None,
                amount=values["amount"],
                sent_on=values["sent_on"],
                reference=values["reference"],
                now=now,
                actor=self.request.user,
            )
        except InvalidRefund:
            raise Refused(
                gettext(
                    "Enter a whole amount, not above what is left to refund and of the payment, and a day that has come."
                )
            ) from None
        except ReferenceInUse:
            raise Refused(gettext("A refund with this number was recorded with other details.")) from None
        return gettext("The refund is recorded.")

    def _payment_row(self, values: dict[str, Any]) -> list[Row]:
        """None where no payment brought the money."""
        if "payment" not in values:
            return []
        return [(_("Payment that it gives back"), dict(self._payments())[values["payment"]])]

    def _payments(self) -> list[tuple[str, str]]:
        return [
            (
                str(payment.pk),
                f"{figure('table_date')(payment.paid_at or payment.created_at)} · "
                f"{in_words('processor', payment.processor)} · {figure('money')(left, payment.currency)}",
            )
            for payment, left in refundable_payments(self.origin)
        ]


def refund_links(origin: Origin) -> list[tuple[Any, str]]:
    """The deeds by which its money can be sent back: to a card only what a card brought."""
    if left_to_refund(origin) <= ZERO:
        return []
    with tenant_scope([origin.organization_id]):
        to_card = bool(cards_of(origin))
    return [
        *([(_("Refund to the card"), reverse("admin:refund_to_card", args=[origin.pk]))] if to_card else []),
        (_("Record a refund by bank transfer"), reverse("admin:record_refund", args=[origin.pk])),
    ]


add_deed("set-aside/<uuid:pk>/refund/", RefundToCard, name="refund_to_card")
add_deed("set-aside/<uuid:pk>/record-refund/", RecordRefund, name="record_refund")
