"""How much of an invoice is paid with credit that is a card's money: the slips of those payments prove that part already.

Credit is all a card's money or none of it, but for what a month below zero became that took back card-paid and other supply: of
that as much is the cards' as the proof noted (`slips_back`). Invoices use the cards' part first and credit notes give it back
last; what expires or is sent back – by hand, to a bank – is first what is not the cards'. Everything here needs the tenant scope.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from django.db.models import Sum

from billing.models import CreditNote, Invoice, Payment, SupplyProof
from billing.payments.credit_origins import CREDIT_KEY
from billing.processors import bank_transfer
from ledger.credit_order import CreditLeft
from ledger.invoice_corrections import noted_key
from ledger.models import CreditGrant, CreditUse
from ledger.settling import GIVEN
from pricing.exact import EXACT, ZERO, exact_sum

NOTED: Final = "credit_note:"


def card_credit(invoice: Invoice) -> Decimal:
    """How much of an invoice was paid with credit that a card had bought, tax included."""
    if invoice.credit_applied <= ZERO:
        return ZERO
    uses = CreditUse.objects.for_organization(invoice.organization_id).filter(invoice_id=invoice.pk, amount__gt=0)
    return bought_by_card(invoice, [(use.grant, use.amount) for use in uses.select_related("grant")])


def bought_by_card(invoice: Invoice, used: Iterable[CreditLeft]) -> Decimal:
    """The same of what an invoice used of each credit, as its rows say."""
    return exact_sum(_used_of_cards(grant, str(invoice.pk), amount) for grant, amount in used)


def _used_of_cards(grant: CreditGrant, invoice_id: str, amount: Decimal) -> Decimal:
    mine = _cards_part(grant)
    if mine in (ZERO, grant.amount):
        return min(mine, amount)
    return _parts_of_invoices(grant, mine)[invoice_id]


def _parts_of_invoices(grant: CreditGrant, mine: Decimal) -> Mapping[str, Decimal]:
    """What each invoice that has used a credit has of the cards' part of it, its uses told in their order."""
    left, cards_left, parts = grant.amount, mine, dict[str, Decimal]()
    for use in CreditUse.objects.for_organization(grant.organization_id).filter(grant=grant).order_by("pk"):
        invoice_id = str(use.invoice_id)
        if use.amount < ZERO:
            part = EXACT.minus(parts.pop(invoice_id, ZERO))
        elif use.invoice_id is not None:
            part = parts[invoice_id] = min(use.amount, cards_left)
        else:
            part = max(ZERO, exact_sum((use.amount, EXACT.minus(left), cards_left)))
        left, cards_left = EXACT.subtract(left, use.amount), EXACT.subtract(cards_left, part)
    return parts


def _cards_part(grant: CreditGrant) -> Decimal:
    """How much of a credit is a card's money. Credit that was given back for other credit is what that was."""
    if grant.key.startswith(GIVEN):
        proofs = SupplyProof.objects.for_organization(grant.organization_id)
        noted = proofs.filter(invoice__pk=grant.key.removeprefix(GIVEN)).first()
        return noted.slips_back if noted else ZERO
    named = CREDIT_KEY.fullmatch(grant.key)
    if named is None:
        return ZERO
    if named["credit"]:
        return _returned(grant, named["source"], named["credit"])
    return grant.amount if _is_cards(grant, named["source"], bought=bool(named["bought"])) else ZERO


def _is_cards(grant: CreditGrant, source: str, *, bought: bool) -> bool:
    """Whether a card bought the credit, or it is of a note on what a card had paid."""
    if bought:
        cards = Payment.objects.for_organization(grant.organization_id).exclude(processor=bank_transfer.NAME)
        return cards.filter(pk=source, status=Payment.Status.SUCCEEDED).exists()
    proofs = SupplyProof.objects.for_organization(grant.organization_id).filter(kind=SupplyProof.Kind.CARD_SLIP)
    return proofs.filter(invoice__credit_notes__pk=source).exists()


def _returned(grant: CreditGrant, source: str, credit: str) -> Decimal:
    """The cards' part of credit that stands for other `credit`, which the invoice of a note, or a voided one, had used."""
    organization_id = grant.organization_id
    used_up = CreditGrant.objects.for_organization(organization_id).get(pk=credit)
    mine, amount = _cards_part(used_up), Decimal(grant.amount)
    if mine in (ZERO, used_up.amount):
        return min(mine, amount)
    notes = CreditNote.objects.for_organization(organization_id)
    invoice_id = notes.get(pk=source).invoice_id if grant.key.startswith(NOTED) else source
    part = _parts_of_invoices(used_up, mine)[str(invoice_id)]
    keys = [noted_key(pk, used_up.pk) for pk in notes.filter(invoice_id=invoice_id).values_list("pk", flat=True)]
    earlier = CreditGrant.objects.for_organization(organization_id).filter(key__in=keys, pk__lt=grant.pk)
    back = earlier.aggregate(amount=Sum("amount"))["amount"] or ZERO
    uses = CreditUse.objects.for_organization(organization_id)
    used = uses.get(grant=used_up, invoice_id=invoice_id, amount__gt=0).amount
    after = max(ZERO, exact_sum((used, EXACT.minus(back), EXACT.minus(amount))))
    return max(ZERO, EXACT.subtract(min(part, EXACT.subtract(used, back)), after))
