"""Monthly spend limits: of the organization (a tab of the settings) and of one key; how much of each is used, held and left."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.models import ApiKey
from accounts.profiles import ROLES_THAT_ADMINISTER
from dashboard.access import may, organization_page
from ledger.balances import with_tax
from ledger.limit_setting import limit_of, remove_limit
from ledger.models import SpendLimit
from metering.limiting import set_limit
from pricing.exact import exact_sum
from pricing.totals import MINOR_UNITS, invoice_totals, round_to_minor

MOST = Decimal(10) ** 12
BAR = 1000
"""Units of width in which the bar is drawn."""
WARNING = Decimal("0.8")


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit as a page shows it: `amount` − `spent` − `held` = `left`, with tax, in whole minor units.

    `spent` is what an invoice of it would say. The gateway counts exactly (`ledger.limits.left`), and so do `used` and `tone`, by
    `counted`. `spent_width` and `held_width` are parts of BAR.
    """

    limit: SpendLimit
    spent: Decimal
    held: Decimal
    counted: Decimal

    @property
    def left(self) -> Decimal:
        return exact_sum((self.limit.amount, -self.spent, -self.held))

    @property
    def spent_width(self) -> int:
        return self._width(self.spent)

    @property
    def held_width(self) -> int:
        return min(self._width(self.limit.held), BAR - self.spent_width)

    @property
    def used(self) -> Decimal:
        """As a ratio; a limit of nothing is used up."""
        taken = self.counted + self.limit.held
        return taken / self.limit.amount if self.limit.amount else Decimal(1)

    @property
    def tone(self) -> str:
        return "danger" if self.used >= 1 else "warning" if self.used >= WARNING else ""

    def _width(self, amount: Decimal) -> int:
        return min(int(amount / self.limit.amount * BAR), BAR) if self.limit.amount else BAR


def standing(limit: SpendLimit | None) -> Standing | None:
    """What to show of a limit; None if there is none."""
    if limit is None:
        return None
    currency, tax_rate = limit.organization.billing_currency, limit.organization.balance.tax_rate
    return Standing(
        limit,
        spent=invoice_totals([limit.spent], currency=currency, tax_rate=tax_rate).total,
        held=round_to_minor(limit.held, currency),
        counted=with_tax(limit.spent, tax_rate),
    )


class AmountField(forms.DecimalField):
    """An amount of money; people write thousands with commas."""

    def to_python(self, value: Any) -> Decimal | None:
        return super().to_python(value.replace(",", "").replace("₩", "").strip() if isinstance(value, str) else value)


class LimitForm(forms.Form):
    amount = AmountField(
        label=gettext_lazy("Limit a month, VAT included"),
        min_value=0,
        max_value=MOST,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )
    hard = forms.TypedChoiceField(
        label=gettext_lazy("When the limit is reached"),
        choices=[
            ("hard", gettext_lazy("Refuse further calls until the month ends")),
            ("soft", gettext_lazy("Let calls through, and show it here")),
        ],
        coerce=lambda chosen: chosen == "hard",
        widget=forms.RadioSelect,
        initial="hard",
    )

    def __init__(self, *args: Any, limit: SpendLimit | None, currency: str, **kwargs: Any) -> None:
        if limit is not None:
            digits = MINOR_UNITS[currency]
            kwargs["initial"] = {"amount": f"{limit.amount:,.{digits}f}", "hard": "hard" if limit.hard else "soft"}
        super().__init__(*args, **kwargs)
        self.currency = currency

    def clean_amount(self) -> Decimal:
        amount: Decimal = self.cleaned_data["amount"]
        digits = MINOR_UNITS[self.currency]
        if amount != round(amount, digits):
            raise forms.ValidationError(_("Write the amount in whole units of the currency."))
        return amount


@organization_page()
@require_http_methods(["GET", "HEAD", "POST"])
def organization_limit(request: HttpRequest) -> HttpResponse:
    """Everybody may look; owners and admins may change."""
    return _limit_page(request, None, "dashboard/organization_limit.html", {"section": "settings", "tab": "limit"})


@organization_page()
@require_http_methods(["GET", "HEAD", "POST"])
def key_limit(request: HttpRequest, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey.objects.for_organization(request.organization), pk=key_id)
    return _limit_page(request, key, "dashboard/key_limit.html", {"section": "keys", "key": key})


def _limit_page(request: HttpRequest, key: ApiKey | None, template: str, context: dict[str, Any]) -> HttpResponse:
    may_change = may(request, ROLES_THAT_ADMINISTER)
    if request.method == "POST" and not may_change:
        raise PermissionDenied(request.membership.role)
    organization, now = request.organization, timezone.now()
    back = ["dashboard:key", organization.slug, key.pk] if key else ["dashboard:limit", organization.slug]
    if request.POST.get("action") == "remove":
        remove_limit(organization=organization, api_key=key, actor=request.user, now=now)
        messages.success(request, _("The spend limit is lifted."))
        return redirect(*back)
    limit = limit_of(organization, api_key_id=key and key.pk, now=now)
    posted = request.POST if request.method == "POST" else None
    form = LimitForm(posted, limit=limit, currency=organization.billing_currency)
    if request.method == "POST" and form.is_valid():
        set_limit(
            organization=organization,
            api_key=key,
            amount=form.cleaned_data["amount"],
            hard=form.cleaned_data["hard"],
            actor=request.user,
            now=now,
        )
        messages.success(request, _("The spend limit is set. It holds from the next call on."))
        return redirect(*back)
    for field in form.fields.values():
        field.disabled = not may_change
    context |= {"form": form, "standing": standing(limit), "may_change": may_change}
    return render(request, template, context, status=422 if form.errors else 200)
