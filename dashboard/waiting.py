"""What is not a charge yet: usage that waits for a price, and money that is held for calls under way or unresolved."""

from dataclasses import dataclass

from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import ApiKey
from catalog.models import LanguageModel
from dashboard.access import organization_page
from dashboard.pages import page_links, page_of
from ledger.models import Hold, HoldStatus
from metering.models import UnratedUsage

UNRESOLVED = (HoldStatus.OPEN, HoldStatus.QUESTIONED)


@dataclass(frozen=True, slots=True)
class HoldRow:
    """Money reserved for a call whose cost is not known yet."""

    hold: Hold
    model: LanguageModel | None
    key: ApiKey | None

    @property
    def is_questioned(self) -> bool:
        """Its time is over without an answer; the upstream is being asked."""
        return self.hold.status == HoldStatus.QUESTIONED


@organization_page()
@require_safe
def unrated(request: HttpRequest) -> HttpResponse:
    """Usage without a price, the newest first. It is charged when the price arrives, and never becomes free of charge."""
    events = UnratedUsage.objects.for_organization(request.organization).order_by("-event_id")
    page = page_of(request, events)
    return render(request, "dashboard/unrated.html", {"section": "usage", "page": page, **page_links(request, page)})


@organization_page()
@require_safe
def holds(request: HttpRequest) -> HttpResponse:
    """What the held amount is made of."""
    found = Hold.objects.for_organization(request.organization).filter(status__in=UNRESOLVED)
    page = page_of(request, found.order_by("-id"))
    models = LanguageModel.objects.only("slug", "page_slug", "name").in_bulk({hold.model_id for hold in page})
    key_ids = {hold.api_key_id for hold in page if hold.api_key_id}
    keys = ApiKey.objects.for_organization(request.organization).in_bulk(key_ids)
    context = {
        "section": "invoices",
        "page": page,
        "rows": [HoldRow(hold, models.get(hold.model_id), keys.get(hold.api_key_id)) for hold in page],
        "total": found.aggregate(total=Sum("amount"))["total"],
        **page_links(request, page),
    }
    return render(request, "dashboard/holds.html", context)
