"""Forms of spend limits and of the breaker: whose, how long, how much, and what happens then."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import ApiKey, User
from ledger.limit_setting import HIGHEST_LIMIT
from ledger.models import LimitWindow, SpendLimit, VelocityCap
from pricing.totals import MINOR_UNITS

WHOLE = "organization"


class AmountField(forms.DecimalField):
    """An amount of money; people write thousands with commas. `needed_by_choice`: not needed by itself, nor called optional."""

    needed_by_choice = False

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(**({"min_value": 0, "widget": widget} | options))

    def to_python(self, value: Any) -> Decimal | None:
        return super().to_python(value.replace(",", "").replace("₩", "").strip() if isinstance(value, str) else value)

    def validate(self, value: Decimal | None) -> None:
        super().validate(value)
        if value is not None and value > HIGHEST_LIMIT:
            raise forms.ValidationError(_("Write at most %(most)s."), params={"most": f"{HIGHEST_LIMIT:,}"})


class AmountForm(forms.Form):
    """With an amount in whole minor units of a currency."""

    amount = AmountField(label=gettext_lazy("Amount, VAT included"))

    def __init__(self, *args: Any, currency: str, amount: Decimal | None = None, **options: Any) -> None:
        if amount is not None:
            options["initial"] = (options.get("initial") or {}) | {"amount": f"{amount:,.{MINOR_UNITS[currency]}f}"}
        super().__init__(*args, **options)
        self.currency = currency

    def clean_amount(self) -> Decimal | None:
        amount: Decimal | None = self.cleaned_data["amount"]
        if amount is not None and amount != round(amount, MINOR_UNITS[self.currency]):
            raise forms.ValidationError(_("Write the amount in whole units of the currency."))
        return amount


class NewLimitForm(AmountForm):
    """A limit for the organization, a member or a key."""

    subject = forms.ChoiceField(label=gettext_lazy("Whose spending"))
    window = forms.ChoiceField(
        label=gettext_lazy("Counts anew"),
        choices=[
            (LimitWindow.DAY.value, gettext_lazy("every day")),
            (LimitWindow.MONTH.value, gettext_lazy("every month")),
        ],
        widget=forms.RadioSelect,
        initial=LimitWindow.MONTH.value,
    )
    hard = forms.TypedChoiceField(
        label=gettext_lazy("When the limit is reached"),
        choices=[
            ("hard", gettext_lazy("Refuse further calls until it counts anew")),
            ("soft", gettext_lazy("Let calls through, and warn")),
        ],
        coerce=lambda chosen: chosen == "hard",
        widget=forms.RadioSelect,
        initial="hard",
    )
    field_order = ["subject", "window", "amount", "hard"]

    def __init__(self, *args: Any, members: Sequence[User], keys: Sequence[ApiKey], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["amount"].help_text = _("A hard limit of 0 refuses every call that costs something, at once.")
        self.members = {f"member:{member.pk}": member for member in members}
        self.keys = {f"key:{key.pk}": key for key in keys}
        groups: list[Any] = [
            (WHOLE, _("The whole organization")),
            (_("Members"), [(name, member.get_full_name()) for name, member in self.members.items()]),
            (_("API keys"), [(name, f"{key.name} ({key.prefix}…)") for name, key in self.keys.items()]),
        ]
        self.fields["subject"].choices = [group for group in groups if group[1]]  # type: ignore[attr-defined]

    @property
    def chosen(self) -> dict[str, Any]:
        """Whose limit it is, which, and how much, as `set_limit` wants it."""
        subject = self.cleaned_data["subject"]
        return {
            "api_key": self.keys.get(subject),
            "member": self.members.get(subject),
            **{name: self.cleaned_data[name] for name in ("window", "hard", "amount")},
        }


class ChangeLimitForm(AmountForm):
    """Another amount for a limit that there is."""

    def __init__(self, *args: Any, limit: SpendLimit, **options: Any) -> None:
        super().__init__(*args, amount=limit.amount, **options)
        if limit.hard:
            self.fields["amount"].help_text = _("0 refuses every call that costs something, at once.")


class LowCreditForm(AmountForm):
    """Below what credit a notice is wanted."""

    amount = AmountField(
        label=gettext_lazy("Tell us below this credit, VAT included"),
        help_text=gettext_lazy("0 switches it off. What running calls hold does not count."),
    )


class VelocityForm(AmountForm):
    """What a key may spend in a few minutes before it is stopped."""

    choice = forms.ChoiceField(
        label=gettext_lazy("Stop a key"),
        choices=[
            ("default", gettext_lazy("when it spends far more than usual")),
            ("own", gettext_lazy("above an amount of our own")),
            ("off", gettext_lazy("never")),
        ],
        widget=forms.RadioSelect,
        initial="default",
    )
    amount = AmountField(
        label=gettext_lazy("Amount, VAT included"),
        required=False,
        help_text=gettext_lazy("Needed for an amount of your own; the other choices leave it aside."),
    )
    amount.needed_by_choice = True
    field_order = ["choice", "amount"]

    def __init__(self, *args: Any, cap: VelocityCap | None, **options: Any) -> None:
        if cap is not None:
            options["initial"] = {"choice": "off" if cap.amount is None else "own"}
        super().__init__(*args, amount=cap.amount if cap else None, **options)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("choice") == "own" and "amount" not in self.errors and not given.get("amount"):
            self.add_error("amount", _("Say above what amount a key is stopped."))
        return given
