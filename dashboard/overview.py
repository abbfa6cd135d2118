"""The overview: this month so far, what is left to spend, and the last requests. Refreshes itself while it is looked at.

The page asks every few seconds with the `state` that it shows; while nothing has changed the answer is 204, which htmx takes for
"leave everything as it is", so nothing flickers.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.api_keys import ROLES_THAT_MANAGE_KEYS
from accounts.models import ApiKey, Organization
from billing.estimates import open_periods
from billing.invoice_queries import is_overdue, unpaid_invoices
from billing.settlement import outstanding_by_invoice
from billing.standing import standing_of
from dashboard.access import may, organization_page
from dashboard.charts import Point
from dashboard.request_rows import newest_event, rows_of
from dashboard.templatetags.figures import prose_date
from ledger.balances import available
from ledger.credit_expiry import balance_at
from ledger.models import Balance, Hold, HoldStatus
from ledger.periods import month_bounds
from ledger.velocity import open_stops
from metering.biggest_shares import biggest_shares
from metering.event_filters import EventFilter
from metering.receipts import events_of
from metering.usage_queries import UsageTable, usage_by, waiting_events

SHOWN_GROUPS, SHOWN_REQUESTS = 5, 8


@organization_page()
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    organization, now = request.organization, timezone.now()
    balance = balance_at(organization, now=now)
    stops = open_stops(organization)
    troubles = {
        "stopped": len(stops),
        "unrated": waiting_events(organization=organization),
        "questioned": Hold.objects.for_organization(organization).filter(status=HoldStatus.QUESTIONED).count(),
    }
    state = state_of(organization, balance, troubles, now=now)
    if request.htmx and request.GET.get("state") == state:
        return HttpResponse(status=204)
    context = {"section": "overview", "state": state, **troubles, **figures_of(organization, balance, now=now)}
    context["stops"] = stops
    context["may_manage_keys"] = may(request, ROLES_THAT_MANAGE_KEYS)
    if not context["has_usage"]:
        context["has_keys"] = ApiKey.objects.for_organization(organization).filter(revoked_at=None).exists()
    return render(request, "dashboard/overview_live.html" if request.htmx else "dashboard/overview.html", context)


def state_of(organization: Organization, balance: Balance, troubles: dict[str, int], *, now: datetime) -> str:
    """A short text that differs when what the overview shows has changed: money, the last request, troubles, the day."""
    event = newest_event(organization)
    today = now.astimezone(ZoneInfo(organization.zone)).date()
    seen = (
        event and event.id,
        balance.unbilled,
        balance.held,
        balance.prepaid,
        balance.receivable,
        *troubles.values(),
        today,
        organization.name,
    )
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def figures_of(organization: Organization, balance: Balance, *, now: datetime) -> dict[str, Any]:
    """The month in numbers. `so_far` is exact, so that the first call shows; written in won it is the invoice's supply value."""
    start, end = month_bounds(now, zone=organization.zone)
    by_day = usage_by(organization=organization, start=start, end=end, group_by="day")
    *earlier, current = open_periods(organization=organization, now=now)
    events = events_of(organization=organization, wanted=EventFilter(start=start, end=end), limit=SHOWN_REQUESTS)
    unpaid = unpaid_invoices(organization=organization)
    left = outstanding_by_invoice(unpaid)
    return {
        "now": now,
        "currency": organization.billing_currency,
        "total": by_day.total,
        "estimate": current,
        "so_far": current.charges.charged.exact,
        "unpaid": [(invoice, left[invoice.pk]) for invoice in unpaid if not is_overdue(invoice, now=now)],
        "overdue": [(invoice, left[invoice.pk]) for invoice in unpaid if is_overdue(invoice, now=now)],
        "earlier": [period for period in earlier if period.totals.total],
        "standing": standing_of(balance, [*earlier, current]),
        "may_spend": available(balance) > 0,
        "points": day_points(by_day, start, end, zone=ZoneInfo(organization.zone)),
        "shares": biggest_shares(organization=organization, start=start, end=end, at_most=SHOWN_GROUPS),
        "requests": rows_of(organization, events),
        "has_usage": bool(events) or newest_event(organization) is not None,
    }


def day_points(by_day: UsageTable, start: datetime, end: datetime, *, zone: ZoneInfo) -> list[Point]:
    """A bar for every day of the month; those to come are empty."""
    amounts = {row.start.astimezone(zone).date(): row.total.amount for row in by_day.rows if row.start}
    first = start.astimezone(zone).date()
    count = (end.astimezone(zone).date() - first).days
    days = [first + timedelta(days=number) for number in range(count)]
    return [Point(str(day.day), (amounts.get(day, 0),), prose_date(day)) for day in days]
