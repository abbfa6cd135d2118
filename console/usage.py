"""Usage: sums by customer and month, single requests with their receipts, what waits for a price, what nobody knows the cost of.

The hot tables have composite keys, which Django's admin does not take, so these are pages of our own within its frame.
"""

from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Count, Max, Min, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.models import ApiKey, Organization, Source
from catalog.models import LanguageModel
from console.deeds import DayInput, DeedForm
from console.months import day_bounds, last_months, month_named
from console.paging import before_an_id, newest_first, page_of, pages, query_with
from console.site import site
from console.takings import by_currency, takings_by_model, takings_by_organization
from ledger.event_ids import first_id_at
from ledger.models import Hold, HoldStatus
from metering.models import EventKind, Evidence, UnratedUsage, UsageEvent
from metering.receipts import receipt_of
from metering.stored_events import Look, look
from metering.token_labels import TOKEN_CLASSES
from pricing.tokens import PIECE_CLASSES


@require_safe
def summary(request: HttpRequest) -> HttpResponse:
    """What each customer used in a month, what it brought and what it cost; of one customer, by model."""
    now = timezone.now()
    month = month_named(request.GET.get("month", ""), now=now)
    chosen = request.GET.get("organization")
    organization = get_object_or_404(Organization, slug=chosen) if chosen else None
    if organization:
        rows = takings_by_model(organization=organization, start=month.start, end=month.end)
    else:
        rows = takings_by_organization(start=month.start, end=month.end)
    page = page_of(request, rows)
    context = {
        "month": month,
        "months": [(one, query_with(request, month=one.name, page=None)) for one in last_months(now=now)],
        "organization": organization,
        "rows": page.object_list,
        "totals": by_currency(rows),
        **pages(request, page, name="page"),
    }
    title = organization.name if organization else _("Usage by customer")
    return site.render(request, "console/usage_summary.html", title=title, **context)


class EventFilter(DeedForm):
    """Which requests to list. Without a customer one day at a time, because the table is large."""

    organization = forms.ModelChoiceField(
        label=_("organization"),
        queryset=Organization.objects.order_by("name"),
        to_field_name="slug",
        required=False,
        empty_label=_("All"),
    )
    month = forms.CharField(required=False, widget=forms.HiddenInput)
    day = forms.DateField(label=_("Date"), required=False, widget=DayInput)
    model = forms.ModelChoiceField(
        label=_("language model"),
        queryset=LanguageModel.objects.order_by("slug"),
        to_field_name="slug",
        required=False,
        empty_label=_("All"),
    )
    evidence = forms.TypedChoiceField(
        label=_("Evidence"), choices=[("", _("All")), *Evidence.choices], coerce=int, required=False, empty_value=None
    )
    request_id = forms.CharField(label=_("Request or generation ID"), required=False, max_length=200)


@require_safe
def events(request: HttpRequest) -> HttpResponse:
    """Single requests, the newest first."""
    form = EventFilter(request.GET)
    wanted: dict[str, Any] = form.cleaned_data if form.is_valid() else {}
    asked = chosen_events(wanted, today=timezone.localdate())
    page, beside = before_an_id(
        request,
        lambda before, limit: look(asked if before is None else asked.before(before), limit=limit, newest_first=True),
    )
    month = month_named(wanted["month"], now=timezone.now()) if wanted.get("month") and not wanted.get("day") else None
    context = {
        "filter": form,
        "month": month,
        "rows": with_names(page),
        **beside,
    }
    return site.render(request, "console/events.html", title=_("Requests"), **context)


def chosen_events(wanted: dict[str, Any], *, today: date) -> Look:
    """The events that a filter names; a day is meant in Seoul."""
    organization = wanted.get("organization")
    asked = Look(organization_id=organization.pk if organization else None)
    day = wanted.get("day") or (None if organization else today)
    if day or wanted.get("month"):
        start, end = day_bounds(day) if day else month_bounds_of(wanted["month"])
        asked = replace(asked, first=first_id_at(start), end=first_id_at(end))
    where = Q()
    if wanted.get("model"):
        where &= Q(model_id=wanted["model"].pk)
    if wanted.get("evidence"):
        where &= Q(evidence=wanted["evidence"])
    if wanted.get("request_id"):
        text = wanted["request_id"].strip()
        where &= Q(request_id=text) | Q(generation_id=text)
    return replace(asked, where=where)


def with_names(rows: list[UsageEvent]) -> list[dict[str, Any]]:
    """Events with what their ids stand for, looked up once a page."""
    organizations = Organization.objects.in_bulk({row.organization_id for row in rows})
    models = LanguageModel.objects.in_bulk({row.model_id for row in rows})
    keys = ApiKey.objects.defer("digest").in_bulk({row.api_key_id for row in rows if row.api_key_id})
    return [
        {
            "event": row,
            "organization": organizations[row.organization_id],
            "model": models[row.model_id],
            "key": keys.get(row.api_key_id or 0),
            "is_reversal": row.kind == EventKind.REVERSAL,
        }
        for row in rows
    ]


@require_safe
def receipt(request: HttpRequest, slug: str, event_id: UUID) -> HttpResponse:
    """What one request cost, and where each factor comes from."""
    organization = get_object_or_404(Organization, slug=slug)
    found = receipt_of(organization=organization, event_id=event_id)
    if found is None:
        raise Http404
    [row] = with_names([found.event])
    context = {
        **row,
        "receipt": found,
        "lines": [
            {
                "line": line,
                "label": TOKEN_CLASSES[line.token_class],
                "is_piece": line.token_class in PIECE_CLASSES,
                "unit_cost": found.rate.unit_costs[line.token_class],
            }
            for line in found.lines
        ],
        "source": Source.objects.filter(pk=found.event.source_id).first(),
    }
    return site.render(request, "console/receipt.html", title=_("Receipt of a request"), **context)


@require_safe
def unrated(request: HttpRequest) -> HttpResponse:
    """Events that wait for a price: by model, because that is what is missing, then one by one."""
    missing = (
        UnratedUsage.objects.order_by()
        .values("model", "reason")
        .annotate(count=Count("event_id"), oldest=Min("occurred_at"), newest=Max("occurred_at"))
        .order_by("-count", "model", "reason")
    )
    groups_page = page_of(request, missing, name="groups")
    groups = list(groups_page.object_list)
    known = set(
        LanguageModel.objects.filter(slug__in=[group["model"] for group in groups]).values_list("slug", flat=True)
    )
    rows = UnratedUsage.objects.all()
    if request.GET.get("model"):
        rows = rows.filter(model=request.GET["model"])
    page, beside = newest_first(request, rows, key="event_id")
    organizations = Organization.objects.in_bulk({row.organization_id for row in page})
    sources = Source.objects.in_bulk({row.source_id for row in page})
    context = {
        "groups": [group | {"is_known": group["model"] in known} for group in groups],
        "model": request.GET.get("model", ""),
        **pages(request, groups_page, name="groups"),
        "rows": [
            {"event": row, "organization": organizations[row.organization_id], "source": sources.get(row.source_id)}
            for row in page
        ],
        **beside,
    }
    return site.render(request, "console/unrated.html", title=_("Waiting for a price"), **context)


@require_safe
def holds(request: HttpRequest) -> HttpResponse:
    """Money held for calls that never told what they cost, or still run."""
    status = HoldStatus.OPEN if request.GET.get("status") == "open" else HoldStatus.QUESTIONED
    page, beside = newest_first(request, Hold.objects.filter(status=status))
    organizations = Organization.objects.in_bulk({row.organization_id for row in page})
    models = LanguageModel.objects.in_bulk({row.model_id for row in page})
    context = {
        "is_open": status == HoldStatus.OPEN,
        "rows": [
            {"hold": row, "organization": organizations[row.organization_id], "model": models.get(row.model_id)}
            for row in page
        ],
        **beside,
    }
    return site.render(request, "console/holds.html", title=_("Held amounts"), **context)


def month_bounds_of(name: str) -> tuple[datetime, datetime]:
    month = month_named(name, now=timezone.now())
    return month.start, month.end


site.pages += [
    path("usage/", site.admin_view(summary), name="usage_summary"),
    path("usage/requests/", site.admin_view(events), name="usage_events"),
    path("usage/requests/<slug:slug>/<uuid:event_id>/", site.admin_view(receipt), name="usage_receipt"),
    path("usage/unrated/", site.admin_view(unrated), name="usage_unrated"),
    path("usage/holds/", site.admin_view(holds), name="usage_holds"),
]
