"""Alarms: what somebody must see to, open ones first on the console's home. Jobs raise them, and clear them when it is over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts.models import Alarm
from billing.models import AuditRun, InvoiceDraft, OutboxMail, ProcessorOutflow, Refund, TaxInvoice
from catalog.models import Upstream, UpstreamBill
from console.own_words import in_words, words_filter
from console.read_only import ReadOnlyAdmin, address_of, list_of, raw_column, state_label
from console.sentences import in_sentences
from console.site import site

SHOWN = 5
"""How many open alarms the home names; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What an alarm is about, and where an operator sees to it."""

    label: Promise
    headline: Promise
    """What is wrong, in a sentence."""
    remedy: Promise
    """What it means meanwhile, and what to do."""
    place: Callable[[], str]
    place_label: Promise


KINDS: Mapping[str, Kind] = {
    "price_feed": Kind(
        label=_("Price feed"),
        headline=_("The price list was not imported."),
        remedy=_(
            "The prices in force stay. It is tried again by itself; if it goes on, "
            "look at the address and at the list, or import a file."
        ),
        place=lambda: reverse("admin:quarantine"),
        place_label=_("Prices in quarantine"),
    ),
    "price_quarantine": Kind(
        label=_("Price in quarantine"),
        headline=_("Prices wait for a decision."),
        remedy=_("Until you approve or refuse them, the price in force holds and new models are not sold."),
        place=lambda: reverse("admin:quarantine"),
        place_label=_("Prices in quarantine"),
    ),
    "partitions": Kind(
        label=_("Storage by month"),
        headline=_("A coming month has no storage for usage yet."),
        remedy=_(
            "Read the worker's log, repair what it names; it is tried again by itself. Usage of that month cannot be recorded."
        ),
        place=lambda: list_of(Alarm),
        place_label=_("Alarms"),
    ),
    "archive": Kind(
        label=_("Archive of usage"),
        headline=_("Old usage could not be moved to the archive."),
        remedy=_(
            "It stays in the database, and nothing is lost. Read why in the alarm and in the worker's log, and repair it; it is "
            "tried again every night, and the alarm ends by itself."
        ),
        place=lambda: list_of(Alarm),
        place_label=_("Alarms"),
    ),
    "mail_reports": Kind(
        label=_("Reports about mails"),
        headline=_("Reports about mails that came back cannot be read."),
        remedy=_(
            "Until then nobody notices addresses that take no mail. Look at BOUNCE_MAILBOX: its server, its password and its "
            "folder. The alarm ends by itself."
        ),
        place=lambda: list_of(OutboxMail),
        place_label=_("Mails"),
    ),
    "audit": Kind(
        label=_("Audit"),
        headline=_("The books do not agree."),
        remedy=_(
            "Whom it concerns is not invoiced until it is repaired. See which invariant is violated, repair it, and audit again."
        ),
        place=lambda: list_of(AuditRun),
        place_label=_("Audits"),
    ),
    "draft_waits": Kind(
        label=_("Invoice draft"),
        headline=_("A draft of an invoice waits for its review."),
        remedy=_("The customer is not invoiced until it is approved. Look at its lines, and issue it or make it anew."),
        place=lambda: list_of(InvoiceDraft, "status__exact=waiting"),
        place_label=_("Drafts to review"),
    ),
    "upstream_credit": Kind(
        label=_("Credit with an upstream"),
        headline=_("Our credit with an upstream runs out."),
        remedy=_("Without credit it refuses our calls. Buy some there; the alarm ends by itself."),
        place=lambda: list_of(Upstream),
        place_label=_("Upstreams"),
    ),
    "upstream_bill": Kind(
        label=_("Bill of an upstream"),
        headline=_("An upstream bills something else than was recorded."),
        remedy=_(
            "Compare the day: calls that were waived, prices that moved, or somebody else who uses our key. "
            "It is compared again by itself."
        ),
        place=lambda: list_of(UpstreamBill),
        place_label=_("Upstreams' bills"),
    ),
    "tax_invoice": Kind(
        label=_("Tax invoices"),
        headline=_("Tax invoices are not issued, and their deadline is near or over."),
        remedy=_(
            "Open each to see why: refused ones are tried again once their reason is removed, those that were taken back are "
            "issued anew. Without a provider, issue them at the tax office and note their approval numbers. "
            "The alarm ends by itself."
        ),
        place=lambda: list_of(TaxInvoice, "unissued=yes"),
        place_label=_("Tax invoices to be issued"),
    ),
    "supply_proof": Kind(
        label=_("Proof of a supply"),
        headline=_("An invoice has a tax invoice, and a card has paid it all the same."),
        remedy=_("One supply must not have both: refund the card and take a transfer, or cancel the tax invoice."),
        place=lambda: list_of(TaxInvoice),
        place_label=_("Tax invoices"),
    ),
    "deposit_taken_back": Kind(
        label=_("Deposit taken back"),
        headline=_("The bank took a deposit back that has paid."),
        remedy=_(
            "Its money is gone, and invoices stand as paid. Undo the match: they are open again, and the customer is told. "
            "The alarm ends by itself."
        ),
        place=lambda: f"{reverse('admin:deposits')}?state=taken-back",
        place_label=_("Taken back by the bank"),
    ),
    "refund_failed": Kind(
        label=_("Failed refund"),
        headline=_("A refund failed, and its money is still with us."),
        remedy=_(
            "Open the credit note or credit refund that set it aside: refund to the card once more, or send it by transfer and "
            "record that. The alarm ends by itself."
        ),
        place=lambda: list_of(Refund, "status__exact=failed"),
        place_label=_("Refunds"),
    ),
    "processor_outflow": Kind(
        label=_("Money left at the processor"),
        headline=_("Money left at the payment processor that we did not send: a refund made there, or a dispute."),
        remedy=_(
            "Nothing was booked. Of a refund: issue the credit note, and record it by hand under the processor's number. "
            "Of a dispute: answer it at the processor. Then note here what was done."
        ),
        place=lambda: list_of(ProcessorOutflow, "settled_at__isempty=1"),
        place_label=_("Outflows at the processor"),
    ),
    "refund_twice": Kind(
        label=_("Refunded twice"),
        headline=_("A refund that had failed came about after all, after its money had been sent another way."),
        remedy=_(
            "The customer has the amount twice; the books carry it as refunded twice. Agree with the customer how it comes back."
        ),
        place=lambda: list_of(Refund),
        place_label=_("Refunds"),
    ),
    "closed_money": Kind(
        label=_("Money of a closed organization"),
        headline=_("A closed organization holds or owes money."),
        remedy=_(
            "Credit: refund it, or undo the match if it was another customer's transfer. An open invoice: collect it or write it "
            "off. The alarm ends by itself; after CLOSED_MONEY_DAYS the audit reports it."
        ),
        place=lambda: reverse("admin:closures"),
        place_label=_("Closures"),
    ),
    "exchange_rate": Kind(
        label=_("Exchange rate"),
        headline=_("The exchange rate is missing, doubtful or late."),
        remedy=_("Usage without a rate waits without a price. Check the source, or publish a rate by hand."),
        place=lambda: reverse("admin:publish_exchange_rate"),
        place_label=_("Publish an exchange rate"),
    ),
}


class Openness(admin.SimpleListFilter):
    """Unresolved, resolved, or all."""

    title = _("Status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Unresolved")), ("over", _("Resolved"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        wanted = {"open": True, "over": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(cleared_at__isnull=wanted)


def kind_label(kind: str) -> Any:
    known = KINDS.get(kind)
    return known.label if known else kind


@display(description=_("Kind"), ordering="kind")
def kind(alarm: Alarm) -> Any:
    return kind_label(alarm.kind)


@display(description=Alarm._meta.get_field("subject").verbose_name, ordering="subject")
def subject(alarm: Alarm) -> Any:
    return in_words("upstream", alarm.subject)


@display(description=_("What is wrong"), ordering="summary")
def summary(alarm: Alarm) -> str:
    return in_sentences(alarm.summary)


@display(description=_("What to do"))
def remedy(alarm: Alarm) -> Any:
    known = KINDS.get(alarm.kind)
    return format_html("{} {}", known.headline, known.remedy) if known else "–"


@display(description=_("Status"), ordering="cleared_at")
def state(alarm: Alarm) -> str:
    tone, text = ("plain", _("Resolved")) if alarm.cleared_at else ("danger", _("Unresolved"))
    return state_label(tone, text)


def open_alarms() -> QuerySet[Alarm]:
    """The newest first."""
    return Alarm.objects.filter(cleared_at=None).order_by("-raised_at", "-pk")


def shown_alarms() -> dict[str, Any]:
    """What the home says of them."""
    rows = [
        {
            "alarm": alarm,
            "kind": kind_label(alarm.kind),
            "subject": in_words("upstream", alarm.subject),
            "url": address_of(alarm),
            "known": KINDS.get(alarm.kind),
            "summary": in_sentences(alarm.summary),
        }
        for alarm in open_alarms()[:SHOWN]
    ]
    more = open_alarms().count() - len(rows)
    return {"alarms": rows, "more_alarms": max(more, 0), "all_alarms": list_of(Alarm, "state=open")}


@admin.register(Alarm, site=site)
class AlarmAdmin(ReadOnlyAdmin):
    list_display = ("raised_at", kind, subject, state, summary, "last_seen_at", "cleared_at")
    list_filter = (Openness, ("kind", words_filter(kind_label)))
    search_fields = ("subject", "summary", "kind")
    date_hierarchy = "raised_at"
    ordering = ("-raised_at", "-pk")
    empty_text = _("Nothing has called for an operator so far.")
    fieldsets = (
        (None, {"fields": (kind, subject, state, summary, remedy, "raised_at", "last_seen_at", "cleared_at")}),
        (_("Details"), {"fields": (raw_column("detail", _("Values")),)}),
    )

    def deeds(self, obj: Alarm) -> list[tuple[Any, str]]:
        known = KINDS.get(obj.kind)
        return [(known.place_label, known.place())] if known else []
