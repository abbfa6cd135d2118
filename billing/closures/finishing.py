"""After the closing moment: the last invoices, then, once nothing is owed or held any more, the organization is closed for good.

A period is invoiced as soon as nothing of it is unresolved, at the latest after its grace time; usage that a call turns out to have
cost later goes to the rest of its month, which gets a further final invoice. Found by rows, so a lost message loses nothing.
"""

import logging
from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings

from accounts.closing import lock_organization, mark_closed
from accounts.models import BillingProfile, Organization
from accounts.tenancy import tenant_scope
from billing import cycle
from billing.auditing import AuditRunning, BooksNotClean
from billing.cards.payment_methods import remove_all_methods
from billing.closures import closure_news
from billing.closures.asking import note
from billing.closures.remaining import Step, remaining, unresolved_usage
from billing.corrections.credit_payouts import NothingUnused, refund_unused_credit
from billing.invoicing import UsageDisagrees
from billing.models import Closure, CreditPayout, Invoice
from ledger import settling
from ledger.credit_expiry import lapse
from ledger.cutting import cut
from ledger.models import BillingPeriod
from ledger.retrying import with_retries
from ledger.sweeping import others_go_on

logger = logging.getLogger(__name__)
REASON = "The organization is closed"
LAST_CALLS = timedelta(seconds=settings.GATEWAY_BODY_SECONDS + 15) * settings.SWEEP_PACE
"""So long after the closing moment a call may still reserve what it needs: its key was looked at before its body came."""


def settling_organizations(*, now: datetime) -> list[int]:
    """Whose usage has ended for everybody and who are not closed yet, the longest first. Looks at all tenants."""
    rows = Closure.objects.using("system").filter(status=Closure.Status.SETTLING, closes_at__lte=now - LAST_CALLS)
    return list(rows.order_by("ended_at", "pk").values_list("organization_id", flat=True))


def finish_all(*, now: datetime) -> list[Invoice]:
    """Do what can be done for each of them; returns the invoices that were made."""
    made: list[Invoice] = []
    for organization_id in settling_organizations(now=now):
        with others_go_on(organization_id=organization_id):
            made += make_last_invoices(organization_id=organization_id, now=now)
            refund_credit(organization_id=organization_id, now=now)
            close_if_settled(organization_id=organization_id, now=now)
    return made


def make_last_invoices(*, organization_id: int, now: datetime) -> list[Invoice]:
    """Close the periods of an organization whose usage has ended, as far as that is known. Again it makes nothing."""
    made = []
    for period_id in _ready_periods(organization_id, now=now):
        try:
            invoice = cycle.close(organization_id=organization_id, period_id=period_id, now=now)
        except (BooksNotClean, AuditRunning, UsageDisagrees) as error:
            logger.warning("a last period stays open", extra={"period": period_id, "reason": str(error)})
            break
        made += [invoice] if invoice is not None else []
    return made


def refund_credit(*, organization_id: int, now: datetime) -> list[CreditPayout]:
    """Send back the paid credit that is left once nothing more is to be invoiced. Again it finds none."""
    with tenant_scope([organization_id]):
        steps = {row.step for row in remaining(Organization.objects.get(pk=organization_id), now=now)}
    if Step.CREDIT not in steps or steps & {Step.CALLS, Step.PRICES, Step.INVOICE}:
        return []
    try:
        return refund_unused_credit(
            organization_id=organization_id, request_key=uuid4(), reason=REASON, now=now, actor=None
        )
    except NothingUnused:
        return []


def close_if_settled(*, organization_id: int, now: datetime) -> Closure | None:
    """Close an organization of which nothing remains; None if something does. Again, or twice at once, it changes nothing."""
    return with_retries(lambda: _close(organization_id, now))


def _close(organization_id: int, now: datetime) -> Closure | None:
    """The balance is locked first: who brings money in between would find it lapsed."""
    with tenant_scope([organization_id]):
        organization = lock_organization(organization_id)
        balance = settling.lock_balance(organization_id)
        rows = Closure.objects.for_organization(organization_id).select_related("organization", "asked_by")
        closure = rows.filter(status=Closure.Status.SETTLING, closes_at__lte=now - LAST_CALLS).first()
        if closure is None or remaining(organization, now=now):
            return None
        lapse(balance, now=now)
        remove_all_methods(organization, now=now)
        readable_until = now + timedelta(days=settings.CLOSED_DAYS)
        closure.status, closure.closed_at = Closure.Status.CLOSED, now
        closure.save(update_fields=["status", "closed_at"])
        closure_news.tell_closed(closure, readable_until=readable_until, now=now)
        mark_closed(organization, readable_until=readable_until)
        note(closure, "closure.settled", now=now, actor=None)
    return closure


def _ready_periods(organization_id: int, *, now: datetime) -> list[int]:
    """Open periods that can be invoiced, the oldest first; what was charged to the rest of a month ends now."""
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        if organization.closes_at is None or organization.closes_at > now:
            return []
        grace = timedelta(hours=BillingProfile.objects.for_organization(organization).get().grace_hours)
        is_resolved = not any(row.count for row in unresolved_usage(organization))
        periods = BillingPeriod.objects.select_for_update().for_organization(organization)
        found = list(periods.filter(status=BillingPeriod.Status.OPEN).order_by("starts_at"))
        for period in found:
            if period.starts_at < now < period.ends_at:
                cut(period, at=now)
        return [
            period.pk for period in found if period.ends_at <= now and (is_resolved or period.ends_at + grace <= now)
        ]
