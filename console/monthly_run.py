"""The run of a month as it goes on: what is closed, what waits and why, which papers and mails are out."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from billing.month_progress import MonthProgress, month_progress
from console.audit_runs import audit_summary
from console.months import last_months, month_named
from console.paging import query_with
from console.site import site


@require_safe
def monthly_run(request: HttpRequest) -> HttpResponse:
    """The last month, unless another is asked for."""
    now = timezone.now()
    months = last_months(now=now)
    month = month_named(request.GET.get("month", months[1].name), now=now)
    progress = month_progress(first=month.first, now=now)
    when, found, tone = audit_summary(now)
    context = {
        "month": month,
        "months": [(one, query_with(request, month=one.name)) for one in months],
        "progress": progress,
        "steps": steps(progress),
        "audit": {"when": when, "found": found, "tone": tone},
    }
    return site.render(request, "console/monthly_run.html", title=_("Monthly run"), **context)


def steps(progress: MonthProgress) -> list[dict[str, Any]]:
    """What is done of how many, step by step."""
    return [
        {"label": _("Periods closed"), "done": progress.closed, "of": progress.periods},
        {"label": _("PDFs made"), "done": progress.documents, "of": progress.invoices},
        {"label": _("Invoices mailed"), "done": progress.mails_sent, "of": progress.mails},
        {"label": _("Invoices paid"), "done": progress.paid, "of": progress.invoices},
    ]


site.pages += [path("monthly-run/", site.admin_view(monthly_run), name="monthly_run")]
