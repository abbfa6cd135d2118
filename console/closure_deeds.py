"""Close an organization for a reason of ours, or take a closure back; how far one is, on the organization's page."""

from datetime import datetime
from typing import Any

from django import forms
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from accounts.organizations import NotPossible
from billing.closures import asking
from billing.closures.remaining import Remaining, Step, remaining
from billing.models import Closure
from console.deeds import DeedForm, Refused, Row, add_deed
from console.figures import money, named
from console.read_only import ReadOnlyInline
from console.standing import OrganizationDeed, ReasonForm

STEPS = {
    Step.CALLS: _("calls unresolved"),
    Step.PRICES: _("calls without a price"),
    Step.INVOICE: _("months not invoiced"),
    Step.PAYMENT: _("unpaid"),
    Step.CREDIT: _("paid credit to be refunded"),
    Step.REFUND: _("payments and refunds under way"),
}


def left_to_do(closure: Closure) -> Any:
    """What remains of a closure that is carried out, with its figures, and what came after it was over."""
    if closure.ended_at is None:
        return "–"
    rows = remaining(closure.organization, now=timezone.now())
    words = ((STEPS[row.step], _figures(row, closure)) for row in rows)
    return format_html_join(", ", "{} {}", words) or gettext("nothing")


class ClosureForm(DeedForm):
    when = forms.ChoiceField(
        label=_("When"), choices=[("month_end", _("When its month ends")), ("at_once", _("At once"))]
    )
    slug = forms.CharField(
        label=_("Its slug, typed"), max_length=50, help_text=_("So that nobody is closed by mistake.")
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)


class CloseOrganization(OrganizationDeed):
    form_class = ClosureForm
    title = _("Close the organization")
    lead = _(
        "Its API keys end for good, its month ends with a final invoice. Once nothing is owed and paid credit is refunded, it is"
        " closed."
    )
    button = _("Close")
    danger = True

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check(values)
        when = dict(self.form_class.base_fields["when"].choices)[values["when"]]
        return [*super().review(values, now=now), (_("When"), when)]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        self._check(values)
        try:
            asking.ask_for_closure(
                organization_id=self.organization.pk,
                at_once=values["when"] == "at_once",
                reason=values["reason"],
                by_operator=True,
                actor=self.request.user,
                now=now,
            )
        except NotPossible:
            raise Refused(gettext("It closes already.")) from None
        return gettext("The closure of %(name)s is noted.") % {"name": self.organization.name}

    def _check(self, values: dict[str, Any]) -> None:
        if values["slug"] != self.organization.slug:
            raise Refused(gettext("This is not the slug of the organization."))


class TakeClosureBack(OrganizationDeed):
    form_class = ReasonForm
    title = _("Take the closure back")
    lead = _("The organization goes on as before. Possible until its closing moment.")
    button = _("Take the closure back")

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            asking.take_back(
                organization_id=self.organization.pk, reason=values["reason"], now=now, actor=self.request.user
            )
        except NotPossible:
            raise Refused(gettext("It is too late: the closing moment has come.")) from None
        return gettext("%(name)s is not closed.") % {"name": self.organization.name}


class Closures(ReadOnlyInline):
    """Each wish to close it, and what is left of the one that is carried out."""

    model = Closure
    verbose_name_plural = _("Closure")
    ordering = ("-asked_at", "-pk")
    fields = (
        "status",
        "closes_at",
        "at_once",
        "by_operator",
        "reason",
        "asked_at",
        "asked_by",
        "withdrawn_at",
        "ended_at",
        "closed_at",
        named("left", _("Left to do"), left_to_do),
    )


def closure_deeds(organization: Organization) -> list[tuple[Any, str]]:
    """Close it or, while it is asked for, take that back."""
    if organization.has_ended:
        return []
    if organization.closes_at is not None:
        return [(_("Take the closure back"), reverse("admin:take_closure_back", args=[organization.pk]))]
    return [(_("Close the organization"), reverse("admin:close_organization", args=[organization.pk]))]


def _figures(row: Remaining, closure: Closure) -> str:
    parts = [str(row.count)] if row.count else []
    parts += [money(row.amount, closure.organization.billing_currency)] if row.amount else []
    return " · ".join(parts)


add_deed("organizations/<int:pk>/close/", CloseOrganization, name="close_organization")
add_deed("organizations/<int:pk>/take-back/", TakeClosureBack, name="take_closure_back")
