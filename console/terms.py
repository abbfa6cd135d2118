"""Commercial terms: what was agreed with each customer and since when, and the deed that agrees something else."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from billing.models import BillingTerms
from billing.terms import MonthClosed, in_force, set_terms
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.figures import figure, money, named, percent_column
from console.markups import fraction
from console.money import CUSTOMER
from console.months import month_text
from console.read_only import ReadOnlyAdmin, ReadOnlyInline, list_of
from console.site import site
from ledger.models import BillingPeriod
from ledger.periods import month_bounds
from pricing.exact import exact_product
from pricing.plain_text import plain

MONTHS_AHEAD = 12
MOST = Decimal(1_000_000_000)
MINIMUM = named(
    "minimum_fee_figure",
    _("minimum monthly fee, without VAT"),
    lambda row: money(row.minimum_fee, row.organization.billing_currency),
    order="minimum_fee",
)
FIRST_MONTH = named(
    "first_month",
    _("In force from"),
    lambda row: month_text(row.effective_from, row.organization),
    order="effective_from",
)
AGREED = (MINIMUM, percent_column("discount", _("discount on usage")), "zero_invoices", "reviewed", "reason")


class TermsInline(ReadOnlyInline):
    model = BillingTerms
    verbose_name_plural = _("Commercial terms")
    ordering = ("-effective_from", "-revision")
    fields = (FIRST_MONTH, *AGREED, "created_by", "created_at")


@admin.register(BillingTerms, site=site)
class BillingTermsAdmin(ReadOnlyAdmin):
    list_display = (FIRST_MONTH, CUSTOMER, *AGREED, "created_by", "created_at")
    list_filter = ("organization", "reviewed", "zero_invoices")
    search_fields = ("organization__name", "organization__slug", "reason")
    list_select_related = ("organization", "created_by")
    ordering = ("-effective_from", "-pk")
    empty_text = _("Nothing was agreed with anybody but prices. Terms are agreed on a customer's page.")
    fieldsets = ((None, {"fields": (CUSTOMER, FIRST_MONTH, *AGREED, "created_by", "created_at")}),)


class TermsForm(DeedForm):
    month = forms.ChoiceField(label=_("In force from"), help_text=_("A month that is not invoiced yet."))
    minimum_fee = forms.DecimalField(
        label=_("minimum monthly fee"),
        min_value=0,
        max_value=MOST,
        max_digits=12,
        decimal_places=2,
        help_text=_("VAT excluded. It adds what is missing to it after the discount; 0 is none."),
    )
    percent = forms.DecimalField(
        label=_("Discount in percent of usage"), min_value=0, max_value=100, max_digits=5, decimal_places=2
    )
    zero_invoices = forms.ChoiceField(label=_("invoices of 0"), choices=BillingTerms.ZeroInvoices.choices)
    reviewed = forms.BooleanField(
        label=_("An operator reviews each invoice before it is issued"),
        required=False,
        help_text=_("The month's end then makes a draft, which the customer does not see."),
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)


class SetTerms(Deed):
    form_class = TermsForm
    title = _("Agree commercial terms")
    lead = _(
        "They hold for whole months, from the one chosen on, until others do. A month keeps the terms that it begins with."
    )
    button = _("Put the terms in force")

    def prepare(self, pk: int) -> None:
        self.organization = get_object_or_404(Organization, pk=pk)
        self.currency = self.organization.billing_currency
        self.history = list(BillingTerms.objects.filter(organization=self.organization))

    def initial(self) -> dict[str, Any]:
        now = timezone.now()
        terms = in_force(self.history, now)
        _start, following = month_bounds(now, zone=self.organization.zone)
        return {
            "month": self._name(following),
            "minimum_fee": plain(terms.minimum_fee),
            "percent": plain(exact_product(terms.discount, 100)),
            "zero_invoices": terms.zero_invoices,
            "reviewed": terms.reviewed,
        }

    def form(self, data: Any = None) -> DeedForm:
        form = super().form(data)
        form.fields["month"].choices = [  # type: ignore[attr-defined]
            (self._name(start), self._month(start)) for start in self._months(timezone.now())
        ]
        if self.currency == "KRW":
            form.fields["minimum_fee"].widget.attrs |= {"step": "1"}
        form.fields["minimum_fee"].label = f"{form.fields['minimum_fee'].label} ({self.currency})"
        return form

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        since = self._start(values)
        before = in_force(self.history, since)
        after = BillingTerms(**self._wanted(values))
        rows: list[Row] = [(_("organization"), self.organization), (_("In force from"), self._month(since))]
        changes = [
            (
                _("minimum monthly fee"),
                *(figure("money")(terms.minimum_fee, self.currency) for terms in (before, after)),
            ),
            (_("discount on usage"), *(figure("percent")(terms.discount, 2) for terms in (before, after))),
            (_("invoices of 0"), *(terms.get_zero_invoices_display() for terms in (before, after))),
            (_("Review before an invoice is issued"), *(_yes_or_no(terms.reviewed) for terms in (before, after))),
        ]
        rows += [(label, f"{old} → {new}" if old != new else old) for label, old, new in changes]
        rows.append((_("Reason"), values["reason"]))
        later = sorted({row.effective_from for row in self.history if row.effective_from > since})
        if later:
            rows.append((_("Mind"), _("Other terms follow from %(month)s on.") % {"month": self._month(later[0])}))
        if self._drafts(since):
            rows.append((_("Mind"), _("Drafts of these months stay as they are until they are made anew.")))
        return rows

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        before = in_force(self.history, self._start(values))
        try:
            terms = set_terms(
                organization=self.organization,
                month=date.fromisoformat(f"{values['month']}-01"),
                reason=values["reason"],
                actor=self.request.user,
                now=now,
                **self._wanted(values),
            )
        except MonthClosed:
            raise Refused(gettext("That month has been invoiced meanwhile. Choose a later one.")) from None
        if terms.pk is None or terms == before:
            return gettext("These terms are in force then already; nothing was changed.")
        return gettext("Terms of %(name)s are in force from %(month)s on.") % {
            "name": self.organization.name,
            "month": self._month(terms.effective_from),
        }

    def back(self) -> str:
        return list_of(BillingTerms, f"organization__id__exact={self.organization.pk}")

    def _wanted(self, values: dict[str, Any]) -> dict[str, Any]:
        if self.currency == "KRW" and values["minimum_fee"] != values["minimum_fee"].to_integral_value():
            raise Refused(gettext("Won have no decimals."))
        return {
            "minimum_fee": values["minimum_fee"],
            "discount": fraction(values["percent"]),
            "zero_invoices": values["zero_invoices"],
            "reviewed": values["reviewed"],
        }

    def _months(self, now: datetime) -> list[datetime]:
        """The starts of the months that terms may begin with: those after the last closed one, a year ahead."""
        zone = self.organization.zone
        closed = BillingPeriod.objects.filter(organization=self.organization, status=BillingPeriod.Status.CLOSED)
        last = closed.order_by("-ends_at").first()
        start, following = month_bounds(last.ends_at if last else self.organization.created_at, zone=zone)
        until = now + timedelta(days=31 * MONTHS_AHEAD)
        found = []
        while start <= until:
            found.append(start)
            start, following = month_bounds(following, zone=zone)
        return found

    def _drafts(self, since: datetime) -> bool:
        periods = BillingPeriod.objects.filter(organization=self.organization, starts_at__gte=since)
        return periods.filter(status=BillingPeriod.Status.CLOSING).exists()

    def _start(self, values: dict[str, Any]) -> datetime:
        year, month = map(int, values["month"].split("-"))
        return datetime(year, month, 1, tzinfo=ZoneInfo(self.organization.zone))

    def _name(self, start: datetime) -> str:
        return f"{start.astimezone(ZoneInfo(self.organization.zone)):%Y-%m}"

    def _month(self, start: datetime) -> str:
        return month_text(start, self.organization)


def _yes_or_no(is_so: bool) -> str:
    return gettext("Yes") if is_so else gettext("No")


add_deed("organizations/<int:pk>/terms/", SetTerms, name="set_terms")
