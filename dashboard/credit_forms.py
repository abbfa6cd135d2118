"""Forms of the credit page: buy some now, or whenever it runs low."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.cards.payment_methods import Card
from billing.models import AutomaticTopUp
from billing.payments.top_ups import Bounds
from dashboard.limit_forms import AmountField, AmountForm
from dashboard.templatetags.figures import money
from pricing.totals import MINOR_UNITS

PAGE = "page"


class TopUpForm(AmountForm):
    """How much, and with which card; `request_key` names this very form, so that sending it twice buys once."""

    way = forms.ChoiceField(label=gettext_lazy("Pay with"), widget=forms.RadioSelect)
    request_key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, bounds: Bounds, cards: Sequence[Card], **options: Any) -> None:
        super().__init__(*args, **options)
        self.bounds = bounds
        self.fields["request_key"].initial = uuid4
        self.fields["amount"].help_text = _("From %(least)s to %(most)s.") % _said(bounds, self.currency)
        self.fields["way"].choices = [
            *((str(card.method.pk), card.method.label) for card in cards),
            (PAGE, _("Another card, on the payment page") if cards else _("By card, on the payment page")),
        ]
        self.fields["way"].initial = self.fields["way"].choices[0][0]

    def clean_amount(self) -> Decimal:
        return _within(self.bounds, super().clean_amount(), self.currency)

    @property
    def method_id(self) -> int | None:
        """The card on file that was chosen; None for the payment page."""
        way = self.cleaned_data["way"]
        return None if way == PAGE else int(way)


class AutomaticTopUpForm(AmountForm):
    """When less than `threshold` is left, buy `amount`, at most `monthly_cap` a month."""

    threshold = AmountField(label=gettext_lazy("When less than this is left"))
    monthly_cap = AmountField(label=gettext_lazy("At most in a month"))
    field_order = ["threshold", "amount", "monthly_cap"]

    def __init__(self, *args: Any, bounds: Bounds, setting: AutomaticTopUp | None, **options: Any) -> None:
        known = setting or AutomaticTopUp(
            threshold=bounds.least, amount=bounds.least * 10, monthly_cap=bounds.least * 50
        )
        digits = MINOR_UNITS[options["currency"]]
        options["initial"] = {
            name: f"{getattr(known, name):,.{digits}f}" for name in ("threshold", "amount", "monthly_cap")
        }
        super().__init__(*args, prefix="automatic", **options)
        self.bounds = bounds
        self.fields["amount"].label = _("Buy so much, VAT included")

    def clean_amount(self) -> Decimal:
        return _within(self.bounds, super().clean_amount(), self.currency)

    def clean(self) -> dict[str, Any]:
        """Whole units everywhere; a cap that no top-up fits would never buy any."""
        values = super().clean()
        for name in ("threshold", "monthly_cap"):
            amount = values.get(name)
            if amount is not None and (amount <= 0 or amount != round(amount, MINOR_UNITS[self.currency])):
                self.add_error(name, _("Write the amount in whole units of the currency."))
        amount, cap = values.get("amount"), values.get("monthly_cap")
        if amount is not None and cap is not None and cap < amount:
            self.add_error("monthly_cap", _("This is less than one top-up."))
        return values


def _within(bounds: Bounds, amount: Decimal | None, currency: str) -> Decimal:
    if amount is None or not bounds.hold(amount, currency):
        raise forms.ValidationError(_("Write an amount from %(least)s to %(most)s."), params=_said(bounds, currency))
    return amount


def _said(bounds: Bounds, currency: str) -> dict[str, str]:
    return {"least": str(money(bounds.least, currency)), "most": str(money(bounds.most, currency))}
