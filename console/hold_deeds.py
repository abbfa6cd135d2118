"""Answer by hand what a call cost that nobody saw end: by the upstream's bill, or by letting it go."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from catalog import price_book
from catalog.models import LanguageModel
from console.deeds import Deed, Refused, Row, add_deed
from console.figures import figure
from console.standing import ReasonForm
from ledger import questions
from metering import answering_questions
from pricing.tokens import MAX_COUNT, TokenUsage


class CountsForm(ReasonForm):
    prompt_tokens = forms.IntegerField(label=_("Input tokens"), min_value=0, max_value=MAX_COUNT)
    completion_tokens = forms.IntegerField(label=_("Output tokens"), min_value=0, max_value=MAX_COUNT)
    field_order = ("prompt_tokens", "completion_tokens", "reason")


class HoldDeed(Deed):
    """On one questioned hold."""

    def prepare(self, slug: str, hold_id: UUID) -> None:
        self.organization = get_object_or_404(Organization, slug=slug)
        found = questions.look_at(organization_id=self.organization.pk, hold_id=hold_id)
        if found is None:
            raise Http404
        self.question = found

    def facts(self) -> list[Row]:
        model = LanguageModel.objects.get(pk=self.question.model_id)
        return [
            (_("organization"), self.organization.name),
            (_("Model"), model.slug),
            (_("Request ID"), self.question.request_id),
            (_("Since"), figure("table_second")(self.question.created_at)),
            (_("Held, VAT included"), figure("money")(self.question.amount, self.organization.billing_currency)),
        ]

    def back(self) -> str:
        return reverse("admin:usage_holds")


class WaiveHold(HoldDeed):
    form_class = ReasonForm
    title = _("Waive the call")
    lead = _("Its held amount is given back, and the customer sees the call at no charge, marked as waived.")
    button = _("Waive")
    danger = True

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [*self.facts(), (_("Reason"), values["reason"])]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            answering_questions.waive_by_hand(self.question, reason=values["reason"], actor=self.request.user, now=now)
        except answering_questions.NotAQuestion:
            raise Refused(gettext("The call has been answered meanwhile.")) from None
        return gettext("The call is waived.")


class ChargeHold(HoldDeed):
    form_class = CountsForm
    title = _("Enter what the call used")
    lead = _(
        "By the upstream's bill. It is charged at the prices of its moment, marked as estimated, and never more than was held."
    )
    button = _("Charge")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        usage = usage_of(values)
        try:
            amount = answering_questions.worth(self.question, usage)
        except price_book.NoRate:
            raise Refused(gettext("This model has no price of its own; the call can only be waived.")) from None
        if amount > self.question.amount:
            raise Refused(gettext("That would cost more than was held for the call."))
        return [
            *self.facts(),
            (_("Input tokens"), figure("tokens")(values["prompt_tokens"])),
            (_("Output tokens"), figure("tokens")(values["completion_tokens"])),
            (_("Charge, VAT included"), figure("money")(amount, self.organization.billing_currency)),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            answering_questions.charge_by_hand(
                self.question, usage_of(values), reason=values["reason"], actor=self.request.user, now=now
            )
        except answering_questions.MoreThanHeld:
            raise Refused(gettext("That would cost more than was held for the call.")) from None
        except answering_questions.NotAQuestion:
            raise Refused(gettext("The call has been answered meanwhile.")) from None
        return gettext("The call is charged.")


def usage_of(values: dict[str, Any]) -> TokenUsage:
    return TokenUsage(input_tokens=values["prompt_tokens"], output_tokens=values["completion_tokens"])


add_deed("holds/<slug:slug>/<uuid:hold_id>/waive/", WaiveHold, name="waive_hold")
add_deed("holds/<slug:slug>/<uuid:hold_id>/charge/", ChargeHold, name="charge_hold")
