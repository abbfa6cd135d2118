"""Credit notes that were proposed because prices of an invoiced month were corrected: old and new side by side, to decide upon."""

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.models import CreditNoteProposal
from console.figures import count_column, figure, money_column
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin, linked, state_column
from console.site import site
from metering.token_labels import TOKEN_CLASSES
from pricing.tokens import TokenClass

TONES = {"proposed": "warning", "superseded": "plain", "accepted": "success"}
INVOICE = linked("of_invoice", _("invoice"), lambda row: row.invoice, order="invoice__number")


@display(description=_("Lines"))
def lines_table(proposal: CreditNoteProposal) -> str:
    """What would be charged instead: quantity × the new unit price in place of quantity × the old one."""
    heads = (
        (gettext("Model"), ""),
        (gettext("Kind"), ""),
        (gettext("Quantity"), "number"),
        (gettext("Unit price"), "number"),
        (gettext("Amount"), "number"),
        (gettext("Difference"), "number"),
    )
    head = format_html_join("", '<th scope="col" class="{1}">{0}</th>', heads)
    rows = format_html_join(
        "",
        '<tr><td class="mono">{}</td><td>{}</td><td class="number">{}</td><td class="number">{} → {}</td>'
        '<td class="number">{} → {}</td><td class="number strong">{}</td></tr>',
        (_cells(line, proposal.currency) for line in proposal.lines),
    )
    return format_html('<table class="table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, rows)


def _cells(line: dict[str, Any], currency: str) -> tuple[object, ...]:
    exact = figure("money_exact")
    late = f" ({line['service_month'][:7]})" if line["service_month"] else ""
    return (
        line["model"] + late,
        TOKEN_CLASSES[TokenClass(line["token_class"])],
        figure("tokens")(line["quantity"]),
        figure("price_text")(Decimal(line["unit_price"]), currency),
        figure("price_text")(Decimal(line["new_unit_price"]), currency),
        exact(Decimal(line["before"]), currency),
        exact(Decimal(line["after"]), currency),
        exact(Decimal(line["difference"]), currency),
    )


@admin.register(CreditNoteProposal, site=site)
class CreditNoteProposalAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        INVOICE,
        CUSTOMER,
        state_column(_("Status"), TONES),
        money_column("total_change", _("Difference, VAT included")),
        count_column("event_count", _("Requests")),
        "reason",
    )
    list_filter = ("status", "currency", "organization")
    search_fields = ("invoice__number", "organization__name", "organization__slug", "reason")
    list_select_related = ("invoice", "organization")
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {"fields": (INVOICE, CUSTOMER, "status", "reason", "created_by", "created_at")},
        ),
        (
            _("Amounts"),
            {
                "fields": (
                    money_column("subtotal_change", _("Supply value")),
                    money_column("tax_change", _("VAT")),
                    money_column("total_change", _("Difference, VAT included")),
                    count_column("event_count", _("Requests")),
                    count_column("unpriced_count", _("Requests without a price now, left as they are")),
                )
            },
        ),
        (_("Lines"), {"fields": (lines_table,)}),
    )

    def deeds(self, obj: CreditNoteProposal) -> list[tuple[Any, str]]:
        if obj.status != CreditNoteProposal.Status.PROPOSED or obj.subtotal_change >= 0:
            return []
        return [(_("Make the proposed credit note"), reverse("admin:accept_proposal", args=[obj.pk]))]
