"""A transfer was somebody else's money: its payment is taken back. What it paid is owed again, what it became as credit is gone."""

from datetime import datetime

from django.db.models import Sum

from accounts.audit_log import write_audit_entry
from accounts.models import User
from billing.buyers import billing_profile, buyer_details
from billing.invoicing import PaymentInProgress
from billing.mail import mails
from billing.models import Invoice, OutboxMail, Payment, Refund, WriteOff
from billing.payments.top_up_settlement import top_up_key
from billing.settlement import kept_of, outstanding, overpayment_key
from ledger import settling
from ledger.models import Account
from pricing.exact import ZERO, exact_sum
from pricing.plain_text import plain


class GivenBack(Exception):
    """Money of the payment was refunded, or a credit note gave it back, so it cannot be taken from the invoice any more."""


def reverse_transfer(payment: Payment, *, reason: str, now: datetime, actor: User | None) -> None:
    """Take a transfer back that succeeded, with its postings, and tell the billing contact. Its invoice is locked by the caller.

    Raises PaymentInProgress while the invoice is being paid, GivenBack, ledger.settling.CreditSpent.
    """
    invoice = payment.invoice
    _check(payment, invoice)
    written_off = invoice is not None and WriteOff.objects.filter(invoice=invoice).exists()
    settling.lock_balance(payment.organization_id)
    settling.reverse_payment(
        organization_id=payment.organization_id,
        payment_id=payment.pk,
        amount=payment.amount,
        credit_key=top_up_key(payment) if invoice is None else overpayment_key(payment),
        debt=Account.BAD_DEBT if written_off else Account.RECEIVABLE,
        account=Account.BANK,
        now=now,
    )
    payment.status = Payment.Status.REVERSED
    payment.save(update_fields=["status"])
    if invoice is not None and invoice.status == Invoice.Status.PAID:
        _open_again(invoice, Invoice.Status.UNCOLLECTIBLE if written_off else Invoice.Status.OPEN)
    write_audit_entry(
        action="payment.reversed",
        target=payment.purpose,
        organization=payment.organization,
        actor=actor,
        now=now,
        detail={"payment": str(payment.pk), "amount": plain(payment.amount), "reason": reason},
    )
    _mail(payment, invoice, now)


def _check(payment: Payment, invoice: Invoice | None) -> None:
    if payment.refunds.exclude(status=Refund.Status.FAILED).exists():
        raise GivenBack(f"payment {payment.pk} was refunded")
    if invoice is None:
        return
    if invoice.payments.filter(status__in=Payment.OPEN_STATUSES).exists():
        raise PaymentInProgress(f"invoice {invoice.number} is being paid")
    noted = invoice.credit_notes.aggregate(sum=Sum("to_credit") + Sum("to_refund"))["sum"] or ZERO
    others = invoice.payments.filter(status=Payment.Status.SUCCEEDED).exclude(pk=payment.pk)
    if noted > exact_sum(kept_of(other) for other in others):
        raise GivenBack(f"a credit note on invoice {invoice.number} gave back what the payment brought")


def _open_again(invoice: Invoice, status: str) -> None:
    """It is paid no longer, unless it needs nothing all the same."""
    invoice.status = Invoice.Status.OPEN
    if outstanding(invoice) <= ZERO:
        return
    invoice.status, invoice.paid_at = status, None
    invoice.save(update_fields=["status", "paid_at"])


def _mail(payment: Payment, invoice: Invoice | None, now: datetime) -> None:
    organization = payment.organization
    buyer = invoice.buyer if invoice else buyer_details(organization, billing_profile(organization))
    if not buyer.get("contact_email"):
        return
    mails.enqueue(
        kind=OutboxMail.Kind.PAYMENT_REVERSED,
        key=f"{OutboxMail.Kind.PAYMENT_REVERSED}:{payment.pk}",
        organization=organization,
        recipient=buyer["contact_email"],
        language=invoice.language if invoice else organization.language,
        invoice=invoice,
        context={"payment": str(payment.pk), "amount": plain(payment.amount), "currency": payment.currency},
        now=now,
    )
