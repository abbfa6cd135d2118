"""Give an organization credit. The form's own token is the grant's key, so sending it twice gives once."""

from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from console.deeds import DayInput, Deed, DeedForm, Refused, Row, add_deed
from console.figures import figure, money
from console.read_only import address_of
from ledger.balances import available
from ledger.credit_expiry import balance_at
from ledger.credits import grant_credit
from ledger.models import CreditGrant
from pricing.exact import EXACT

MOST = Decimal(1_000_000_000)


class CreditForm(DeedForm):
    token = forms.UUIDField(widget=forms.HiddenInput)
    amount = forms.DecimalField(
        label=_("Amount, VAT included"), min_value=Decimal("0.01"), max_value=MOST, max_digits=12, decimal_places=2
    )
    kind = forms.ChoiceField(label=_("Kind"), choices=CreditGrant.Kind.choices)
    reason = forms.CharField(label=_("Reason"), max_length=200, help_text=_("The customer may read it."))
    expires_on = forms.DateField(
        label=_("Expires at the end of"),
        required=False,
        widget=DayInput,
        help_text=_("Empty: never. What usage until then does not need is gone afterwards."),
    )


class GiveCredit(Deed):
    form_class = CreditForm
    title = _("Give credit")
    lead = _("Credit pays for usage before invoices do. It cannot be taken back.")
    button = _("Give credit")

    def prepare(self, pk: int) -> None:
        self.organization = get_object_or_404(Organization, pk=pk)
        self.currency = self.organization.billing_currency

    def initial(self) -> dict[str, Any]:
        return {"token": uuid4()}

    def form(self, data: Any = None) -> DeedForm:
        form = super().form(data)
        if self.currency == "KRW":
            form.fields["amount"].widget.attrs |= {"step": "1", "min": "1"}
        form.fields["amount"].label = f"{form.fields['amount'].label} ({self.currency})"
        return form

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check(values, now)
        before = available(balance_at(self.organization, now=now))
        return [
            (_("organization"), self.organization),
            (_("Amount, VAT included"), money(values["amount"], self.currency)),
            (_("Kind"), dict(CreditGrant.Kind.choices)[values["kind"]]),
            (_("Reason"), values["reason"]),
            (
                _("Expires at the end of"),
                figure("table_date")(values["expires_on"]) if values["expires_on"] else _("never"),
            ),
            (_("Available now"), money(before, self.currency)),
            (_("Available afterwards"), money(EXACT.add(before, values["amount"]), self.currency)),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        self._check(values, now)
        grant = grant_credit(
            organization=self.organization,
            amount=values["amount"],
            currency=self.currency,
            kind=values["kind"],
            reason=values["reason"],
            key=f"console:{values['token']}",
            now=now,
            expires_at=end_of(values["expires_on"]),
            actor=self.request.user,
        )
        if grant is None:
            return gettext("This credit had been given already; it counts once.")
        return gettext("Credit given to %(organization)s: %(amount)s") % {
            "organization": self.organization.name,
            "amount": figure("money")(values["amount"], self.currency),
        }

    def _check(self, values: dict[str, Any], now: datetime) -> None:
        if self.organization.status == Organization.Status.CLOSED and values["kind"] != CreditGrant.Kind.PAID:
            raise Refused(gettext("The organization is closed: what nobody paid for would lapse at once."))
        if self.currency == "KRW" and values["amount"] != values["amount"].to_integral_value():
            raise Refused(gettext("Won have no decimals."))
        if values["expires_on"] and end_of(values["expires_on"]) <= now:
            raise Refused(gettext("The day of expiry is over."))

    def back(self) -> str:
        return address_of(self.organization)


def end_of(day: Any) -> datetime | None:
    """The first moment after a day, in the console's zone."""
    return timezone.make_aware(datetime.combine(day + timedelta(days=1), time())) if day else None


add_deed("organizations/<int:pk>/credit/", GiveCredit, name="give_credit")
