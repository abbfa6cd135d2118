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
    count = UnratedUsage.objects.count()
    return Tile(
        label=_("Waiting for a price"),
        value=figure("tokens")(count),
        note=gettext("requests without a charge") if count else gettext("every request has its price"),
        url=reverse("admin:usage_unrated"),
        tone="warning" if count else "good",
    )


def holds_tile() -> Tile:
    count = Hold.objects.filter(status=HoldStatus.QUESTIONED).count()
    return Tile(
        label=_("Questioned holds"),
        value=figure("tokens")(count),
        note=gettext("calls whose cost nobody knows") if count else gettext("every call told its cost"),
        url=reverse("admin:usage_holds"),
        tone="warning" if count else "good",
    )


def invoice_tiles(now: datetime) -> list[Tile]:
    open_ones = Invoice.objects.filter(status=Invoice.Status.OPEN)
    drafts = InvoiceDraft.objects.filter(status=InvoiceDraft.Status.WAITING).count()
    return [
        Tile(
            label=_("Drafts to review"),
            value=figure("tokens")(drafts),
            note=gettext("wait for your word") if drafts else gettext("nothing"),
            url=list_of(InvoiceDraft, "status__exact=waiting"),
            tone="warning" if drafts else "good",
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
    count = len(found)
    return Tile(
        label=label,
        value=figure("tokens")(count),
        note=due or gettext("nothing"),
        url=url,
        tone=tone if count else "good",
    )


def refunds_tile() -> Tile:
    """What credit notes and payouts of credit set aside for customers and nobody has sent back."""
    notes, payouts = (to_be_refunded(model.objects.all()).count() for model in (CreditNote, CreditPayout))
    count = notes + payouts
    return Tile(
        label=_("To be refunded"),
        value=figure("tokens")(count),
        note=gettext("corrections whose money is still here") if count else gettext("nothing"),
        url=list_of(CreditPayout if payouts and not notes else CreditNote, "refund=open"),
        tone="warning" if count else "good",
    )


def deposits_tile() -> Tile:
    """Money on our account of which nobody knows what it pays, and since when the oldest waits."""
    waiting = BankDeposit.objects.filter(decision=None)
    count, oldest = waiting.count(), waiting.order_by("at").first()
    since = gettext("the oldest of %(day)s") % {"day": figure("table_date")(oldest.at)} if oldest else ""
    return Tile(
        label=_("Deposits to match"),
        value=figure("tokens")(count),
        note=since or gettext("every deposit found its invoice"),
        url=reverse("admin:deposits"),
        tone="warning" if count else "good",
    )


def mail_tiles() -> list[Tile]:
    waiting = OutboxMail.objects.filter(status=OutboxMail.Status.WAITING).count()
    failed = OutboxMail.objects.filter(GIVEN_UP).count()
    return [
        Tile(
            label=_("Mails waiting"),
            value=figure("tokens")(waiting),
            note=gettext("in the outbox"),
            url=list_of(OutboxMail, "status=waiting"),
        ),
        Tile(
            label=_("Mails failed"),
            value=figure("tokens")(failed),
            note=gettext("not tried again") if failed else gettext("nothing"),
            url=list_of(OutboxMail, "given_up=yes"),
            tone="danger" if failed else "good",
        ),
    ]


def processor_tiles() -> list[Tile]:
    events = ProcessorEvent.objects.filter(processed_at=None).count()
    unknown = Payment.objects.filter(status=Payment.Status.UNKNOWN).count()
    return [
        Tile(
            label=_("Processor events to process"),
            value=figure("tokens")(events),
            note=gettext("in the inbox"),
            url=list_of(ProcessorEvent, "processed_at__isempty=1"),
            tone="warning" if events else "good",
        ),
        Tile(
            label=_("Payments in doubt"),
            value=figure("tokens")(unknown),
            note=gettext("their answer never came") if unknown else gettext("nothing"),
            url=list_of(Payment, "status=unknown"),
            tone="warning" if unknown else "good",
        ),
    ]


def price_tiles(now: datetime) -> list[Tile]:
    count, url = waiting_count(), reverse("admin:quarantine")
    imported, note, tone = feed_summary(now)
    return [
        Tile(
            label=_("Prices in quarantine"),
            value=figure("tokens")(count),
            note=gettext("wait for a decision") if count else gettext("every price is believed"),
            url=f"{url}#waiting-title",
            tone="warning" if count else "good",
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
