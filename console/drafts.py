"""Drafts of invoices whose customers' terms ask for a review: what each would say, and the deeds that issue it or make it anew."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.models import BillingTerms, Invoice, InvoiceDraft, InvoiceLine
from billing.review import DraftOutdated, approve_draft, remake_draft
from billing.sellers import NoSeller
from console.deeds import Deed, DeedForm, Obstacle, Refused, Row, add_deed
from console.figures import figure, money, money_column, named, percent_column
from console.invoices import line_name
from console.money import CUSTOMER
from console.months import month_text
from console.read_only import ReadOnlyAdmin, address_of, state_column
from console.site import site
from console.standing import ReasonForm
from console.terms_in_words import terms_in_words

TONES = {"waiting": "warning", "approved": "success"}
PERIOD = named(
    "month",
    _("billing period"),
    lambda row: month_text(row.period.starts_at, row.organization),
    order="period__starts_at",
)
TERMS = named("agreed", _("commercial terms"), lambda row: terms_text(row))
OUTDATED = _(
    "The draft was made anew meanwhile, or would come out otherwise by now. Make it anew and look at it again."
)


def terms_text(draft: InvoiceDraft) -> str:
    return terms_in_words(draft.terms or BillingTerms(), draft.currency)


@display(description=_("Lines"))
def lines_table(draft: InvoiceDraft) -> str:
    """As on the invoice; a model leads to its requests of that month."""
    heads = (
        (gettext("Model"), ""),
        (gettext("Item"), ""),
        (gettext("Quantity"), "number"),
        (gettext("Unit price"), "number"),
        (gettext("Exact amount"), "number"),
        (gettext("Amount"), "number"),
    )
    head = format_html_join("", '<th scope="col" class="{1}">{0}</th>', heads)
    rows = format_html_join("", "<tr>{}</tr>", ((_row(heads, _cells(draft, line)),) for line in draft.lines))
    return format_html(
        '<div class="panel-table"><table class="table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head,
        rows,
    )


def _row(heads: Sequence[tuple[str, str]], cells: Sequence[object]) -> str:
    """On a phone, where the head is not shown, each cell says what it is."""
    named_cells = ((label, side, cell) for (label, side), cell in zip(heads, cells, strict=True))
    return format_html_join("", '<td data-label="{}" class="{}">{}</td>', named_cells)


def _cells(draft: InvoiceDraft, line: dict[str, Any]) -> tuple[object, ...]:
    currency, is_usage = draft.currency, bool(line["model"])
    return (
        _requests(draft, line) if is_usage else "–",
        line_name(InvoiceLine(kind=line["kind"], token_class=line["token_class"])),
        figure("tokens")(int(line["quantity"])) if is_usage else "",
        figure("price_text")(Decimal(line["unit_price"]), currency) if is_usage else "",
        figure("money_exact")(Decimal(line["exact_amount"]), currency),
        figure("money")(Decimal(line["amount"]), currency),
    )


def _requests(draft: InvoiceDraft, line: dict[str, Any]) -> str:
    late = line["service_month"] and date.fromisoformat(line["service_month"])
    month = late or first_day(draft)
    asked = {"organization": draft.organization.slug, "month": f"{month:%Y-%m}", "model": line["model"]}
    address = f"{reverse('admin:usage_events')}?{urlencode(asked)}"
    note = f" ({figure('prose_month')(late)})" if late else ""
    return format_html('<a class="text-link mono" href="{}">{}</a>{}', address, line["model"], note)


def first_day(draft: InvoiceDraft) -> date:
    """The first day of the draft's month, where the customer is."""
    return draft.period.starts_at.astimezone(ZoneInfo(draft.period.zone)).date()


@admin.register(InvoiceDraft, site=site)
class InvoiceDraftAdmin(ReadOnlyAdmin):
    list_display = (
        PERIOD,
        CUSTOMER,
        state_column(_("Status"), TONES),
        money_column("subtotal", _("Supply value")),
        money_column("tax", _("VAT")),
        money_column("total", _("Total")),
        TERMS,
        "made_at",
        "reason",
    )
    list_filter = ("status", "currency", "organization")
    search_fields = ("organization__name", "organization__slug", "po_number")
    list_select_related = ("organization", "period", "terms")
    ordering = ("-made_at", "-pk")
    empty_text = _("No customer's terms ask for a review, or no month has ended since.")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    PERIOD,
                    CUSTOMER,
                    "status",
                    TERMS,
                    "po_number",
                    "made_at",
                    "made_by",
                    "reason",
                    "decided_at",
                    "decided_by",
                )
            },
        ),
        (
            _("Amounts"),
            {
                "fields": (
                    money_column("subtotal", _("Supply value")),
                    percent_column("tax_rate", _("VAT rate")),
                    money_column("tax", _("VAT")),
                    money_column("total", _("Total")),
                )
            },
        ),
        (_("Lines"), {"fields": (lines_table,)}),
    )

    def deeds(self, obj: InvoiceDraft) -> list[tuple[Any, str]]:
        if obj.status != InvoiceDraft.Status.WAITING:
            return []
        return [
            (_("Approve and issue"), reverse("admin:approve_draft", args=[obj.pk])),
            (_("Make the draft anew"), reverse("admin:remake_draft", args=[obj.pk])),
            (_("Agree commercial terms"), reverse("admin:set_terms", args=[obj.organization_id])),
        ]


class DraftDeed(Deed):
    """On one draft that waits."""

    def prepare(self, pk: Any) -> None:
        self.draft = get_object_or_404(InvoiceDraft.objects.select_related("organization", "period", "terms"), pk=pk)

    def facts(self) -> list[Row]:
        draft = self.draft
        return [
            (_("organization"), draft.organization),
            (_("billing period"), month_text(draft.period.starts_at, draft.organization)),
            (_("commercial terms"), terms_text(draft)),
            (_("Supply value"), money(draft.subtotal, draft.currency)),
            (_("VAT"), money(draft.tax, draft.currency)),
            (_("Total"), money(draft.total, draft.currency)),
        ]

    def obstacle(self) -> Obstacle | None:
        """Whoever comes late, or again, is shown what became of it."""
        texts = {
            InvoiceDraft.Status.APPROVED: _("The draft was approved already."),
            InvoiceDraft.Status.SUPERSEDED: _("The draft was made anew, so another one has taken its place."),
        }
        if self.draft.status not in texts:
            return None
        return Obstacle(
            text=texts[InvoiceDraft.Status(self.draft.status)],
            facts=self.facts(),
            label=_("See the draft"),
            url=address_of(self._latest()),
        )

    def _latest(self) -> InvoiceDraft:
        """The one that took its place, or itself."""
        drafts = InvoiceDraft.objects.filter(organization=self.draft.organization, period=self.draft.period)
        return drafts.order_by("-made_at", "-pk").first() or self.draft

    def back(self) -> str:
        return address_of(self.draft)


class Approve(DraftDeed):
    title = _("Approve the draft")
    lead = _("Its invoice is issued at once: it takes the next number, uses credit, and is mailed to the customer.")
    button = _("Issue the invoice")
    invoice: Invoice | None = None
    """Once it is issued."""

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        if self.draft.status == InvoiceDraft.Status.SUPERSEDED:
            raise Refused(OUTDATED)
        return [*self.facts(), (_("PO number"), self.draft.po_number or "–")]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            self.invoice = approve_draft(
                organization_id=self.draft.organization_id, draft_id=self.draft.pk, now=now, actor=self.request.user
            )
        except DraftOutdated:
            raise Refused(OUTDATED) from None
        except NoSeller:
            raise Refused(gettext("The seller's details are missing: enter them first.")) from None
        if self.invoice is None:
            return gettext("The month is closed without an invoice.")
        return gettext("Invoice %(number)s is issued.") % {"number": self.invoice.number}

    def back(self) -> str:
        return address_of(self.invoice or self.draft)


class RemakeForm(ReasonForm):
    po_number = forms.CharField(
        label=_("PO number"), max_length=50, required=False, help_text=_("Of this invoice only; empty: none.")
    )
    field_order = ("po_number", "reason")


class Remake(DraftDeed):
    form_class: type[DeedForm] = RemakeForm
    title = _("Make the draft anew")
    lead = _(
        "By the terms that hold for its month by now, and the tax rate of today. The draft that it was stays in the list."
    )
    button = _("Make it anew")

    def initial(self) -> dict[str, Any]:
        return {"po_number": self.draft.po_number}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        before, after = self.draft.po_number or "–", values["po_number"] or "–"
        return [
            *self.facts(),
            (_("PO number"), f"{before} → {after}" if before != after else before),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        before = self.draft
        try:
            self.draft = remake_draft(
                organization_id=before.organization_id,
                draft_id=before.pk,
                po_number=values["po_number"],
                reason=values["reason"],
                now=now,
                actor=self.request.user,
            )
        except DraftOutdated:
            raise Refused(OUTDATED) from None
        return gettext("The draft is made anew: %(before)s → %(after)s") % {
            "before": figure("money")(before.total, before.currency),
            "after": figure("money")(self.draft.total, self.draft.currency),
        }


add_deed("drafts/<uuid:pk>/approve/", Approve, name="approve_draft")
add_deed("drafts/<uuid:pk>/remake/", Remake, name="remake_draft")
