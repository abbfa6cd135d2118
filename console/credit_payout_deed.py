"""Send unused paid credit back, of all purchases or one. The form's token is the request's key: sent twice, it takes once."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from billing.corrections.credit_payouts import (
    InvalidPayout,
    NothingUnused,
    Unused,
    refund_unused_credit,
    unused_credit,
)
from billing.processors import bank_transfer
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.figures import figure, money
from console.own_words import in_words
from console.read_only import address_of
from pricing.exact import exact_sum
from pricing.totals import round_to_minor


class RefundCreditForm(DeedForm):
    token = forms.UUIDField(widget=forms.HiddenInput)
    purchase = forms.ChoiceField(label=_("Purchase"), required=False)
    amount = forms.DecimalField(
        label=_("Amount, VAT included"),
        required=False,
        min_value=Decimal("0.01"),
        max_digits=14,
        decimal_places=2,
        help_text=_("Empty: all that is unused. Part of it can be sent back of one purchase."),
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)

    def __init__(self, *args: Any, purchases: list[tuple[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["purchase"].choices = purchases  # type: ignore[attr-defined]


class RefundCredit(Deed):
    title = _("Refund unused credit")
    lead = _(
        "Paid credit that nothing needs goes back the way it came: to the card by itself, a bank transfer by your hand. It is "
        "taken out of the balance at once. Promotions, and what usage, unpaid invoices and running calls need, stay."
    )
    button = _("Refund the credit")
    danger = True

    def prepare(self, pk: int) -> None:
        self.organization = get_object_or_404(Organization, pk=pk)
        self.currency = self.organization.billing_currency
        self.unused = unused_credit(organization_id=pk, now=timezone.now())

    def initial(self) -> dict[str, Any]:
        return {"token": uuid4()}

    def form(self, data: Any = None) -> DeedForm:
        purchases = [("", _("All purchases")), *((str(one.grant.pk), self._label(one)) for one in self.unused)]
        return RefundCreditForm(data, initial=self.initial(), purchases=purchases)

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        wanted = self._wanted(values)
        return [
            (_("organization"), self.organization),
            *(
                (self._label(one), money(wanted[one.grant.pk], self.currency))
                for one in self.unused
                if one.grant.pk in wanted
            ),
            (_("Set aside for refunds"), money(exact_sum(wanted.values()), self.currency)),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            made = refund_unused_credit(
                organization_id=self.organization.pk,
                request_key=values["token"],
                reason=values["reason"],
                now=now,
                actor=self.request.user,
                amounts=self._amounts(values),
            )
        except NothingUnused:
            raise Refused(gettext("No paid credit is unused.")) from None
        except InvalidPayout:
            raise Refused(gettext("That much is not unused any more. Look at what is left.")) from None
        amount = exact_sum(payout.to_refund for payout in made)
        return gettext("Set aside to be sent back: %(amount)s. How far it is stands with each credit refund.") % {
            "amount": figure("money")(amount, self.currency)
        }

    def back(self) -> str:
        return address_of(self.organization)

    def _amounts(self, values: dict[str, Any]) -> dict[int, Decimal] | None:
        """By the credit's key; None is all of all."""
        if not values["purchase"]:
            if values["amount"] is not None:
                raise Refused(gettext("Choose the purchase of which a part goes back."))
            return None
        credit = int(values["purchase"])
        left = next(one.left for one in self.unused if one.grant.pk == credit)
        return {credit: left if values["amount"] is None else values["amount"]}

    def _wanted(self, values: dict[str, Any]) -> dict[int, Decimal]:
        """What is going to be taken of each. Raises Refused."""
        left = {one.grant.pk: one.left for one in self.unused}
        wanted = self._amounts(values) or left
        if not wanted:
            raise Refused(gettext("No paid credit is unused."))
        for credit, amount in wanted.items():
            if amount > left[credit] or amount != round_to_minor(amount, self.currency):
                raise Refused(gettext("Enter a whole amount, not above what is unused."))
        return wanted

    def _label(self, one: Unused) -> str:
        """When it was bought, how, and what of it is unused."""
        ways = {in_words("processor", payment.processor) for payment in one.payments}
        way = ", ".join(sorted(str(way) for way in ways)) or str(in_words("processor", bank_transfer.NAME))
        left = figure("money")(one.left, self.currency)
        return f"{figure('table_date')(one.grant.granted_at)} · {one.grant.reason} · {way} · {left}"


add_deed("organizations/<int:pk>/refund-credit/", RefundCredit, name="refund_credit")
