"""Say how VAT applies to a customer, with the evidence for anything but the standard."""

from datetime import datetime
from typing import Any

from django import forms
from django.db import transaction
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import BillingProfile, Organization, TaxTreatment
from billing.onboarding import tax_rate_of
from billing.tax.tax_treatments import (
    EvidenceMissing,
    MonthNotInvoiced,
    NotInThisCurrency,
    refuse_while_uninvoiced,
    set_treatment,
)
from console.deeds import Deed, Refused, Row, add_deed
from console.figures import figure
from console.read_only import address_of
from console.standing import ReasonForm
from ledger.models import Balance


class TreatmentForm(ReasonForm):
    treatment = forms.ChoiceField(label=_("Tax treatment"), choices=TaxTreatment.choices)
    evidence = forms.CharField(
        label=_("Evidence"),
        max_length=300,
        required=False,
        help_text=_(
            "For anything but the standard: what proves it, and where it is kept. For zero-rated services to overseas buyers, "
            "the contract and the foreign-currency receipt, say."
        ),
    )
    field_order = ("treatment", "evidence", "reason")


class SetTreatment(Deed):
    form_class = TreatmentForm
    title = _("Set the tax treatment")
    lead = _(
        "It holds for the running month and later ones, whose one invoice is taxed so. "
        "What is held and limited counts it at once."
    )
    button = _("Set the treatment")

    def prepare(self, pk: int) -> None:
        self.organization = get_object_or_404(Organization, pk=pk)
        self.profile = get_object_or_404(BillingProfile, organization=self.organization)

    def initial(self) -> dict[str, Any]:
        return {"treatment": self.profile.tax_treatment, "evidence": self.profile.tax_evidence}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        if values["treatment"] != TaxTreatment.STANDARD and not values["evidence"]:
            raise Refused(self._why(EvidenceMissing()))
        with transaction.atomic(using="system"):
            try:
                refuse_while_uninvoiced(self.organization, now=now)
            except MonthNotInvoiced as error:
                raise Refused(self._why(error)) from None
        before, after = Balance.objects.get(organization=self.organization).tax_rate, tax_rate_of(values["treatment"])
        percent, month = figure("percent"), figure("prose_month")
        return [
            (_("organization"), self.organization),
            (
                _("Tax treatment"),
                f"{self.profile.get_tax_treatment_display()} → {TaxTreatment(values['treatment']).label}",
            ),
            (_("VAT rate"), f"{percent(before)} → {percent(after)}"),
            (_("From the month"), month(timezone.localdate(now))),
            (_("Evidence"), values["evidence"] or "–"),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            set_treatment(organization=self.organization, **values, actor=self.request.user, now=now)
        except (MonthNotInvoiced, EvidenceMissing, NotInThisCurrency) as error:
            raise Refused(self._why(error)) from None
        return gettext("The tax treatment of %(name)s is set.") % {"name": self.organization.name}

    def _why(self, error: Exception) -> str:
        if isinstance(error, MonthNotInvoiced):
            return gettext(
                "A month that has ended is not invoiced yet, and keeps the treatment before. Invoice it first."
            )
        if isinstance(error, EvidenceMissing):
            return gettext("Please say what proves it, and where the evidence is kept.")
        return gettext("Customers who are billed in dollars are zero-rated or out of scope.")

    def back(self) -> str:
        return address_of(self.organization)


add_deed("organizations/<int:pk>/tax-treatment/", SetTreatment, name="set_tax_treatment")
