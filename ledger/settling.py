"""Move money when a period is invoiced, an invoice is paid or voided: postings, and the balance by them.

Each runs inside the caller's transaction, which holds the balance's row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from uuid import UUID

from accounts.models import Organization
from accounts.round_trips import Rows, Statement, run
from accounts.stored_rows import columns, insertion, instance, values
from ledger.credit_expiry import expire_of, note_next_expiry
from ledger.credit_order import CreditLeft, credits_left, is_expired, less, share_out
from ledger.credits import grant_credit
from ledger.journal import Posting, changes_of, post
from ledger.models import Account, Balance, CreditGrant, CreditUse, TransactionKind
from pricing.exact import EXACT, ZERO, exact_sum
from pricing.totals import MINOR_UNITS

LOCK_BALANCE = Statement(
    f"SELECT {columns(Balance, 'balance')} FROM ledger_balance AS balance WHERE balance.organization_id = %s FOR UPDATE"
)
RETURNED_DAYS = 30
"""How long credit that a voided invoice gives back lasts, where its own time is over: time enough to issue the invoice anew."""


class CreditSpent(Exception):
    """The invoice gave credit, and that was used since, so it cannot be taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an invoice claims: the exact charges it stands for, what was agreed beside them, and what all was rounded to, with tax.

    `discount` and `minimum_fee` are exact amounts of lines, so a discount is below 0 where the charges are above.
    """

    invoice_id: UUID
    exact: Decimal
    subtotal: Decimal
    tax: Decimal
    discount: Decimal = ZERO
    minimum_fee: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return EXACT.add(self.subtotal, self.tax)

    def entries(self, source: Account) -> dict[Account, Decimal]:
        """The claim takes the place of the usage on `source`, whose revenue was posted with it; a minimum fee is more of that."""
        before_rounding = exact_sum((self.exact, self.discount, self.minimum_fee))
        return {
            source: EXACT.minus(self.exact),
            Account.RECEIVABLE: self.total,
            Account.TAX_PAYABLE: EXACT.minus(self.tax),
            Account.DISCOUNT: EXACT.minus(self.discount),
            Account.REVENUE: EXACT.minus(self.minimum_fee),
            Account.ROUNDING: EXACT.subtract(before_rounding, self.subtotal),
        }


def lock_balance(organization_id: int) -> Balance:
    """The balance row, exclusively until the transaction ends. Taken after the period's lock, as recording does."""
    return balance_in(run([(LOCK_BALANCE, [organization_id])])[0])


def balance_in(rows: Rows) -> Balance:
    """What LOCK_BALANCE returned. Raises Balance.DoesNotExist."""
    if not rows:
        raise Balance.DoesNotExist
    return instance(Balance, rows[0])


def invoice_usage(
    *,
    balance: Balance,
    claim: Claim,
    again: bool,
    period_end: datetime,
    now: datetime,
    grants: Sequence[CreditLeft] | None = None,
) -> tuple[Decimal, list[CreditLeft]]:
    """Turn unbilled charges into a receivable, prepaid credit first; `again` if a voided invoice had claimed them before.

    `grants` are the credits with something left, where the caller has read them. Returns the credit that was used, in whole minor
    units and at most the total, and what of it came from each. Of a total below zero it is the total: the receivable is below zero
    by that until the caller gives it as credit.
    """
    grants = expire_of(credits_left(balance.pk) if grants is None else grants, balance=balance, now=now)
    most = whole_units(exact_sum(left for _grant, left in grants), balance.currency)
    parts = share_out(grants, min(most, max(claim.total, ZERO)))
    credit = exact_sum(part for _grant, part in parts)
    key = str(claim.invoice_id)
    postings = [
        Posting(TransactionKind.INVOICE, key, claim.entries(Account.WITHDRAWN if again else Account.UNBILLED)),
        Posting(
            TransactionKind.CREDIT_APPLIED, key, {Account.PREPAID: credit, Account.RECEIVABLE: EXACT.minus(credit)}
        ),
    ]
    _post(balance, postings, now)
    _note_uses(balance.pk, claim.invoice_id, parts, now)
    expire_of(less(grants, parts), balance=balance, now=now, invoiced_until=period_end)
    return min(claim.total, ZERO) or credit, parts


def leave_uninvoiced(*, balance: Balance, claim: Claim, period_id: int, period_end: datetime, now: datetime) -> None:
    """A month comes to nothing and is not invoiced: its charges leave what is unbilled, by discount and rounding."""
    grants = expire_of(credits_left(balance.pk), balance=balance, now=now)
    _post(balance, [Posting(TransactionKind.NOT_INVOICED, str(period_id), claim.entries(Account.UNBILLED))], now)
    expire_of(grants, balance=balance, now=now, invoiced_until=period_end)


def cancel_claim(*, organization: Organization, claim: Claim, credit: Decimal, number: str, now: datetime) -> None:
    """Take back what an invoice claimed, and give back the credit that it used, to the credits that it was of.

    Where one has expired since, as a new one that lasts RETURNED_DAYS. Credit below zero was given by the invoice and is taken
    back; raises CreditSpent if it is not there any more.
    """
    balance = lock_balance(organization.pk)
    key = str(claim.invoice_id)
    cancelled = {account: EXACT.minus(amount) for account, amount in claim.entries(Account.WITHDRAWN).items()}
    postings = [Posting(TransactionKind.VOID, key, cancelled)]
    parts = (
        _given(organization.pk, claim.invoice_id, credit) if credit < ZERO else _used(organization.pk, claim.invoice_id)
    )
    back = [(grant, part) for grant, part in parts if credit < ZERO or not is_expired(grant, now=now)]
    returned = exact_sum(EXACT.minus(part) for _grant, part in back)
    postings.append(
        Posting(
            TransactionKind.CREDIT_RETURNED, key, {Account.RECEIVABLE: returned, Account.PREPAID: EXACT.minus(returned)}
        )
    )
    post(organization_id=organization.pk, postings=postings, now=now)
    _note_uses(organization.pk, claim.invoice_id, back, now)
    note_next_expiry(balance)
    for grant, part in parts:
        if (grant, part) not in back:
            grant_credit(
                organization=organization,
                amount=EXACT.minus(part),
                currency=grant.currency,
                kind=grant.kind,
                reason=f"Credit returned, {number}",
                key=f"returned:{claim.invoice_id}:{grant.pk}",
                now=now,
                expires_at=now + timedelta(days=RETURNED_DAYS),
                priority=grant.priority,
                source=Account.RECEIVABLE,
            )


GIVEN = "invoice:"


def given_key(invoice_id: UUID) -> str:
    """The key of the credit that an invoice with a total below zero became."""
    return f"{GIVEN}{invoice_id}"


def receive_payment(
    *, organization_id: int, payment_id: UUID, amount: Decimal, account: Account, now: datetime
) -> None:
    """Money came in, all of it for what is receivable; what is too much is the caller's to give as credit from there."""
    entries = {account: amount, Account.RECEIVABLE: EXACT.minus(amount)}
    post(
        organization_id=organization_id, postings=[Posting(TransactionKind.PAYMENT, str(payment_id), entries)], now=now
    )


def reverse_payment(
    *,
    organization_id: int,
    payment_id: UUID,
    amount: Decimal,
    credit_key: str,
    debt: Account,
    account: Account,
    now: datetime,
) -> None:
    """A payment was somebody else's money: what it had paid is owed on `debt` again, and the credit that it became is gone.

    Raises CreditSpent if of that credit, granted under `credit_key`, something was used; nothing is posted then.
    """
    taken = ZERO
    grant = CreditGrant.objects.for_organization(organization_id).filter(key=credit_key).first()
    if grant is not None:
        if (grant, grant.amount) not in credits_left(organization_id):
            raise CreditSpent(f"credit of {grant.amount} that the payment became was used since")
        taken = grant.amount
        CreditUse.objects.create(organization_id=organization_id, grant=grant, amount=taken, at=now)
    entries = {Account.PREPAID: taken, debt: EXACT.subtract(amount, taken), account: EXACT.minus(amount)}
    posting = Posting(TransactionKind.PAYMENT_REVERSED, str(payment_id), entries)
    post(organization_id=organization_id, postings=[posting], now=now)


def _used(organization_id: int, invoice_id: UUID) -> list[CreditLeft]:
    """What an invoice used of each credit, to be given back: below zero."""
    uses = CreditUse.objects.for_organization(organization_id).filter(invoice_id=invoice_id).select_related("grant")
    return [(use.grant, EXACT.minus(use.amount)) for use in uses.order_by("pk")]


def _given(organization_id: int, invoice_id: UUID, credit: Decimal) -> list[CreditLeft]:
    """The credit that an invoice became, all of which is to be taken. Raises CreditSpent."""
    for grant, left in credits_left(organization_id):
        if grant.key == given_key(invoice_id) and left == EXACT.minus(credit):
            return [(grant, left)]
    raise CreditSpent(f"credit of {EXACT.minus(credit)} that the invoice gave was used since")


def _post(balance: Balance, postings: Sequence[Posting], now: datetime) -> None:
    """Post, and let `balance` know it as its row does."""
    post(organization_id=balance.pk, postings=postings, now=now)
    for account, change in changes_of(postings).items():
        setattr(balance, account.value, EXACT.add(getattr(balance, account.value), change))


def _note_uses(organization_id: int, invoice_id: UUID, parts: list[CreditLeft], now: datetime) -> None:
    uses = [
        CreditUse(organization_id=organization_id, grant=grant, invoice_id=invoice_id, amount=part, at=now)
        for grant, part in parts
    ]
    if uses:
        run([(insertion(CreditUse), values(use)) for use in uses])


def whole_units(amount: Decimal, currency: str) -> Decimal:
    """What of an amount above zero can be paid: rounded down to the currency's minor unit."""
    return amount.quantize(Decimal(1).scaleb(-MINOR_UNITS[currency]), rounding=ROUND_DOWN)
