"""A deposit was matched with the wrong customer, or set aside by mistake: an operator undoes that, and it waits again.

The payments that it made are taken back in one transaction, all or none; the decision stays and says so.
"""

from datetime import datetime

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.bank.payer_names import bare
from billing.models import Invoice, Payment
from billing.models.deposits import BankDeposit, DepositDecision, PayerAlias
from billing.payments.reversing import reverse_transfer
from ledger.retrying import with_retries
from pricing.plain_text import plain


class AlreadyUndone(Exception):
    """Somebody else has undone the decision."""


def undo_decision(*, decision_id: int, reason: str, now: datetime, actor: User | None) -> DepositDecision:
    """Undo a match or a setting aside. Raises DepositDecision.DoesNotExist, AlreadyUndone, and what `reverse_transfer` raises."""
    found = DepositDecision.objects.using("system").select_related("deposit").get(pk=decision_id)
    deposit, organization_id = found.deposit, found.organization_id
    if organization_id is None:
        with transaction.atomic(using="system"):
            return _undo(decision_id, deposit, reason=reason, now=now, actor=actor, using="system")

    def write() -> DepositDecision:
        with tenant_scope([organization_id]):
            payments = _lock(organization_id, decision_id)
            undone = _undo(decision_id, deposit, reason=reason, now=now, actor=actor, using="default")
            for payment in payments:
                reverse_transfer(payment, reason=reason, now=now, actor=actor)
            _forget_payer(undone, deposit, organization_id)
        return undone

    return with_retries(write)


def _lock(organization_id: int, decision_id: int) -> list[Payment]:
    """The payments of a match with their invoices, locked in the order in which matching locks them."""
    payments = Payment.objects.for_organization(organization_id).filter(deposit_part__decision=decision_id)
    locked = Invoice.objects.select_for_update().for_organization(organization_id)
    invoices = {row.pk: row for row in locked.filter(pk__in=payments.values("invoice_id")).order_by("pk")}
    found = list(payments.select_related("organization").order_by("pk").select_for_update(of=("self",)))
    for payment in found:
        payment.invoice = invoices[payment.invoice_id] if payment.invoice_id else None
    return found


def _undo(
    decision_id: int, deposit: BankDeposit, *, reason: str, now: datetime, actor: User | None, using: str
) -> DepositDecision:
    decision = DepositDecision.objects.using(using).select_for_update().get(pk=decision_id)
    if decision.undone_at is not None:
        raise AlreadyUndone(str(decision_id))
    decision.undone_at, decision.undone_by, decision.undo_reason = now, actor, reason
    decision.save(using=using, update_fields=["undone_at", "undone_by", "undo_reason"])
    organization_id = decision.organization_id
    write_audit_entry(
        action="deposit.undone",
        target=deposit.payer,
        organization=None if organization_id is None else Organization.objects.get(pk=organization_id),
        actor=actor,
        now=now,
        detail={
            "deposit": deposit.pk,
            "amount": plain(deposit.amount),
            "kind": decision.kind,
            "reason": reason,
        },
        using=using,
    )
    return decision


def _forget_payer(decision: DepositDecision, deposit: BankDeposit, organization_id: int) -> None:
    """The name is not this organization's; what was matched under it before and stands may have taught it again."""
    if decision.kind == DepositDecision.Kind.CONFIRMED:
        aliases = PayerAlias.objects.for_organization(organization_id).filter(name=bare(deposit.payer))
        aliases.filter(created_at=decision.decided_at).delete()
