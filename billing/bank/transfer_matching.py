"""Whose money is it? A deposit is compared with what those owe to whom it points, and with every name that they may pay by.

What fits one organization only – the exact amount and its name – is matched by itself; anything else is a suggestion, with its
reasons, for an operator to confirm. Nothing is matched by its amount alone, and no part of an invoice without an operator.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from accounts.models import BillingProfile, Organization
from accounts.tenancy import tenant_scope
from billing.bank.bank_statements import ZONE
from billing.bank.debtor_index import Debtor, DebtorIndex, Owed
from billing.bank.deposit_decisions import AlreadyDecided, NoLongerFits, Share, match_deposit, share_out
from billing.bank.payer_names import bare, is_same, is_similar, names_invoice
from billing.bank.taken_back import BECAUSE, settle_taken_back
from billing.models import Invoice
from billing.models.deposits import BankDeposit, DepositDecision, PayerAlias
from billing.settlement import outstanding_by_invoice
from pricing.exact import EXACT, ZERO, exact_sum

logger = logging.getLogger(__name__)
MOST_SUGGESTIONS = 5


class Evidence(StrEnum):
    """Why a deposit may be an organization's."""

    EXACT = "exact"
    EXACT_SUM = "exact_sum"
    PART = "part"
    MORE = "more"
    INVOICE_NUMBER = "invoice_number"
    ALIAS = "alias"
    NAME = "name"
    REPRESENTATIVE = "representative"
    SIMILAR = "similar"
    TAKEN_BACK = BECAUSE
    """Why it is nobody's."""


STRENGTH = {
    Evidence.INVOICE_NUMBER: 5,
    Evidence.ALIAS: 4,
    Evidence.NAME: 4,
    Evidence.REPRESENTATIVE: 3,
    Evidence.SIMILAR: 2,
}
"""How much a name says."""
FITS = frozenset({Evidence.EXACT, Evidence.EXACT_SUM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """That a deposit may be this debtor's: why, and what it would pay. `strength` is that of the name."""

    debtor: Debtor
    because: list[Evidence]
    strength: int
    first: UUID | None
    shares: list[Share] = field(default_factory=list)
    is_after_issue: bool

    @property
    def fits(self) -> bool:
        return bool(FITS & set(self.because))

    @property
    def credit(self) -> Decimal:
        """What no invoice would need."""
        return exact_sum(share.credit for share in self.shares)


def undecided(currency: str | None = None) -> list[BankDeposit]:
    """The deposits that wait for a decision, oldest first."""
    deposits = BankDeposit.objects.using("system").undecided().order_by("at", "pk")
    return list(deposits.filter(currency=currency) if currency else deposits)


def debtors(currency: str, *, only: int | None = None) -> list[Debtor]:
    """Every organization with an open invoice in `currency`, or `only` that one. Looks at all tenants."""
    found = Invoice.objects.using("system").filter(status=Invoice.Status.OPEN, currency=currency)
    if only is not None:
        found = found.filter(organization_id=only)
    invoices: dict[int, list[Invoice]] = {}
    for invoice in found.order_by("due_on", "sequence"):
        invoices.setdefault(invoice.organization_id, []).append(invoice)
    with tenant_scope(invoices):
        owed = outstanding_by_invoice(invoice for group in invoices.values() for invoice in group)
    organizations = Organization.objects.using("system").in_bulk(list(invoices))
    profiles = BillingProfile.objects.using("system").in_bulk(list(invoices))
    aliases: dict[int, set[str]] = {}
    for alias in PayerAlias.objects.using("system").filter(organization_id__in=list(invoices)):
        aliases.setdefault(alias.organization_id, set()).add(alias.name)
    return [
        _debtor(organizations[key], profiles.get(key), aliases.get(key, set()), group, owed)
        for key, group in invoices.items()
        if any(owed[invoice.pk] > ZERO for invoice in group)
    ]


def suggestions(deposit: BankDeposit, known: DebtorIndex) -> list[Suggestion]:
    """The likeliest owners of a deposit, the likeliest first."""
    pointed_at = known.pointed_at(deposit.amount, deposit.payer, deposit.memo)
    seen = {debtor.organization_id for debtor in pointed_at}
    similar = (debtor for debtor in known.similar_to(deposit.payer) if debtor.organization_id not in seen)
    return _ranked(deposit, [*pointed_at, *similar])


def surest(deposit: BankDeposit, known: DebtorIndex) -> Suggestion | None:
    """The one of all debtors that needs nobody to look. It owes just that amount, so it is among few; names that are merely similar
    are looked for only where nothing better than such a one was found."""
    best = certain(_ranked(deposit, known.pointed_at(deposit.amount, deposit.payer, deposit.memo)))
    if best is None or best.strength > STRENGTH[Evidence.SIMILAR]:
        return best
    return certain(suggestions(deposit, known))


def _ranked(deposit: BankDeposit, among: Iterable[Debtor]) -> list[Suggestion]:
    found = [suggestion for debtor in among if (suggestion := _suggestion(deposit, debtor))]
    return sorted(found, key=lambda one: (-one.strength, not one.fits, one.debtor.slug))[:MOST_SUGGESTIONS]


def certain(found: Sequence[Suggestion]) -> Suggestion | None:
    """The one that needs nobody to look: a known name and the exact amount, and nobody else comes into question."""
    best = next((one for one in found if one.fits and one.strength and one.is_after_issue), None)
    if best is None:
        return None
    rivals = (one for one in found if one is not best)
    return None if any(one.strength >= best.strength or (one.strength and one.fits) for one in rivals) else best


def match_waiting(*, now: datetime) -> list[DepositDecision]:
    """Match every deposit that can be matched for certain. Each in a transaction of its own; run twice, it does nothing anew.

    What the bank took back is set aside before that.

    One whose match an operator undid waits for an operator: what looked certain was wrong.
    """
    settle_taken_back(now=now)
    made = []
    known: dict[str, DebtorIndex] = {}
    undone = set(DepositDecision.objects.using("system").exclude(undone_at=None).values_list("deposit_id", flat=True))
    for deposit in undecided():
        if deposit.pk in undone:
            continue
        if deposit.currency not in known:
            known[deposit.currency] = DebtorIndex(debtors(deposit.currency))
        best = surest(deposit, known[deposit.currency])
        if best is None:
            continue
        try:
            decision = match_deposit(
                deposit=deposit,
                organization_id=best.debtor.organization_id,
                first=best.first,
                kind=DepositDecision.Kind.AUTOMATIC,
                because=best.because,
                expected=best.shares,
                now=now,
                actor=None,
            )
        except (AlreadyDecided, NoLongerFits):
            logger.info("a deposit was not matched by itself", extra={"deposit": deposit.pk})
            continue
        made.append(decision)
        paid = best.debtor.organization_id
        known[deposit.currency].remove(paid)
        for debtor in debtors(deposit.currency, only=paid):
            known[deposit.currency].put(debtor)
    return made


def _debtor(
    organization: Organization,
    profile: BillingProfile | None,
    aliases: set[str],
    invoices: Sequence[Invoice],
    owed: dict[UUID, Decimal],
) -> Debtor:
    printed = [invoice.buyer for invoice in invoices]
    names = {organization.name, *(buyer.get("legal_name", "") for buyer in printed)}
    representatives = {buyer.get("representative", "") for buyer in printed}
    if profile is not None:
        names.add(profile.legal_name)
        representatives.add(profile.representative)
    return Debtor(
        organization_id=organization.pk,
        name=organization.name,
        slug=organization.slug,
        names=frozenset(filter(None, names)),
        representatives=frozenset(filter(None, representatives)),
        aliases=frozenset(aliases),
        invoices=[
            Owed(
                invoice_id=invoice.pk,
                number=invoice.number,
                issued_on=invoice.issued_on,
                due_on=invoice.due_on,
                amount=owed[invoice.pk],
            )
            for invoice in invoices
            if owed[invoice.pk] > ZERO
        ],
    )


def _suggestion(deposit: BankDeposit, debtor: Debtor) -> Suggestion | None:
    """None where neither the name nor the amount says anything."""
    names, named = _evidence_of_name(deposit, debtor)
    fits, first = _evidence_of_amount(deposit.amount, debtor, named)
    if not names and fits != Evidence.EXACT:
        return None
    order = sorted(debtor.invoices, key=lambda owed: owed.invoice_id != first)
    shares = share_out(deposit.amount, [(owed.invoice_id, owed.amount) for owed in order])
    paid = {share.invoice_id for share in shares}
    day = deposit.at.astimezone(ZONE).date()
    return Suggestion(
        debtor=debtor,
        because=[*names, fits],
        strength=max((STRENGTH[one] for one in names), default=0),
        first=first,
        shares=shares,
        is_after_issue=all(owed.issued_on <= day for owed in debtor.invoices if owed.invoice_id in paid),
    )


def _evidence_of_name(deposit: BankDeposit, debtor: Debtor) -> tuple[list[Evidence], UUID | None]:
    """What the names say, and the invoice whose number the payer stated."""
    payer, found = deposit.payer, []
    said = (payer, deposit.memo)
    named = next((owed.invoice_id for owed in debtor.invoices if names_invoice(said, owed.number)), None)
    if named is not None:
        found.append(Evidence.INVOICE_NUMBER)
    if bare(payer) in debtor.aliases:
        found.append(Evidence.ALIAS)
    if any(is_same(payer, name) for name in debtor.names):
        found.append(Evidence.NAME)
    elif any(is_same(payer, name) for name in debtor.representatives):
        found.append(Evidence.REPRESENTATIVE)
    elif any(is_similar(payer, name) for name in debtor.names):
        found.append(Evidence.SIMILAR)
    return found, named


def _evidence_of_amount(amount: Decimal, debtor: Debtor, named: UUID | None) -> tuple[Evidence, UUID | None]:
    """How the amount fits what is owed, and which invoice it pays first: the one named, else the oldest that it pays exactly."""
    exact = [owed.invoice_id for owed in debtor.invoices if owed.amount == amount]
    if named in exact or (exact and named is None):
        return Evidence.EXACT, named or exact[0]
    total = ZERO
    for owed in debtor.invoices:
        total = EXACT.add(total, owed.amount)
        if total == amount and named is None:
            return Evidence.EXACT_SUM, None
    return (Evidence.PART if amount < total else Evidence.MORE), named
