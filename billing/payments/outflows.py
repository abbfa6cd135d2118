"""Money leaves at the processor without us: a refund made at its own desk, a dispute by the card's bank. It is written down with an
alarm until an operator says what was done; nothing is booked by itself, for nobody here knows why it left.
"""

from collections.abc import Iterable
from datetime import datetime

from accounts.alarms import clear_alarm, raise_alarm
from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.models import Payment, ProcessorOutflow, Refund
from billing.processors.interface import Outflow
from pricing.plain_text import plain

ALARM = "processor_outflow"
CAME_BACK = frozenset({"failed", "canceled", "won", "warning_closed"})
"""Words for what did not leave after all."""


class AlreadySettled(Exception):
    """Somebody else said what was done."""


def note_outflows(payment: Payment, found: Iterable[Outflow], *, now: datetime) -> list[ProcessorOutflow]:
    """Write down what is none of our refunds, once each, and how it stands. Returns what is new or stands elsewhere than before."""
    changed = []
    with tenant_scope([payment.organization_id]):
        for outflow in found:
            if not _is_ours(payment, outflow):
                row, made = ProcessorOutflow.objects.select_for_update().get_or_create(
                    processor=payment.processor,
                    reference=outflow.reference,
                    defaults={
                        "organization_id": payment.organization_id,
                        "payment": payment,
                        "kind": outflow.kind,
                        "amount": outflow.amount,
                        "currency": outflow.currency,
                        "status": outflow.status,
                        "reason": outflow.reason[:100],
                        "noticed_at": now,
                        "changed_at": now,
                    },
                )
                if made or row.status != outflow.status:
                    row.status, row.changed_at = outflow.status, now
                    row.save(update_fields=["status", "changed_at"])
                    changed.append(row)
                    _alarm(row, now=now)
    return changed


def settle_outflow(
    *, organization_id: int, outflow_id: int, what_was_done: str, now: datetime, actor: User | None
) -> ProcessorOutflow:
    """An operator has seen to it. Raises ProcessorOutflow.DoesNotExist, AlreadySettled."""
    with tenant_scope([organization_id]):
        rows = ProcessorOutflow.objects.select_for_update(of=("self",)).for_organization(organization_id)
        row = rows.select_related("organization").get(pk=outflow_id)
        if row.settled_at is not None:
            raise AlreadySettled(row.reference)
        row.settled_at, row.settled_by, row.settlement = now, actor, what_was_done
        row.save(update_fields=["settled_at", "settled_by", "settlement"])
        write_audit_entry(
            action="outflow.settled",
            target=row.reference,
            organization=row.organization,
            actor=actor,
            now=now,
            detail={"amount": plain(row.amount), "kind": row.kind, "reason": what_was_done},
        )
    clear_alarm(kind=ALARM, subject=row.reference, now=now)
    return row


def _is_ours(payment: Payment, outflow: Outflow) -> bool:
    ours = Refund.objects.for_organization(payment.organization_id).filter(processor=payment.processor)
    if outflow.refund_id is not None and ours.filter(pk=outflow.refund_id).exists():
        return True
    return ours.filter(reference=outflow.reference).exists()


def _alarm(row: ProcessorOutflow, *, now: datetime) -> None:
    """What came back, and a word that changes after an operator has seen to it, is worth no alarm; money that left is."""
    if row.status in CAME_BACK:
        clear_alarm(kind=ALARM, subject=row.reference, now=now)
    elif row.settled_at is None:
        summary = f"{row.kind} {row.reference} of {plain(row.amount)} {row.currency} at {row.processor}: {row.status}"
        detail = {"organization": row.organization.slug, "payment": str(row.payment_id), "reason": row.reason}
        raise_alarm(kind=ALARM, subject=row.reference, summary=summary, now=now, detail=detail)
