"""A closed organization was charged after all: by a transaction that began while usage was still taken and committed after the
closing. Its closure is settled again, so that there is an invoice of that, too. Nobody is told anew.
"""

from datetime import datetime

from django.db.models import Exists, OuterRef, Q

from accounts.closing import end_for_good, lock_organization
from accounts.tenancy import tenant_scope
from billing.closures.asking import note
from billing.models import Closure
from ledger.models import BillingPeriod
from ledger.retrying import with_retries
from ledger.sweeping import others_go_on

OPEN_PERIODS = BillingPeriod.objects.filter(organization=OuterRef("organization")).exclude(
    status=BillingPeriod.Status.CLOSED
)
UNFINISHED = ~Q(organization__balance__unbilled=0) | ~Q(organization__balance__held=0) | Exists(OPEN_PERIODS)


def resume_all(*, now: datetime) -> list[Closure]:
    """Settle again what is closed and was charged. Looks at all tenants."""
    resumed = []
    closed = Closure.objects.using("system").filter(UNFINISHED, status=Closure.Status.CLOSED)
    for organization_id in closed.order_by("pk").values_list("organization_id", flat=True):
        with others_go_on(organization_id=organization_id):
            closure = with_retries(lambda number=organization_id: _resume(number, now=now))  # type: ignore[misc]
            resumed += [closure] if closure is not None else []
    return resumed


def _resume(organization_id: int, *, now: datetime) -> Closure | None:
    with tenant_scope([organization_id]):
        organization = lock_organization(organization_id)
        rows = Closure.objects.for_organization(organization).filter(UNFINISHED, status=Closure.Status.CLOSED)
        closure = rows.select_related("organization").first()
        if closure is None:
            return None
        closure.status, closure.closed_at = Closure.Status.SETTLING, None
        closure.save(update_fields=["status", "closed_at"])
        end_for_good(organization)
        note(closure, "closure.resumed", now=now, actor=None)
    return closure
