"""What a proposed credit note takes back of each line, less what notes of earlier proposals on the invoice took back already."""

from datetime import date
from decimal import Decimal

from django.db.models import Sum

from billing.corrections.creditable import Left, NotCreditable, TooMuch
from billing.corrections.taken_back_calls import key_of_line
from billing.models import CreditNoteLine, CreditNoteProposal
from metering.credited_usage import taken_back_since
from pricing.exact import EXACT, ONE, ZERO, exact_sum
from pricing.totals import MINOR_UNITS, allocate


class Outdated(NotCreditable):
    """Calls of the month were taken back after it was proposed, perhaps some that it counts: the month is to be looked at anew."""


def is_outdated(proposal: CreditNoteProposal) -> bool:
    """Whether it may count calls that a later month gives back whole. Exact while the period is held; needs the tenant scope."""
    return bool(taken_back_since(proposal.invoice.period, since=proposal.created_at))


def amounts_of_proposal(proposal: CreditNoteProposal, left: Left) -> dict[int, Decimal]:
    """Amounts before tax by line position. Needs the tenant scope; raises TooMuch where nothing is (any more) to be given back, and
    Outdated.

    The proposal's rounded difference is shared out in proportion to the exact ones. A line whose share is a unit above what is left
    of it, by rounding, hands that on. A proposal looks at the whole invoice, so it contains what earlier ones gave back.
    """
    if is_outdated(proposal):
        raise Outdated(str(proposal.pk))
    change = EXACT.minus(proposal.subtotal_change)
    if change <= ZERO:
        raise TooMuch(f"{proposal.subtotal_change} would be charged, not given back")
    differences = _differences(proposal, left)
    shares = allocate(change, list(differences.values()), proposal.currency)
    before = _given_before(proposal)
    wanted = _within(
        dict(zip(differences, shares, strict=True)),
        {row.line.position: EXACT.add(row.left, before.get(row.line.position, ZERO)) for row in left.lines},
        unit=ONE.scaleb(-MINOR_UNITS[proposal.currency]),
    )
    rest = {
        position: EXACT.subtract(wanted.get(position, ZERO), before.get(position, ZERO))
        for position in sorted(wanted.keys() | before.keys())
    }
    if exact_sum(rest.values()) <= ZERO:
        raise TooMuch("notes of earlier proposals gave all of it back")
    return {position: amount for position, amount in rest.items() if amount}


def _differences(proposal: CreditNoteProposal, left: Left) -> dict[int, Decimal]:
    """The exact amounts that the lines would have been lower, by position.

    What cost nothing, and would have cost something, has no line: all lines bear it, as the sum that is shared out is net of it.
    """
    positions = {key_of_line(row.line): row.line.position for row in left.lines}
    found: dict[int, Decimal] = {}
    for line in proposal.lines:
        late = line["service_month"] and date.fromisoformat(line["service_month"])
        position = positions.get((line["applied_rate"], line["token_class"], late))
        if position is not None:
            found[position] = EXACT.subtract(found.get(position, ZERO), Decimal(line["difference"]))
    return found


def _given_before(proposal: CreditNoteProposal) -> dict[int, Decimal]:
    lines = CreditNoteLine.objects.for_organization(proposal.organization_id).filter(
        credit_note__invoice_id=proposal.invoice_id, credit_note__proposal__isnull=False
    )
    return dict(lines.values_list("invoice_line__position").annotate(sum=Sum("amount")))


def _within(shares: dict[int, Decimal], most: dict[int, Decimal], *, unit: Decimal) -> dict[int, Decimal]:
    room = {position: EXACT.subtract(most[position], share) for position, share in shares.items()}
    for position in shares:
        taker = next((other for other in shares if room[other] >= unit), None)
        if room[position] == -unit and taker is not None:
            shares[position], room[position] = EXACT.subtract(shares[position], unit), ZERO
            shares[taker], room[taker] = EXACT.add(shares[taker], unit), EXACT.subtract(room[taker], unit)
    return shares
