"""The first page: how business goes, and what wants attention. Each figure leads to the list behind it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from billing.mail.outbox import GIVEN_UP
from billing.models import (
    AuditRun,
    BankDeposit,
    CreditNote,
    CreditPayout,
    Invoice,
    InvoiceDraft,
    OutboxMail,
    Payment,
    ProcessorEvent,
)
from billing.settlement import outstanding_by_invoice
from catalog.models import ExchangeRate
from console.alarms import shown_alarms
from console.audit_runs import audit_summary
from console.credit_notes import to_be_refunded
from console.exchange_rates import won
from console.figures import figure
from console.invoices import overdue
from console.months import day_bounds, month_of
from console.own_words import in_words
from console.quarantine import feed_summary, waiting_count
from console.rate_standing import rate_standing
from console.read_only import list_of
from console.site import site
from console.takings import by_currency, takings_by_organization
from ledger.models import Hold, HoldStatus
from metering.models import UnratedUsage, UsageRollup
from pricing.exact import ZERO, exact_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One thing to keep an eye on. `tone` is "good", "warning", "danger" or empty."""

    label: Any
    value: str
    note: str = ""
    url: str
    tone: str = ""


def counted(label: Any, count: int, *, note: str, none: str = "", url: str, tone: str = "warning") -> Tile:
    """How many of something there are: `tone` and `note` while there are any, else good, and `none` of them."""
    return Tile(
        label=label,
        value=figure("tokens")(count),
        note=note if count else none or gettext("nothing"),
        url=url,
        tone=tone if count else "good",
    )


def home(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    month = month_of(now)
    rows = takings_by_organization(start=month.start, end=month.end)
    context = {
        "month": month,
        "requests_today": requests_since(day_bounds(timezone.localdate(now))[0]),
        "requests_month": sum(row.requests for row in rows),
        "organizations": Organization.objects.filter(status=Organization.Status.ACTIVE).count(),
        "totals": by_currency(rows),
        "biggest": rows[:5],
        **shown_alarms(),
        "tiles": [
            unrated_tile(),
            holds_tile(),
            *invoice_tiles(now),
            deposits_tile(),
            refunds_tile(),
            *mail_tiles(),
            *processor_tiles(),
            *price_tiles(now),
            rate_tile(now),
            audit_tile(now),
        ],
    }
    return site.render(request, "console/home.html", title=_("Home"), **context)


def requests_since(start: datetime) -> int:
    return UsageRollup.objects.filter(hour__gte=start).aggregate(sum=Sum("requests"))["sum"] or 0


def unrated_tile() -> Tile:
    return counted(
        _("Waiting for a price"),
        UnratedUsage.objects.count(),
        note=gettext("requests without a charge"),
        none=gettext("every request has its price"),
        url=reverse("admin:usage_unrated"),
    )


def holds_tile() -> Tile:
    return counted(
        _("Questioned holds"),
        Hold.objects.filter(status=HoldStatus.QUESTIONED).count(),
        note=gettext("calls whose cost nobody knows"),
        none=gettext("every call told its cost"),
        url=reverse("admin:usage_holds"),
    )


def invoice_tiles(now: datetime) -> list[Tile]:
    open_ones = Invoice.objects.filter(status=Invoice.Status.OPEN)
    return [
        counted(
            _("Drafts to review"),
            InvoiceDraft.objects.filter(status=InvoiceDraft.Status.WAITING).count(),
            note=gettext("wait for your word"),
            url=list_of(InvoiceDraft, "status__exact=waiting"),
        ),
        _due(_("Open invoices"), open_ones, url=list_of(Invoice, "status=open"), tone=""),
        _due(_("Overdue invoices"), overdue(open_ones, now=now), url=list_of(Invoice, "overdue=yes"), tone="danger"),
    ]


def _due(label: Any, invoices: Any, *, url: str, tone: str) -> Tile:
    found = list(invoices)
    left = outstanding_by_invoice(found)
    sums: dict[str, Decimal] = {}
    for invoice in found:
        sums[invoice.currency] = exact_sum((sums.get(invoice.currency, ZERO), left[invoice.pk]))
    due = " · ".join(figure("money")(sums[currency], currency) for currency in sorted(sums))
    return counted(label, len(found), note=due, url=url, tone=tone)


def refunds_tile() -> Tile:
    """What credit notes and payouts of credit set aside for customers and nobody has sent back."""
    notes, payouts = (to_be_refunded(model.objects.all()).count() for model in (CreditNote, CreditPayout))
    return counted(
        _("To be refunded"),
        notes + payouts,
        note=gettext("corrections whose money is still here"),
        url=list_of(CreditPayout if payouts and not notes else CreditNote, "refund=open"),
    )


def deposits_tile() -> Tile:
    """Money on our account of which nobody knows what it pays, and since when the oldest waits."""
    waiting = BankDeposit.objects.undecided()
    oldest = waiting.order_by("at").first()
    return counted(
        _("Deposits to match"),
        waiting.count(),
        note=gettext("the oldest of %(day)s") % {"day": figure("table_date")(oldest.at)} if oldest else "",
        none=gettext("every deposit found its invoice"),
        url=reverse("admin:deposits"),
    )


def mail_tiles() -> list[Tile]:
    waiting = OutboxMail.objects.filter(status=OutboxMail.Status.WAITING).count()
    return [
        Tile(
            label=_("Mails waiting"),
            value=figure("tokens")(waiting),
            note=gettext("in the outbox"),
            url=list_of(OutboxMail, "status=waiting"),
        ),
        counted(
            _("Mails failed"),
            OutboxMail.objects.filter(GIVEN_UP).count(),
            note=gettext("not tried again"),
            url=list_of(OutboxMail, "given_up=yes"),
            tone="danger",
        ),
    ]


def processor_tiles() -> list[Tile]:
    return [
        counted(
            _("Processor events to process"),
            ProcessorEvent.objects.filter(processed_at=None).count(),
            note=gettext("in the inbox"),
            none=gettext("in the inbox"),
            url=list_of(ProcessorEvent, "processed_at__isempty=1"),
        ),
        counted(
            _("Payments in doubt"),
            Payment.objects.filter(status=Payment.Status.UNKNOWN).count(),
            note=gettext("their answer never came"),
            url=list_of(Payment, "status=unknown"),
        ),
    ]


def price_tiles(now: datetime) -> list[Tile]:
    url = reverse("admin:quarantine")
    imported, note, tone = feed_summary(now)
    return [
        counted(
            _("Prices in quarantine"),
            waiting_count(),
            note=gettext("wait for a decision"),
            none=gettext("every price is believed"),
            url=f"{url}#waiting-title",
        ),
        Tile(label=_("Price list"), value=imported, note=note, url=url, tone=tone),
    ]


def audit_tile(now: datetime) -> Tile:
    """When the books were audited last, and how that went."""
    when, note, tone = audit_summary(now)
    return Tile(label=_("Last audit"), value=when, note=note, url=list_of(AuditRun), tone=tone)


def rate_tile(now: datetime) -> Tile:
    """The last exchange rate and its age, and what the next month will be charged by as it stands."""
    standing, url = rate_standing(now=now), list_of(ExchangeRate)
    last, coming = standing.last, standing.next_month
    if last is None:
        return Tile(label=_("Exchange rate"), value="–", note=gettext("none was published"), url=url, tone="danger")
    ahead = gettext("next month: %(rate)s") % {"rate": won(coming.rate) if coming else gettext("none")}
    note = f"{in_words('source', last.source)}, {standing.age} · {ahead}"
    return Tile(label=_("Exchange rate"), value=won(last.rate), note=note, url=url, tone=standing.tone)
