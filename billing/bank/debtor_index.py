"""Who of all debtors may have made a deposit, without comparing it with each of them.

Pure: everything by which a deposit can point to a debtor is a key here – what they owe, their names, the digits of their invoices'
numbers, and for names that are merely similar each pair of neighbouring letters.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import accumulate, pairwise
from uuid import UUID

from billing.bank.payer_names import bare
from pricing.exact import EXACT

_DIGITS = re.compile(r"[0-9]+")
_Key = tuple[str, str | Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """An open invoice and what is left of it."""

    invoice_id: UUID
    number: str
    issued_on: date
    due_on: date
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Debtor:
    """An organization that owes something, oldest invoice first, and what it may be called on a statement."""

    organization_id: int
    name: str
    slug: str
    names: frozenset[str]
    representatives: frozenset[str]
    aliases: frozenset[str]
    invoices: list[Owed]


class DebtorIndex:
    """Debtors by what points to them. One stands for each organization; the newest that was put in."""

    def __init__(self, debtors: Iterable[Debtor]) -> None:
        self._debtors: dict[int, Debtor] = {}
        self._by_key: defaultdict[_Key, set[int]] = defaultdict(set)
        for debtor in debtors:
            self.put(debtor)

    def put(self, debtor: Debtor) -> None:
        self.remove(debtor.organization_id)
        self._debtors[debtor.organization_id] = debtor
        for key in _keys(debtor):
            self._by_key[key].add(debtor.organization_id)

    def remove(self, organization_id: int) -> None:
        gone = self._debtors.pop(organization_id, None)
        for key in _keys(gone) if gone else ():
            self._by_key[key].discard(organization_id)

    def pointed_at(self, amount: Decimal, *said: str) -> list[Debtor]:
        """Those who owe exactly so much, are called as the payer or one of whose invoices' numbers is said; `said` begins with the
        payer."""
        runs = {run for text in said for run in _DIGITS.findall(bare(text))}
        return self._found([("amount", amount), ("name", bare(said[0])), *(("number", run) for run in runs)])

    def similar_to(self, payer: str) -> list[Debtor]:
        """Those one of whose names shares two neighbouring letters with the payer's, as all do that `payer_names.is_similar`."""
        return self._found([("pair", one + other) for one, other in pairwise(bare(payer))])

    def _found(self, keys: Iterable[_Key]) -> list[Debtor]:
        found = {organization_id for key in keys for organization_id in self._by_key.get(key, ())}
        return [self._debtors[organization_id] for organization_id in sorted(found)]


def _keys(debtor: Debtor) -> Iterator[_Key]:
    amounts = [owed.amount for owed in debtor.invoices]
    yield from (("amount", amount) for amount in (*amounts, *accumulate(amounts, EXACT.add)))
    yield from (("name", bare(name)) for name in (*debtor.names, *debtor.representatives, *debtor.aliases))
    for owed in debtor.invoices:
        yield from (("number", run) for run in _DIGITS.findall(bare(owed.number)))
    for name in debtor.names:
        yield from (("pair", one + other) for one, other in pairwise(bare(name)))
