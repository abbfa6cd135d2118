"""An organization's closure is asked for, at once or at the end of its month, or taken back before it is carried out.

At once is a few seconds from now, in which processes forget the keys that they remember; so nothing is admitted after the closing
moment. Decision 0029.
"""

from datetime import datetime, timedelta

from accounts.audit_log import write_audit_entry
from accounts.closing import lock_organization, set_closing_moment
from accounts.models import Organization, User
from accounts.organizations import NotPossible
from accounts.tenancy import tenant_scope
from billing.closures import closure_news
from billing.closures.ending import cut_month, end_usage
from billing.models import Closure
from ledger.periods import month_bounds
from ledger.retrying import with_retries

KEYS_FORGOTTEN = timedelta(seconds=5)
"""How long a process may remember a key that was revoked (accounts/README.md)."""


def ask_for_closure(
    *,
    organization_id: int,
    at_once: bool,
    now: datetime,
    actor: User | None,
    reason: str = "",
    by_operator: bool = False,
) -> Closure:
    """Close the organization at once, which cannot be taken back, or when its month ends. Raises NotPossible if it closes."""
    return with_retries(
        lambda: _ask(organization_id, at_once=at_once, now=now, actor=actor, reason=reason, by_operator=by_operator)
    )


def _ask(
    organization_id: int, *, at_once: bool, now: datetime, actor: User | None, reason: str, by_operator: bool
) -> Closure:
    with tenant_scope([organization_id]):
        organization = lock_organization(organization_id)
        if organization.has_ended or closure_of(organization) is not None:
            raise NotPossible(f"organization {organization.slug} closes already")
        month_ends = month_bounds(now, zone=organization.zone)[1]
        closes_at = cut_month(organization, at=now + KEYS_FORGOTTEN, now=now) if at_once else month_ends
        closure = Closure.objects.create(
            organization=organization,
            at_once=at_once,
            by_operator=by_operator,
            reason=reason,
            asked_at=now,
            asked_by=actor,
            closes_at=closes_at,
        )
        set_closing_moment(organization, at=closes_at)
        note(closure, "closure.asked", now=now, actor=actor)
        if at_once:
            end_usage(closure, organization, now=now, actor=actor)
        else:
            closure_news.tell_asked(closure, now=now)
    return closure


def take_back(*, organization_id: int, now: datetime, actor: User | None, reason: str = "") -> Closure:
    """The organization goes on after all. Raises NotPossible once its moment has come."""
    with tenant_scope([organization_id]):
        organization = lock_organization(organization_id)
        closure = closure_of(organization)
        if closure is None or closure.status != Closure.Status.ASKED or closure.closes_at <= now:
            raise NotPossible(f"organization {organization.slug} has no closure that could be taken back")
        closure.status, closure.withdrawn_at, closure.withdrawn_by = Closure.Status.WITHDRAWN, now, actor
        closure.save(update_fields=["status", "withdrawn_at", "withdrawn_by"])
        set_closing_moment(organization, at=None)
        note(closure, "closure.withdrawn", now=now, actor=actor, reason=reason)
        closure_news.tell_withdrawn(closure, now=now)
    return closure


def closure_of(organization: Organization) -> Closure | None:
    """The closure that was not taken back. Needs the tenant scope."""
    rows = Closure.objects.for_organization(organization).exclude(status=Closure.Status.WITHDRAWN)
    return rows.select_related("asked_by", "organization").first()


def note(closure: Closure, action: str, *, now: datetime, actor: User | None, reason: str = "") -> None:
    """What was done about a closure, in the audit log."""
    write_audit_entry(
        action=action,
        target=closure.organization.slug,
        organization=closure.organization,
        actor=actor,
        now=now,
        detail={"closes_at": closure.closes_at.isoformat(), "reason": reason or closure.reason},
    )
