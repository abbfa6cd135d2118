"""What becomes of a deposit is decided once: it pays invoices of one organization, or it is set aside. One transaction each.

A match moves money, and its receipts go out at once; undoing it (`undoing.py`) is an operator's work. What is not certain
therefore waits for an operator (decision 0026).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.bank.bank_transfers import record_prepayment, record_transfer
from billing.bank.payer_names import bare
from billing.models import Invoice, Payment
from billing.models.deposits import BankDeposit, DepositDecision, DepositPart, PayerAlias
from billing.settlement import outstanding_by_invoice, recoverable
from ledger.retrying import with_retries
from pricing.exact import EXACT, ZERO
from pricing.plain_text import plain


class AlreadyDecided(Exception):
    """Somebody else, or another process, decided what became of the deposit."""


class OtherCurrency(Exception):
    """The organization owes nothing in the deposit's currency and is billed in another one."""


class NoLongerFits(Exception):
    """What is owed changed since the match was proposed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What an invoice gets of a deposit, and how much of that it does not need, so that it becomes credit."""

    invoice_id: UUID
    amount: Decimal
    credit: Decimal = ZERO


def share_out(amount: Decimal, owed: Iterable[tuple[UUID, Decimal]]) -> list[Share]:
    """Share out a deposit among invoices in their order; what none of them needs goes to the last."""
    shares: list[Share] = []
    left = amount
    for invoice_id, needs in owed:
        if left <= ZERO:
            break
        part = min(left, needs)
        shares.append(Share(invoice_id=invoice_id, amount=part))
        left = EXACT.subtract(left, part)
    if shares and left > ZERO:
        last = shares[-1]
        shares[-1] = Share(invoice_id=last.invoice_id, amount=EXACT.add(last.amount, left), credit=left)
    return shares


def plan_of(*, deposit: BankDeposit, organization_id: int, first: UUID | None = None) -> list[Share]:
    """How `match_deposit` would share the deposit out now. Raises OtherCurrency, NoLongerFits.

    Nothing is shared out where all of it becomes prepaid credit.
    """
    with tenant_scope([organization_id]):
        return _shares(organization_id, deposit, first)


def match_deposit(
    *,
    deposit: BankDeposit,
    organization_id: int,
    first: UUID | None = None,
    kind: str,
    because: Sequence[str] = (),
    expected: Sequence[Share] | None = None,
    now: datetime,
    actor: User | None,
) -> DepositDecision:
    """Let a deposit pay an organization's open invoices, `first` one if given, then the oldest; the rest becomes credit.

    `first` may have been written off, which is recovered then. Without an open invoice all of it is prepaid credit. With `expected`
    it pays just so or nothing. A payer whom an operator confirms is remembered. Raises AlreadyDecided, OtherCurrency, NoLongerFits.
    """

    def write() -> DepositDecision:
        with tenant_scope([organization_id]):
            shares = _shares(organization_id, deposit, first)
            if expected is not None and shares != list(expected):
                raise NoLongerFits
            decision = _decide(
                deposit=deposit, organization_id=organization_id, kind=kind, because=because, now=now, actor=actor
            )
            for payment in _payments(decision, deposit, shares, now=now, actor=actor):
                DepositPart.objects.create(organization_id=organization_id, decision=decision, payment=payment)
            if kind == DepositDecision.Kind.CONFIRMED:
                remember_payer(organization_id=organization_id, payer=deposit.payer, now=now, actor=actor)
            write_audit_entry(
                action="deposit.matched",
                target=deposit.payer,
                organization=Organization.objects.get(pk=organization_id),
                actor=actor,
                now=now,
                detail={
                    "deposit": deposit.pk,
                    "amount": plain(deposit.amount),
                    "kind": kind,
                    "because": list(because),
                    "invoices": [str(share.invoice_id) for share in shares],
                },
            )
        return decision

    return with_retries(write)


def set_aside(
    *, deposit: BankDeposit, reason: str, because: Sequence[str] = (), now: datetime, actor: User | None
) -> DepositDecision:
    """Say that a deposit concerns no invoice, as the `system` role. Raises AlreadyDecided."""
    with transaction.atomic(using="system"):
        try:
            with transaction.atomic(using="system"):
                decision = DepositDecision.objects.using("system").create(
                    deposit=deposit,
                    kind=DepositDecision.Kind.SET_ASIDE,
                    because=list(because),
                    reason=reason,
                    decided_at=now,
                    decided_by=actor,
                )
        except IntegrityError:
            raise AlreadyDecided from None
        write_audit_entry(
            action="deposit.set_aside",
            target=deposit.payer,
            actor=actor,
            now=now,
            detail={
                "deposit": deposit.pk,
                "amount": plain(deposit.amount),
                "reason": reason,
                "because": list(because),
            },
            using="system",
        )
    return decision


def remember_payer(*, organization_id: int, payer: str, now: datetime, actor: User | None) -> None:
    """Know the payer's name as this organization's from now on. Needs its tenant scope."""
    if name := bare(payer):
        PayerAlias.objects.get_or_create(
            organization_id=organization_id, name=name, defaults={"created_at": now, "created_by": actor}
        )


def _shares(organization_id: int, deposit: BankDeposit, first: UUID | None) -> list[Share]:
    """Locks every invoice that may take part before the balance is locked, in one order, so that no two payments can deadlock."""
    invoices = Invoice.objects.for_organization(organization_id).filter(currency=deposit.currency)
    still_open = list(invoices.filter(status=Invoice.Status.OPEN).order_by("pk").select_for_update())
    if first is not None and all(invoice.pk != first for invoice in still_open):
        written_off = invoices.filter(pk=first, status=Invoice.Status.UNCOLLECTIBLE).select_for_update().first()
        if written_off is None:
            raise NoLongerFits
        still_open.append(written_off)
    owed = outstanding_by_invoice(still_open)
    needs = {invoice.pk: owed[invoice.pk] or recoverable(invoice) for invoice in still_open}
    oldest_first = sorted(
        (invoice for invoice in still_open if needs[invoice.pk] > ZERO),
        key=lambda invoice: (invoice.pk != first, invoice.due_on, invoice.sequence),
    )
    if not oldest_first and Organization.objects.get(pk=organization_id).billing_currency != deposit.currency:
        raise OtherCurrency
    return share_out(deposit.amount, [(invoice.pk, needs[invoice.pk]) for invoice in oldest_first])


def _payments(
    decision: DepositDecision, deposit: BankDeposit, shares: Sequence[Share], *, now: datetime, actor: User | None
) -> Iterator[Payment]:
    """What a deposit becomes: a payment of each invoice that it is shared out to, or a prepayment."""
    assert decision.organization_id is not None, "only what is set aside has none"
    organization_id, name = decision.organization_id, f"deposit-{deposit.pk}-{decision.pk}"
    for number, share in enumerate(shares, start=1):
        yield record_transfer(
            organization_id=organization_id,
            invoice_id=share.invoice_id,
            amount=share.amount,
            payer_name=deposit.payer,
            key=f"{name}-{number}",
            received_at=deposit.at,
            actor=actor,
            now=now,
        )
    if not shares:
        yield record_prepayment(
            organization_id=organization_id,
            amount=deposit.amount,
            currency=deposit.currency,
            payer_name=deposit.payer,
            key=name,
            received_at=deposit.at,
            actor=actor,
            now=now,
        )


def _decide(
    *,
    deposit: BankDeposit,
    organization_id: int,
    kind: str,
    because: Sequence[str],
    now: datetime,
    actor: User | None,
) -> DepositDecision:
    """The row by which a deposit counts once: two who decide at the same moment cannot both have it."""
    try:
        with transaction.atomic():
            return DepositDecision.objects.create(
                deposit_id=deposit.pk,
                organization_id=organization_id,
                kind=kind,
                because=list(because),
                decided_at=now,
                decided_by=actor,
            )
    except IntegrityError:
        raise AlreadyDecided from None
