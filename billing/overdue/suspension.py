"""Refuse an organization's calls, and let it call again: by itself over an overdue invoice, or by an operator with a reason.

The gateway sees it within seconds, as it sees a revoked key. Reading, paying and pushed usage go on. The organization's status, the
row that says why, the audit entry, the mails and the webhooks are one transaction.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Exists, Max, OuterRef, Q

from accounts.models import Organization, User
from accounts.organizations import NotPossible, reactivate_organization, suspend_organization
from accounts.tenancy import tenant_scope
from billing.models import Invoice, Notice
from billing.models.dunning import Suspension
from billing.notifications.notices import announce, moment_text
from billing.settlement import outstanding, outstanding_by_invoice, recoverable
from billing.site_addresses import invoice_page
from ledger.sweeping import others_go_on
from pricing.exact import ZERO
from pricing.plain_text import plain

logger = logging.getLogger(__name__)
Cause = Suspension.Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspendedFor:
    """Why an organization is suspended, for those who tell its programs. Without an invoice it was an operator's decision."""

    invoice_number: str = ""
    amount: Decimal = ZERO
    currency: str = ""
    url: str = ""


def suspend_for_invoice(*, organization: Organization, invoice: Invoice, now: datetime) -> Suspension:
    """Suspend an active organization over an overdue invoice that is locked. Needs the tenant scope. Raises NotPossible."""
    suspend_organization(organization_id=organization.pk, reason=f"Overdue, {invoice.number}", now=now, actor=None)
    return _open(organization, cause=Cause.OVERDUE, invoice=invoice, reason="", now=now, actor=None)


def suspend(*, organization_id: int, reason: str, now: datetime, actor: User | None) -> Suspension:
    """Suspend an active organization for a reason of ours; only an operator ends that. Raises NotPossible."""
    with tenant_scope([organization_id]):
        organization = suspend_organization(organization_id=organization_id, reason=reason, now=now, actor=actor)
        return _open(organization, cause=Cause.OPERATOR, invoice=None, reason=reason, now=now, actor=actor)


def restore(*, organization_id: int, reason: str, now: datetime, actor: User | None) -> Organization:
    """Let a suspended organization call again, whatever it owes. Raises NotPossible."""
    with tenant_scope([organization_id]):
        organization = reactivate_organization(organization_id=organization_id, reason=reason, now=now, actor=actor)
        _end(organization, reason=reason, now=now, actor=actor)
    return organization


def restore_paid(*, now: datetime) -> list[int]:
    """Let those call again who were suspended over invoices and owe nothing of what is overdue any more. Looks at all tenants."""
    running = Suspension.objects.using("system").filter(ended_at=None, cause=Cause.OVERDUE)
    found = running.order_by("organization_id").values_list("organization_id", flat=True)
    restored = []
    for organization_id in found:
        with others_go_on(organization_id=organization_id):
            if _restore(organization_id, now=now):
                restored.append(organization_id)
    return restored


def end_for_closure(organization: Organization, *, now: datetime, actor: User | None) -> None:
    """A suspended organization closes, so there is nothing left to refuse; nobody is told that it may call again."""
    suspension = running_suspension(organization)
    if suspension is not None:
        _write_end(suspension, reason="The organization closes.", now=now, actor=actor)


def running_suspension(organization: Organization) -> Suspension | None:
    """Needs the tenant scope."""
    rows = Suspension.objects.for_organization(organization).filter(ended_at=None)
    return rows.select_related("invoice").first()


def suspended_for(organization_id: int) -> SuspendedFor:
    """What the programs of a suspended organization are told."""
    with tenant_scope([organization_id]):
        suspension = running_suspension(Organization.objects.get(pk=organization_id))
        if suspension is None or suspension.invoice is None:
            return SuspendedFor()
        facts = invoice_facts(suspension.invoice)
    return SuspendedFor(
        invoice_number=facts["number"],
        amount=Decimal(facts["outstanding"]),
        currency=facts["currency"],
        url=facts["url"],
    )


def overdue_invoices(organization: Organization, *, now: datetime) -> list[tuple[Invoice, Decimal]]:
    """Open invoices whose due date is over in the organization's zone, oldest first, with what is left of each. Needs the scope."""
    today = now.astimezone(ZoneInfo(organization.zone)).date()
    invoices = Invoice.objects.for_organization(organization).filter(status=Invoice.Status.OPEN, due_on__lt=today)
    late = list(invoices.order_by("due_on", "sequence"))
    owed = outstanding_by_invoice(late)
    return [(invoice, owed[invoice.pk]) for invoice in late if owed[invoice.pk] > ZERO]


def written_off_meanwhile(organization: Organization) -> list[tuple[Invoice, Decimal]]:
    """What was written off during suspensions that run or ended by themselves, and is owed, oldest first. Needs the scope.

    A debt that we gave up collecting is no debt that was paid: it keeps an organization suspended until it comes in. What was
    given up before an operator let it call again does so no more.
    """
    suspensions = Suspension.objects.for_organization(organization)
    let_call = suspensions.exclude(end_reason="").aggregate(at=Max("ended_at"))["at"]
    if let_call is not None:
        suspensions = suspensions.filter(suspended_at__gte=let_call)
    written_off_at = OuterRef("write_off__written_off_at")
    running = suspensions.filter(
        Q(ended_at=None) | Q(ended_at__gte=written_off_at), cause=Cause.OVERDUE, suspended_at__lte=written_off_at
    )
    invoices = Invoice.objects.for_organization(organization)
    invoices = invoices.filter(Exists(running), status=Invoice.Status.UNCOLLECTIBLE)
    rows = [(invoice, recoverable(invoice)) for invoice in invoices.order_by("due_on", "sequence")]
    return [(invoice, owed) for invoice, owed in rows if owed > ZERO]


def invoice_facts(invoice: Invoice) -> dict[str, str]:
    """An invoice as webhooks and errors name it. Needs the tenant scope."""
    return {
        "id": str(invoice.pk),
        "number": invoice.number,
        "currency": invoice.currency,
        "amount_due": plain(invoice.amount_due),
        "outstanding": plain(outstanding(invoice) or recoverable(invoice)),
        "due_on": invoice.due_on.isoformat(),
        "url": invoice_page(organization_slug=invoice.organization.slug, invoice_id=invoice.pk),
    }


def _restore(organization_id: int, *, now: datetime) -> bool:
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        if overdue_invoices(organization, now=now):
            return False
        suspension = running_suspension(organization)
        if suspension is None or suspension.cause != Cause.OVERDUE or written_off_meanwhile(organization):
            return False
        try:
            reactivate_organization(
                organization_id=organization_id, reason="Nothing is overdue any more.", now=now, actor=None
            )
        except NotPossible:
            logger.info("not restored: it is not suspended any more", extra={"organization_id": organization_id})
            return False
        _end(organization, reason="", now=now, actor=None)
    return True


def _open(
    organization: Organization, *, cause: str, invoice: Invoice | None, reason: str, now: datetime, actor: User | None
) -> Suspension:
    suspension = Suspension.objects.create(
        organization=organization, cause=cause, invoice=invoice, reason=reason, suspended_at=now, suspended_by=actor
    )
    _tell(Notice.Kind.SUSPENDED, organization, suspension, {"suspended_at": moment_text(now)}, now=now)
    return suspension


def _end(organization: Organization, *, reason: str, now: datetime, actor: User | None) -> None:
    suspension = running_suspension(organization)
    if suspension is None:
        return
    _write_end(suspension, reason=reason, now=now, actor=actor)
    times = {"suspended_at": moment_text(suspension.suspended_at), "restored_at": moment_text(now)}
    _tell(Notice.Kind.RESTORED, organization, suspension, times, now=now)


def _write_end(suspension: Suspension, *, reason: str, now: datetime, actor: User | None) -> None:
    suspension.ended_at, suspension.ended_by, suspension.end_reason = now, actor, reason
    suspension.save(update_fields=["ended_at", "ended_by", "end_reason"])


def _tell(
    kind: str, organization: Organization, suspension: Suspension, times: Mapping[str, str], *, now: datetime
) -> None:
    invoice = suspension.invoice
    announce(
        organization=organization,
        kind=kind,
        key=f"{kind}:{suspension.pk}",
        data={"cause": suspension.cause, "invoice": invoice_facts(invoice) if invoice else None, **times},
        also_to=invoice.buyer.get("contact_email", "") if invoice else "",
        now=now,
    )
