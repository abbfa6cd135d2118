"""Audits of the books: when they were run, and what each found. Months are closed on a fresh one that found nothing of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.utils.html import format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.invariants import LIMIT, all_invariants
from accounts.models import Organization
from billing.auditing import is_fresh, last_audit
from billing.models import AuditRun
from console.figures import figure
from console.read_only import ReadOnlyAdmin, state_label
from console.site import site


def audit_summary(now: datetime) -> tuple[str, str, str]:
    """For the home: when the last audit was, what it found, and the tone of that."""
    run = last_audit()
    if run is None:
        return "–", gettext("none was run yet"), "warning"
    when = figure("table_time")(run.started_at)
    if not run.is_clean:
        return when, _found(run), "danger"
    if not is_fresh(run, now=now):
        return when, gettext("clean, but too old to close a month on"), "warning"
    return when, gettext("every invariant holds"), "good"


def _found(run: AuditRun) -> str:
    count = len(run.violations)
    return ngettext("%(count)d invariant is violated", "%(count)d invariants are violated", count) % {"count": count}


@display(description=_("Outcome"), ordering="is_clean")
def outcome(run: AuditRun) -> str:
    tone, text = ("success", gettext("every invariant holds")) if run.is_clean else ("danger", _found(run))
    return state_label(tone, text)


@display(description=_("Duration"))
def duration(run: AuditRun) -> str:
    return gettext("%(seconds)s s") % {"seconds": f"{(run.finished_at - run.started_at).total_seconds():.1f}"}


@display(description=_("Violations"))
def violations(run: AuditRun) -> Any:
    """Each violated invariant, whom it concerns, and the rows that violate it, the first ones."""
    names = {invariant.number: invariant.name for invariant in all_invariants()}
    if run.is_clean:
        return "–"
    slugs = _slugs(run)
    return format_html_join(
        "",
        '<p><strong>{}</strong> {}</p><p class="note">{}</p><pre class="raw" tabindex="0">{}</pre>',
        (
            (
                number,
                names.get(number, ""),
                _concerns(run.organizations.get(number), slugs),
                "\n".join([*lines, *(["…"] if len(lines) >= LIMIT else [])]),
            )
            for number, lines in run.violations.items()
        ),
    )


def _slugs(run: AuditRun) -> dict[int, str]:
    named = {organization_id for ids in run.organizations.values() for organization_id in ids}
    return dict(Organization.objects.filter(pk__in=named).values_list("pk", "slug"))


def _concerns(organizations: list[int] | None, slugs: Mapping[int, str]) -> str:
    if organizations is None:
        return gettext("Concerns everybody")
    return gettext("Concerns %(organizations)s") % {
        "organizations": ", ".join(
            slugs.get(organization_id, str(organization_id)) for organization_id in organizations
        )
    }


@admin.register(AuditRun, site=site)
class AuditRunAdmin(ReadOnlyAdmin):
    list_display = ("started_at", outcome, "invariants", duration)
    list_filter = ("is_clean",)
    date_hierarchy = "started_at"
    ordering = ("-started_at", "-pk")
    search_fields = ("violations",)
    fieldsets = (
        (None, {"fields": ("started_at", outcome, "invariants", duration)}),
        (_("Details"), {"fields": (violations,)}),
    )
