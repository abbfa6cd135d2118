"""What can still be taken back of a final invoice, and what a credit note would take: by whole or by line, nothing written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from django.db.models import Sum

from billing.corrections.taken_back_calls import taken_back_of_lines
from billing.models import CreditNoteLine, Invoice, InvoiceLine, Payment
from billing.settlement import kept_of, outstanding
from pricing.exact import EXACT, ZERO, exact_sum
from pricing.totals import round_to_minor, vat


class MoneyBack(StrEnum):
    """What becomes of money that was paid already and is taken back."""

    CREDIT = "credit"
    REFUND = "refund"


class NotCreditable(Exception):
    """Only an invoice that is open or paid, and of which something is left, can have a credit note."""


class WrittenOff(NotCreditable):
    """What is left of the invoice is bad debt: its money has to come in before any of it can be given back."""


class TooMuch(ValueError):
    """More would be taken back than is left, of a line or of the whole, or something else than whole minor units above zero.

    `position` is the line's, if it is about one.
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True, kw_only=True)
class LineLeft:
    """An invoice line and what neither a note nor a later month took back of it yet."""

    line: InvoiceLine
    left: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What no note took back yet. `paid` of it came in as money that we still have, `by_credit` was paid by credit.

    `taken_back` of the invoice (before tax) later months give back, because reporters took calls back: it is not left.
    """

    lines: Sequence[LineLeft]
    subtotal: Decimal
    tax: Decimal
    taken_back: Decimal
    outstanding: Decimal
    paid: Decimal
    by_credit: Decimal

    @property
    def total(self) -> Decimal:
        return EXACT.add(self.subtotal, self.tax)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A credit note before it is made; amounts as in CreditNote."""

    lines: Mapping[int, Decimal]
    """By the primary key of the invoice line."""
    subtotal: Decimal
    tax: Decimal
    applied: Decimal
    to_credit: Decimal
    to_refund: Decimal
    credit_returned: Decimal

    @property
    def total(self) -> Decimal:
        return EXACT.add(self.subtotal, self.tax)


def left_of(invoice: Invoice) -> Left:
    """What is left of an invoice. Needs the tenant scope; exact while the invoice's row is locked and its period held."""
    noted = invoice.credit_notes.aggregate(
        subtotal=Sum("subtotal"),
        tax=Sum("tax"),
        money=Sum("to_credit") + Sum("to_refund"),
        credit=Sum("credit_returned"),
    )
    note_lines = CreditNoteLine.objects.for_organization(invoice.organization_id).filter(credit_note__invoice=invoice)
    of_lines = dict(note_lines.values_list("invoice_line_id").annotate(sum=Sum("amount")))
    payments = invoice.payments.filter(status=Payment.Status.SUCCEEDED)
    lines = list(invoice.lines.order_by("position"))
    back_later = taken_back_of_lines(invoice, lines)
    taken_back = exact_sum(back_later.values())
    subtotal = EXACT.subtract(EXACT.subtract(invoice.subtotal, noted["subtotal"] or ZERO), taken_back)
    tax = EXACT.subtract(invoice.tax, noted["tax"] or ZERO)
    if back_later:
        tax = min(tax, vat(max(subtotal, ZERO), tax_rate=invoice.tax_rate, currency=invoice.currency))
    return Left(
        lines=[
            LineLeft(
                line=line,
                left=EXACT.subtract(line.amount, exact_sum(part.get(line.pk, ZERO) for part in (of_lines, back_later))),
            )
            for line in lines
        ],
        subtotal=subtotal,
        tax=tax,
        taken_back=taken_back,
        outstanding=outstanding(invoice),
        paid=EXACT.subtract(exact_sum(kept_of(payment) for payment in payments), noted["money"] or ZERO),
        by_credit=EXACT.subtract(max(invoice.credit_applied, ZERO), noted["credit"] or ZERO),
    )


def plan_note(invoice: Invoice, left: Left, *, amounts: Mapping[int, Decimal] | None, money_back: MoneyBack) -> Plan:
    """A note of `amounts` before tax, by line position, or of all that is left. Raises NotCreditable, TooMuch.

    What is still owed is taken off first, then what was paid as money goes the way of `money_back`, then credit that was used is
    given back as credit: it was never money, so it is never refunded.
    """
    if invoice.status == Invoice.Status.UNCOLLECTIBLE:
        raise WrittenOff(f"invoice {invoice.number} was written off")
    if invoice.status not in (Invoice.Status.OPEN, Invoice.Status.PAID):
        raise NotCreditable(f"invoice {invoice.number} is {invoice.status}")
    if left.subtotal <= ZERO or left.total <= ZERO:
        raise NotCreditable(f"nothing is left of invoice {invoice.number}")
    lines = _lines(invoice, left, amounts)
    subtotal = exact_sum(lines.values())
    if not ZERO < subtotal <= left.subtotal:
        raise TooMuch(f"{subtotal} of {left.subtotal}")
    tax = _tax(invoice, left, subtotal)
    total = EXACT.add(subtotal, tax)
    applied = min(total, left.outstanding)
    money = min(EXACT.subtract(total, applied), left.paid)
    return Plan(
        lines=lines,
        subtotal=subtotal,
        tax=tax,
        applied=applied,
        to_credit=money if money_back is MoneyBack.CREDIT else ZERO,
        to_refund=money if money_back is MoneyBack.REFUND else ZERO,
        credit_returned=EXACT.subtract(EXACT.subtract(total, applied), money),
    )


def _lines(invoice: Invoice, left: Left, amounts: Mapping[int, Decimal] | None) -> dict[int, Decimal]:
    if amounts is None:
        return {row.line.pk: row.left for row in left.lines if row.left}
    by_position = {row.line.position: row for row in left.lines}
    found = {}
    for position, amount in amounts.items():
        row = by_position.get(position)
        if row is None or amount != round_to_minor(amount, invoice.currency) or not _fits(amount, row):
            raise TooMuch(f"line {position}: {amount}", position=position)
        if amount:
            found[row.line.pk] = amount
    return found


def _fits(amount: Decimal, row: LineLeft) -> bool:
    """Taking it back leaves the line on its side of zero. A line that would have cost more (of a proposal) is always possible."""
    rest = EXACT.subtract(row.left, amount)
    return rest >= ZERO if row.line.amount >= ZERO else rest <= ZERO


def _tax(invoice: Invoice, left: Left, subtotal: Decimal) -> Decimal:
    """By the rule of every tax, rounded towards zero; the note that takes the last of an invoice takes what is left of its tax."""
    if subtotal == left.subtotal:
        return left.tax
    return min(vat(subtotal, tax_rate=invoice.tax_rate, currency=invoice.currency), left.tax)
