"""Quotations (견적서): those of all customers, their PDFs, and a deed that makes one for a customer."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from billing import documents
from billing.models import Quotation
from billing.papers.paper_kinds import file_name
from billing.papers.quotations import USUAL_VALIDITY, InvalidValidity, Item, NothingToQuote, NotPriced, make_quotation
from billing.sellers import NoSeller
from billing.what_if import Volume
from catalog.models_in_memory import all_models
from console.deeds import DayInput, Deed, DeedForm, Refused, Row, add_deed
from console.figures import figure, money_column, named
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin, list_of
from console.site import site
from console.stored_documents import inline_pdf


class QuotationForm(DeedForm):
    volumes = forms.CharField(
        label=_("Models and volumes"),
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        help_text=_("A line each: model ID, input tokens, output tokens, and requests if known, parted by spaces."),
    )
    subject = forms.CharField(label=_("Subject"), max_length=100, required=False)
    valid_until = forms.DateField(label=_("Valid until"), widget=DayInput)

    def clean_volumes(self) -> list[Item]:
        known = {model.slug: model for model in all_models()}
        items = []
        for line in self.cleaned_data["volumes"].splitlines():
            name, *counts = line.split() or [""]
            if not name:
                continue
            if name not in known:
                raise forms.ValidationError(gettext("There is no model %(model)s.") % {"model": name})
            if not 0 < len(counts) <= 3 or not all(count.replace(",", "").isdecimal() for count in counts):
                raise forms.ValidationError(gettext("These volumes cannot be read: %(line)s") % {"line": line})
            numbers = [int(count.replace(",", "")) for count in counts] + [0, 0]
            volume = Volume(input_tokens=numbers[0], output_tokens=numbers[1], requests=numbers[2])
            items.append(Item(model=known[name], volume=volume))
        return items


class Quote(Deed):
    form_class = QuotationForm
    title = _("Make a quotation")
    lead = _(
        "The customer's own prices and terms of now. It is kept as it is made, and the customer finds it on their pages."
    )
    button = _("Make the quotation")

    def prepare(self, pk: int) -> None:
        self.organization = get_object_or_404(Organization, pk=pk)

    def initial(self) -> dict[str, Any]:
        return {"valid_until": (timezone.localtime() + USUAL_VALIDITY).date()}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [
            (_("organization"), self.organization),
            *(
                (
                    item.model.slug,
                    f"{item.volume.input_tokens:,} / {item.volume.output_tokens:,} / {item.volume.requests:,}",
                )
                for item in values["volumes"]
            ),
            (_("Subject"), values["subject"] or "–"),
            (_("Valid until"), figure("table_date")(values["valid_until"])),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            quotation = make_quotation(
                organization=self.organization,
                items=values["volumes"],
                valid_until=values["valid_until"],
                subject=values["subject"],
                actor=self.request.user,
                now=now,
            )
        except NothingToQuote:
            raise Refused(gettext("There is no volume to quote.")) from None
        except NotPriced as problem:
            raise Refused(gettext("%(model)s has no price for this volume.") % {"model": problem.model}) from None
        except InvalidValidity:
            raise Refused(gettext("Please choose a day from today on, within a year.")) from None
        except NoSeller:
            raise Refused(gettext("Our own details are missing: enter the seller first.")) from None
        return gettext("Quotation %(number)s is made.") % {"number": quotation.number}

    def back(self) -> str:
        return list_of(Quotation)


def pdf_link(quotation: Quotation) -> Any:
    address = reverse("admin:quotation_pdf", args=[quotation.pk])
    return format_html('<a class="text-link" href="{}">{}</a>', address, gettext("Open the PDF"))


@admin.register(Quotation, site=site)
class QuotationAdmin(ReadOnlyAdmin):
    list_display = (
        named("number", _("Number"), lambda row: row.number, order="pk"),
        CUSTOMER,
        "subject",
        "issued_on",
        "valid_until",
        money_column("total", _("Total")),
        named("pdf", _("PDF"), pdf_link),
    )
    list_filter = ("organization",)
    search_fields = ("subject", "organization__name", "organization__slug")
    list_select_related = ("organization",)
    ordering = ("-pk",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    named("number", _("Number"), lambda row: row.number),
                    CUSTOMER,
                    "subject",
                    "issued_on",
                    "valid_until",
                    money_column("subtotal", _("Supply value")),
                    money_column("tax", _("VAT")),
                    money_column("total", _("Total")),
                    "created_by",
                    "created_at",
                    named("pdf", _("PDF"), pdf_link),
                )
            },
        ),
    )


def quotation_pdf(request: HttpRequest, pk: int) -> HttpResponse:
    """As the customer gets it."""
    quotation = get_object_or_404(Quotation, pk=pk)
    return inline_pdf(documents.open_document(quotation, now=timezone.now()), name=file_name(quotation))


add_deed("organizations/<int:pk>/quote/", Quote, name="quote")
site.pages.append(path("quotations/<int:pk>.pdf", site.admin_view(quotation_pdf), name="quotation_pdf"))
