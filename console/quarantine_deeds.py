"""Approve or refuse prices in quarantine, one or many at once, with a reason."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from catalog.feed import quarantine
from catalog.models import QuarantinedPrice
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.quarantine import changes_of, told

MOST, LONGEST_NUMBER = 200, 18


def numbers_in(given: str) -> list[int]:
    """The entries that a field or an address names; what can be no number of theirs is passed over."""
    named = (number.strip() for number in given.split(","))
    return [int(number) for number in named if number.isdecimal() and len(number) <= LONGEST_NUMBER][:MOST]


class DecisionForm(DeedForm):
    entries = forms.CharField(widget=forms.HiddenInput, max_length=5000, required=False)
    reason = forms.CharField(label=_("Reason"), max_length=200)

    def clean_entries(self) -> list[int]:
        return numbers_in(self.cleaned_data["entries"])


class Decision(Deed):
    """What approving and refusing have in common. The list's checkboxes name the entries in the address."""

    form_class = DecisionForm

    def initial(self) -> dict[str, Any]:
        return {"entries": ",".join(self.request.GET.getlist("entry"))}

    @property
    def facts(self) -> Sequence[Row]:
        """What the form is about, above it."""
        given = self.request.POST.get("entries") or ",".join(self.request.GET.getlist("entry"))
        return [(entry.get_doubt_display(), entry.slug) for entry in self.waiting(numbers_in(given))]

    def waiting(self, numbers: Sequence[int]) -> list[QuarantinedPrice]:
        rows = QuarantinedPrice.objects.select_related("cost_table", "language_model")
        return list(rows.filter(pk__in=numbers, status=QuarantinedPrice.Status.OPEN).order_by("slug"))

    def chosen(self, values: dict[str, Any]) -> list[QuarantinedPrice]:
        entries = self.waiting(values["entries"])
        if not entries:
            raise Refused(gettext("None of these prices waits any more. Choose them from the list."))
        return entries

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        rows: list[Row] = []
        for entry in self.chosen(values):
            changes = told(changes_of(entry))
            rows.append((entry.get_doubt_display(), " · ".join(filter(None, (entry.slug, changes)))))
        return [*rows, (_("Reason"), values["reason"])]

    def decide(self, decision: Callable[..., object], entries: Sequence[QuarantinedPrice], *, reason: str) -> int:
        """How many of them were decided now; the others somebody decided meanwhile."""
        done = 0
        for entry in entries:
            try:
                decision(entry_id=entry.pk, reason=reason, clock=timezone.now, actor=self.request.user)
            except quarantine.AlreadyDecided:
                continue
            done += 1
        return done

    def back(self) -> str:
        return reverse("admin:quarantine")


class Approve(Decision):
    title = _("Approve prices in quarantine")
    lead = _("They hold within seconds, and what is used from then on is charged by them.")
    button = _("Approve")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check(self.chosen(values))
        return super().review(values, now=now)

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        entries = self.chosen(values)
        self._check(entries)
        done = self.decide(quarantine.approve, entries, reason=values["reason"])
        return ngettext("%(count)d price approved", "%(count)d prices approved", done) % {"count": done}

    def _check(self, entries: Sequence[QuarantinedPrice]) -> None:
        wrong = next((entry for entry in entries if entry.doubt in quarantine.NOT_APPROVABLE), None)
        if wrong is not None:
            raise Refused(gettext("The price of %(model)s cannot be charged, only refused.") % {"model": wrong.slug})


class Refuse(Decision):
    title = _("Refuse prices in quarantine")
    lead = _(
        "What is in force stays in force. The same price is not asked about again until the list says something else."
    )
    button = _("Refuse")
    danger = True

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        done = self.decide(quarantine.refuse, self.chosen(values), reason=values["reason"])
        return ngettext("%(count)d price refused", "%(count)d prices refused", done) % {"count": done}


add_deed("prices/approve/", Approve, name="approve_prices")
add_deed("prices/refuse/", Refuse, name="refuse_prices")
