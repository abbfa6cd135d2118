"""Who owes what is overdue, what was done about it, and what comes next."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.models import Organization
from billing.models import Invoice
from billing.models.dunning import DunningStep, Suspension
from billing.overdue.dunning_plan import Planned, next_step
from billing.overdue.dunning_policy import Policies, Policy
from billing.overdue.standings import Standing, standings
from console.invoices import overdue
from console.paging import page_of, pages
from console.site import site


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An overdue invoice: days late, the step taken last and the next one, None where nothing more comes."""

    standing: Standing
    days: int
    last: DunningStep | None
    coming: Planned | None
    today: date

    @property
    def is_due(self) -> bool:
        """Whether the next step is taken as soon as it may be."""
        return self.coming is not None and self.coming.on <= self.today

    @property
    def coming_label(self) -> Any:
        return DunningStep.Kind(self.coming.kind).label if self.coming else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Debtor:
    """An organization with overdue invoices, or one that is suspended."""

    organization: Organization
    policy: Policy
    suspension: Suspension | None
    lines: list[Line]

    @property
    def deeds(self) -> list[tuple[Any, str]]:
        return standing_deeds(self.organization, self.policy)


@require_safe
def dunning(request: HttpRequest) -> HttpResponse:
    """Overdue and suspended customers, the longest overdue first."""
    now = timezone.now()
    late = (
        overdue(Invoice.objects.all(), now=now).order_by("due_on", "sequence").values_list("organization_id", flat=True)
    )
    suspended = (
        Suspension.objects.filter(ended_at=None).order_by("suspended_at").values_list("organization_id", flat=True)
    )
    ids = list(dict.fromkeys([*late, *suspended]))
    page = page_of(request, ids)
    policies = Policies(now=now)
    context = {
        "rows": debtors(page.object_list, policies, now=now),
        "policy": policies.of(None),
        "deeds": [{"label": _("Set everybody's schedule"), "url": reverse("admin:set_dunning")}],
        **pages(request, page, name="page"),
    }
    return site.render(request, "console/dunning.html", title=_("Dunning"), **context)


def debtors(ids: Iterable[int], policies: Policies, *, now: datetime) -> list[Debtor]:
    wanted = list(ids)
    organizations = Organization.objects.in_bulk(wanted)
    running = Suspension.objects.filter(ended_at=None, organization__in=wanted).select_related("invoice")
    suspensions = {row.organization_id: row for row in running}
    return [
        Debtor(
            organization=organizations[key],
            policy=policies.of(key),
            suspension=suspensions.get(key),
            lines=lines_of(organizations[key], policies.of(key), now=now),
        )
        for key in wanted
    ]


def lines_of(organization: Organization, policy: Policy, *, now: datetime) -> list[Line]:
    today = now.astimezone(ZoneInfo(organization.zone)).date()
    return [
        Line(
            standing=standing,
            days=(today - standing.invoice.due_on).days,
            last=next((step for step in reversed(standing.taken) if not step.skipped), None),
            coming=next_step(
                standing.planned,
                taken={(step.kind, step.number) for step in standing.taken},
                today=today,
                due_on=standing.invoice.due_on,
            ),
            today=today,
        )
        for standing in standings(organization, policy, now=now)
        if standing.invoice.due_on < today
    ]


def standing_deeds(organization: Organization, policy: Policy) -> list[tuple[Any, str]]:
    """What can be done about an organization's standing: suspend or reactivate, its schedule, exempt or not."""
    status, key = Organization.Status, [organization.pk]
    links = [(_("Dunning schedule"), reverse("admin:set_own_dunning", args=key))]
    if not policy.is_exempt:
        links.append((_("Exempt from suspension"), reverse("admin:exempt", args=key)))
    if organization.status == status.ACTIVE:
        links.append((_("Suspend"), reverse("admin:suspend", args=key)))
    if organization.status == status.SUSPENDED:
        links.append((_("Reactivate"), reverse("admin:reactivate", args=key)))
    return links


site.pages += [path("dunning/", site.admin_view(dunning), name="dunning")]
