"""The closing moment: keys and invitations end, the running month ends with them, nothing is bought by itself any more.

Calls that were admitted before go on; their usage is of before the moment, so it is charged to the month that ended. Invoices
follow in `finishing`.
"""

from datetime import datetime, timedelta

from accounts.audit_log import write_audit_entry
from accounts.closing import end_access, lock_organization
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.closures import closure_news
from billing.models import AutomaticTopUp, Closure
from billing.overdue.suspension import end_for_closure
from ledger.cutting import cut, lock_month
from ledger.retrying import with_retries
from ledger.sweeping import others_go_on
from metering.last_usage import last_usage


def end_due(*, now: datetime) -> int:
    """End the usage of everybody whose closing moment has come. Looks at all tenants."""
    due = Closure.objects.using("system").filter(status=Closure.Status.ASKED, closes_at__lte=now)
    ended = 0
    for organization_id in due.order_by("closes_at", "pk").values_list("organization_id", flat=True):
        with others_go_on(organization_id=organization_id):
            ended += with_retries(lambda number=organization_id: _end(number, now=now))  # type: ignore[misc]
    return ended


def _end(organization_id: int, *, now: datetime) -> bool:
    with tenant_scope([organization_id]):
        organization = lock_organization(organization_id)
        rows = Closure.objects.for_organization(organization_id).select_related("organization")
        closure = rows.filter(status=Closure.Status.ASKED, closes_at__lte=now).first()
        if closure is None:
            return False
        cut_month(organization, at=closure.closes_at, now=now)
        end_usage(closure, organization, now=now, actor=None)
    return True


def end_usage(closure: Closure, organization: Organization, *, now: datetime, actor: User | None) -> None:
    """Carry out a closure whose month has been cut. The organization is locked. Needs the tenant scope."""
    end_for_closure(organization, now=now, actor=actor)
    keys = end_access(organization, now=now, actor=actor)
    AutomaticTopUp.objects.for_organization(organization).filter(is_on=True).update(is_on=False)
    closure.status, closure.ended_at = Closure.Status.SETTLING, now
    closure.save(update_fields=["status", "ended_at"])
    write_audit_entry(
        action="closure.carried_out",
        target=organization.slug,
        organization=organization,
        actor=actor,
        now=now,
        detail={"closes_at": closure.closes_at.isoformat(), "keys": keys},
    )
    closure_news.tell_ended(closure, now=now)


def cut_month(organization: Organization, *, at: datetime, now: datetime) -> datetime:
    """End the month that `at` lies in there, or after the last usage that was reported ahead of our clock; returns that moment.

    A whole second, for ids of events order them by millisecond only. A month that ends at `at` by itself stays as it is. Needs the
    tenant scope.
    """
    at = _next_second(at)
    period = lock_month(organization_id=organization.pk, zone=organization.zone, at=at)
    if period is None:
        return at
    moment = last_usage(organization_id=organization.pk, period_id=period.pk, since=min(at, now))
    until = at if moment is None else max(at, _next_second(moment))
    if until < period.ends_at:
        cut(period, at=until)
    return min(until, period.ends_at)


def _next_second(at: datetime) -> datetime:
    """`at` itself if it is a whole second."""
    return at if at.microsecond == 0 else at.replace(microsecond=0) + timedelta(seconds=1)
