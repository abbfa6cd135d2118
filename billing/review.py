"""Between a month's end and its invoice, where an operator wants to look: a draft, which is approved or made anew.

The period is `closing` meanwhile: it takes no charges any more, and what was charged to it is still unbilled, in balances as on the
customer's pages, so nothing that they may spend changes. Approval does what a close without review does. Decision 0023.
"""

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Min

from accounts.alarms import clear_alarm, raise_alarm
from accounts.audit_log import write_audit_entry
from accounts.models import Alarm, Organization, User
from accounts.tenancy import tenant_scope
from billing.buyers import read_buyer
from billing.drafting import is_of, make_draft
from billing.finalizing import close
from billing.invoicing import live_invoice, ring_after_commit
from billing.models import BillingTerms, Invoice, InvoiceDraft
from billing.period_charges import lock_period, proven_charges
from billing.terms import in_force, terms_of
from ledger import settling
from ledger.models import BillingPeriod
from ledger.retrying import with_retries
from pricing.plain_text import plain

ALARM = "draft_waits"


class DraftOutdated(Exception):
    """The draft was made anew, or would come out otherwise today: look at the one that it is now, or make it anew."""


def approve_draft(*, organization_id: int, draft_id: UUID, now: datetime, actor: User | None) -> Invoice | None:
    """Issue the invoice of a draft. Again, or by two at once, it changes nothing and returns the invoice; None if it is void.

    A draft that came to nothing may have no invoice. Raises DraftOutdated, NoSeller, LinesDisagree; nothing is written then.
    """
    return with_retries(lambda: _approve(organization_id, draft_id, now, actor))


def remake_draft(
    *, organization_id: int, draft_id: UUID, po_number: str, reason: str, now: datetime, actor: User | None
) -> InvoiceDraft:
    """Make a draft anew: by the terms that hold for its month by now, with this PO number. Raises DraftOutdated."""
    with tenant_scope([organization_id]):
        organization, period, draft = _lock(organization_id, draft_id)
        if draft.status != InvoiceDraft.Status.WAITING:
            raise DraftOutdated(f"the draft {draft.pk} is {draft.status}")
        balance = settling.lock_balance(organization_id)
        terms = in_force(terms_of(organization), period.starts_at)
        charges = proven_charges(organization=organization, period=period, terms=terms, tax_rate=balance.tax_rate)
        _decide(draft, InvoiceDraft.Status.SUPERSEDED, now, actor)
        again = make_draft(
            period=period,
            balance=balance,
            charges=charges,
            po_number=po_number,
            now=now,
            reason=reason,
            actor=actor,
        )
        write_audit_entry(
            action="invoice_draft.made_anew",
            target=_name(organization, period),
            organization=organization,
            actor=actor,
            now=now,
            detail={
                "reason": reason,
                "po_number": po_number,
                "total": {"before": plain(draft.total), "after": plain(again.total)},
            },
        )
    return again


def watch_drafts(*, now: datetime) -> int:
    """Alarm about every draft that has waited for longer than DRAFT_REVIEW_HOURS; returns how many. Looks at all tenants."""
    drafts = InvoiceDraft.objects.using("system").filter(status=InvoiceDraft.Status.WAITING)
    late = []
    for draft in drafts.select_related("organization", "period").annotate(since=Min("period__invoice_drafts__made_at")):
        if draft.since + timedelta(hours=settings.DRAFT_REVIEW_HOURS) <= now:
            name = _name(draft.organization, draft.period)
            summary = f"The draft of {name} has waited for review since {draft.since:%Y-%m-%d %H:%M} UTC."
            raise_alarm(kind=ALARM, subject=name, summary=summary, now=now)
            late.append(name)
    for alarm in Alarm.objects.using("system").filter(kind=ALARM, cleared_at=None).exclude(subject__in=late):
        clear_alarm(kind=ALARM, subject=alarm.subject, now=now)
    return len(late)


def _approve(organization_id: int, draft_id: UUID, now: datetime, actor: User | None) -> Invoice | None:
    with tenant_scope([organization_id]):
        organization, period, draft = _lock(organization_id, draft_id)
        if draft.status == InvoiceDraft.Status.APPROVED:
            return live_invoice(period)
        if draft.status != InvoiceDraft.Status.WAITING:
            raise DraftOutdated(f"the draft {draft.pk} was made anew")
        balance = settling.lock_balance(organization_id)
        charges = proven_charges(
            organization=organization, period=period, terms=draft.terms or BillingTerms(), tax_rate=balance.tax_rate
        )
        if not is_of(draft, charges):
            raise DraftOutdated(f"the draft {draft.pk} would come out otherwise by now: make it anew")
        _decide(draft, InvoiceDraft.Status.APPROVED, now, actor)
        invoice = close(
            buyer=read_buyer(organization),
            period=period,
            balance=balance,
            charges=charges,
            po_number=draft.po_number,
            now=now,
        )
        name = _name(organization, period)
        write_audit_entry(
            action="invoice_draft.approved",
            target=invoice.number if invoice else name,
            organization=organization,
            actor=actor,
            now=now,
            detail={"draft": str(draft.pk), "total": plain(draft.total)},
        )
        transaction.on_commit(lambda: clear_alarm(kind=ALARM, subject=name, now=now), robust=True)
        if invoice is not None:
            ring_after_commit(invoice)
    return invoice


def _lock(organization_id: int, draft_id: UUID) -> tuple[Organization, BillingPeriod, InvoiceDraft]:
    """The draft with its period, whose row keeps others from both until the transaction ends. Raises InvoiceDraft.DoesNotExist."""
    drafts = InvoiceDraft.objects.for_organization(organization_id)
    organization, period = lock_period(organization_id, drafts.get(pk=draft_id).period_id)
    return organization, period, drafts.select_related("terms").get(pk=draft_id)


def _decide(draft: InvoiceDraft, status: str, now: datetime, actor: User | None) -> None:
    draft.status, draft.decided_at, draft.decided_by = status, now, actor
    draft.save(update_fields=["status", "decided_at", "decided_by"])


def _name(organization: Organization, period: BillingPeriod) -> str:
    """`acme 2026-10`, as alarms and the audit log name a month."""
    return f"{organization.slug} {period.starts_at.astimezone(ZoneInfo(period.zone)):%Y-%m}"
