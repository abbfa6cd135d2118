"""Suspend an organization, and let it in again: with a reason, which the audit log keeps."""

from datetime import datetime
from typing import Any

from django import forms
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from accounts.organizations import NotPossible
from billing.overdue.suspension import restore, suspend
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.read_only import address_of


class ReasonForm(DeedForm):
    reason = forms.CharField(label=_("Reason"), max_length=200)


class OrganizationDeed(Deed):
    """On one organization, with a reason for the audit log."""

    form_class = ReasonForm

    def prepare(self, pk: int) -> None:
        self.organization = get_object_or_404(Organization, pk=pk)

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [
            (_("organization"), f"{self.organization.name} ({self.organization.slug})"),
            (_("Status"), self.organization.get_status_display()),
            (_("What changes"), self.lead),
            (_("Reason"), values["reason"]),
        ]

    def back(self) -> str:
        return address_of(self.organization)


class Suspend(OrganizationDeed):
    title = _("Suspend the organization")
    lead = _("Its API keys are refused within seconds. Members can still sign in, see usage and pay.")
    button = _("Suspend")
    danger = True

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        _apply(suspend, self, values, now)
        return gettext("%(name)s is suspended.") % {"name": self.organization.name}


class Reactivate(OrganizationDeed):
    title = _("Reactivate the organization")
    lead = _("Its API keys work again within seconds.")
    button = _("Reactivate")

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        _apply(restore, self, values, now)
        return gettext("%(name)s is active again.") % {"name": self.organization.name}


def _apply(function: Any, deed: OrganizationDeed, values: dict[str, Any], now: datetime) -> None:
    try:
        function(organization_id=deed.organization.pk, reason=values["reason"], now=now, actor=deed.request.user)
    except NotPossible:
        raise Refused(gettext("Its status has changed meanwhile. Please look at it again.")) from None


add_deed("organizations/<int:pk>/suspend/", Suspend, name="suspend")
add_deed("organizations/<int:pk>/reactivate/", Reactivate, name="reactivate")
