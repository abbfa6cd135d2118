"""How customers are dunned: everybody's schedule, an organization's own, and who is never suspended by itself."""

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from django import forms
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from billing.overdue.dunning_policy import LATEST_DAY, InvalidPolicy, Policies, Policy, check, set_policy
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.standing import OrganizationDeed

SEPARATORS = re.compile(r"[,\s]+")


class DaysField(forms.CharField):
    """Days as text, such as "1, 7, 14"; empty is none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, max_length=60, **options)

    def clean(self, value: Any) -> tuple[int, ...]:
        parts = [part for part in SEPARATORS.split(super().clean(value)) if part]
        if not all(part.isascii() and part.isdecimal() and len(part) < 5 for part in parts):
            raise forms.ValidationError(gettext("Write days as numbers, separated by commas: 1, 7, 14"))
        return tuple(int(part) for part in parts)


class PolicyForm(DeedForm):
    days_before_due = forms.IntegerField(
        label=_("Reminder, days before the due date"), required=False, min_value=1, max_value=LATEST_DAY
    )
    overdue_days = DaysField(label=_("Overdue reminders, days after it"))
    charge_days = DaysField(
        label=_("Card charged again, days after it"), help_text=_("For those who pay by card automatically.")
    )
    suspend_after = forms.IntegerField(
        label=_("Suspension, days after it"),
        required=False,
        min_value=1,
        max_value=LATEST_DAY,
        help_text=_("Empty: nobody is suspended by itself. Three days pass after a reminder in any case."),
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)


class OwnPolicyForm(PolicyForm):
    follows_default = forms.BooleanField(
        label=_("Follow everybody's schedule"), required=False, help_text=_("The days below do not count then.")
    )
    field_order = ("follows_default",)


class SetDunning(Deed):
    form_class: type[DeedForm] = PolicyForm
    title = _("Set everybody's schedule")
    lead = _("How customers without a schedule of their own are reminded. It holds from now on; no step is repeated.")
    button = _("Set the schedule")
    organization: Organization | None = None

    def initial(self) -> dict[str, Any]:
        policies = Policies(now=timezone.now())
        key = self.organization.pk if self.organization else None
        policy = policies.of(key)
        return {
            "follows_default": key is not None and not policies.has_own(key),
            "days_before_due": policy.days_before_due,
            "overdue_days": ", ".join(str(day) for day in policy.overdue_days),
            "charge_days": ", ".join(str(day) for day in policy.charge_days),
            "suspend_after": policy.suspend_after,
        }

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        policy = self._policy(values)
        rows: list[Row] = [(_("organization"), self.organization.name)] if self.organization else []
        return [*rows, *policy_rows(policy), (_("Reason"), values["reason"])]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        set_policy(
            organization=self.organization,
            policy=self._policy(values),
            reason=values["reason"],
            now=now,
            actor=self.request.user,
        )
        return gettext("The schedule is set.")

    def back(self) -> str:
        return reverse("admin:dunning")

    def _policy(self, values: dict[str, Any]) -> Policy | None:
        if values.get("follows_default"):
            return None
        policy = Policy(**{name: values[name] for name in Policy.__dataclass_fields__})
        try:
            check(policy)
        except InvalidPolicy:
            raise Refused(
                gettext(
                    "Days must rise, be ten at most and up to 365, and a suspension comes after the first reminder."
                )
            ) from None
        return policy


class SetOwnDunning(SetDunning):
    form_class = OwnPolicyForm
    title = _("Set an organization's schedule")
    lead = _("How this customer is reminded, from now on; no step is repeated.")

    def prepare(self, pk: int) -> None:
        self.organization = get_object_or_404(Organization, pk=pk)


class Exempt(OrganizationDeed):
    title = _("Exempt from suspension")
    lead = _(
        "It is reminded as before, but never suspended by itself. A schedule of its own keeps that until another is set."
    )
    button = _("Exempt")

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        policy = replace(Policies(now=now).of(self.organization.pk), suspend_after=None)
        set_policy(
            organization=self.organization, policy=policy, reason=values["reason"], now=now, actor=self.request.user
        )
        return gettext("%(name)s is not suspended by itself any more.") % {"name": self.organization.name}


def policy_rows(policy: Policy | None) -> list[Row]:
    """A schedule in words; None follows everybody's."""
    if policy is None:
        return [(_("Dunning schedule"), _("as for everybody"))]
    return [
        (_("Reminder, days before the due date"), policy.days_before_due or "–"),
        (_("Overdue reminders, days after it"), ", ".join(str(day) for day in policy.overdue_days) or "–"),
        (_("Card charged again, days after it"), ", ".join(str(day) for day in policy.charge_days) or "–"),
        (_("Suspension, days after it"), policy.suspend_after or _("not by itself")),
    ]


add_deed("dunning/", SetDunning, name="set_dunning")
add_deed("organizations/<int:pk>/dunning/", SetOwnDunning, name="set_own_dunning")
add_deed("organizations/<int:pk>/exempt/", Exempt, name="exempt")
