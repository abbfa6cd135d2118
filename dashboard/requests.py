"""Single requests: a list to page through from the newest on, and the receipt of one, which says what it cost and why."""

from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from accounts.models import ApiKey, Source
from billing.line_notes import conditions_text
from catalog.models import LanguageModel
from dashboard.access import organization_page
from dashboard.download_links import download_links
from dashboard.formulas import formula_lines
from dashboard.rate_sources import source_name
from dashboard.request_rows import rows_of
from dashboard.time_ranges import CHOICES, address, asked_range
from metering.event_filters import EventFilter
from metering.receipts import event_named, events_of, receipt_of, waiting_event

PAGE_SIZE = 50


@organization_page()
@require_safe
def request_list(request: HttpRequest) -> HttpResponse:
    organization = request.organization
    span = asked_range(request.GET, zone=ZoneInfo(organization.zone), now=timezone.now())
    model = LanguageModel.objects.filter(slug=request.GET.get("model", "")).first()
    key = asked_key(request)
    tag = asked_tag(request)
    before = asked_cursor(request)
    found = events_of(
        organization=organization,
        wanted=EventFilter(
            start=span.start, end=span.end, model_id=model and model.pk, api_key_id=key and key.pk, tags=tag
        ),
        limit=PAGE_SIZE + 1,
        before=before,
    )
    shown, more = found[:PAGE_SIZE], len(found) > PAGE_SIZE
    asked = {
        "model": model.slug if model else "",
        "key": str(key.pk) if key else "",
        "tag": request.GET["tag"] if tag else "",
    }
    here = {**span.parameters, **asked}
    context = {
        "section": "usage",
        "span": span,
        "model": model,
        "key": key,
        "tag": tag,
        "rows": rows_of(organization, shown),
        "ranges": [(name, label, address(**asked, range=name)) for name, label in CHOICES],
        "kept": list(asked.items()),
        "without_model_url": address(**here | {"model": ""}),
        "without_key_url": address(**here | {"key": ""}),
        "without_tag_url": address(**here | {"tag": ""}),
        "downloads": download_links("usage_export", organization.slug, **here),
        "newest_url": address(**here) if before else "",
        "older_url": address(**here, before=str(shown[-1].id)) if more else "",
    }
    return render(request, "dashboard/requests.html", context)


def asked_key(request: HttpRequest) -> ApiKey | None:
    text = request.GET.get("key", "")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        return None
    return ApiKey.objects.for_organization(request.organization).filter(pk=int(text)).first()


def asked_tag(request: HttpRequest) -> dict[str, str]:
    """The tag and its value that the address names as `tag=team=search`; empty if it names none."""
    name, separator, value = request.GET.get("tag", "").partition("=")
    return {name: value} if separator else {}


def asked_cursor(request: HttpRequest) -> UUID | None:
    """The id of the last request of the page before."""
    try:
        return UUID(request.GET["before"])
    except (KeyError, ValueError):
        return None


@organization_page()
@require_safe
def receipt(request: HttpRequest, event_id: UUID) -> HttpResponse:
    organization = request.organization
    event_id = event_named(event_id, organization=organization)
    found = receipt_of(organization=organization, event_id=event_id)
    if found is None:
        waiting = waiting_event(organization=organization, event_id=event_id)
        if waiting is None:
            raise Http404(event_id)
        return render(request, "dashboard/receipt_waiting.html", {"section": "usage", "waiting": waiting})
    event = found.event
    context = {
        "section": "usage",
        "row": rows_of(organization, [event])[0],
        "event": event,
        "rate": found.rate,
        "conditions": conditions_text(found.rate.conditions, get_language() or ""),
        "lines": formula_lines(found.lines, found.rate),
        "formula": found.formula,
        "reversed_by": found.reversed_by,
        "replaced_by": found.replaced_by,
        "exchange_source": found.rate.exchange and source_name(found.rate.exchange.source),
        "source": Source.objects.filter(pk=event.source_id).first(),
        "requested_model": event.requested_model_id
        and LanguageModel.objects.filter(pk=event.requested_model_id).first(),
    }
    return render(request, "dashboard/receipt.html", context)
