"""A deposit is compared with those to whom something of it points, not with every debtor, and nobody is missed by that."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.bank import transfer_matching
from billing.bank.bank_statements import ZONE
from billing.bank.debtor_index import Debtor, DebtorIndex, Owed
from billing.bank.payer_names import bare, is_similar
from billing.bank.transfer_matching import suggestions, surest
from billing.models import BankDeposit

DAY = date(2026, 11, 2)


def debtor(number: int, *, name: str, amounts: list[int], first: int = 0) -> Debtor:
    owed = [
        Owed(
            invoice_id=UUID(int=number * 10 + turn),
            number=f"INV-{first + turn:06}",
            issued_on=DAY,
            due_on=DAY,
            amount=Decimal(amount),
        )
        for turn, amount in enumerate(amounts)
    ]
    nobody: frozenset[str] = frozenset()
    names = frozenset({name})
    return Debtor(
        organization_id=number,
        name=name,
        slug=f"customer-{number}",
        names=names,
        representatives=nobody,
        aliases=nobody,
        invoices=owed,
    )


def deposit(payer: str, amount: int, memo: str = "") -> BankDeposit:
    at = datetime(2026, 11, 5, 10, tzinfo=ZONE)
    return BankDeposit(account="1", currency="KRW", at=at, amount=Decimal(amount), payer=payer, memo=memo)


class Everybody(DebtorIndex):
    """As if there were no index."""

    def pointed_at(self, amount: Decimal, *said: str) -> list[Debtor]:
        return list(self._debtors.values())


def compared(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every comparison of a deposit with a debtor, from now on."""
    made: list[Any] = []
    compare = transfer_matching._suggestion
    monkeypatch.setattr(transfer_matching, "_suggestion", lambda *pair: made.append(pair) or compare(*pair))
    return made


def test_a_thousand_deposits_meet_ten_thousand_debtors_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where all of them have much the same name."""
    known = DebtorIndex(
        debtor(number, name=f"주식회사 고객 {number:05}", amounts=[1000 + number], first=number)
        for number in range(10_000)
    )
    made = compared(monkeypatch)
    for number in range(0, 10_000, 10):
        found = surest(deposit(f"고객{number:05}", 1000 + number), known)
        assert found is not None and found.debtor.organization_id == number
    assert len(made) <= 3 * 1000


def test_who_owes_no_such_amount_and_is_not_named_is_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    known = DebtorIndex(debtor(number, name=f"고객 {number:05}", amounts=[1000]) for number in range(100))
    made = compared(monkeypatch)
    assert surest(deposit("이자", 12), known) is None and made == []


LETTERS = st.text("가나다라마abc", min_size=1, max_size=8)
DEBTORS = st.lists(st.tuples(LETTERS, st.lists(st.integers(1, 6), min_size=1, max_size=3)), max_size=8)


@given(DEBTORS, LETTERS, st.integers(1, 12), st.sampled_from(["", "INV-000003", "inv000012 건", "9"]))
def test_nobody_is_missed(owing: list[tuple[str, list[int]]], payer: str, amount: int, memo: str) -> None:
    found = [debtor(at, name=name, amounts=amounts, first=at * 3) for at, (name, amounts) in enumerate(owing)]
    money = deposit(payer, amount, memo)
    assert suggestions(money, DebtorIndex(found)) == suggestions(money, Everybody(found))
    assert surest(money, DebtorIndex(found)) == transfer_matching.certain(suggestions(money, Everybody(found)))


@given(st.text("가나다라ab", min_size=3, max_size=12), st.text("가나다라ab", min_size=3, max_size=12))
def test_similar_names_share_two_neighbouring_letters(one: str, other: str) -> None:
    if is_similar(one, other):
        pairs = {bare(one)[at : at + 2] for at in range(len(bare(one)) - 1)}
        assert any(pair in bare(other) for pair in pairs)


def test_who_has_paid_is_found_by_what_they_still_owe() -> None:
    before, after = debtor(1, name="에이크미", amounts=[500, 700]), debtor(1, name="에이크미", amounts=[700])
    known = DebtorIndex([before])
    assert known.pointed_at(Decimal(500), str(uuid4())) == known.pointed_at(Decimal(1200), "-") == [before]
    known.put(after)
    assert known.pointed_at(Decimal(500), "-") == [] and known.pointed_at(Decimal(700), "-") == [after]
    known.remove(1)
    assert known.pointed_at(Decimal(700), "에이크미") == known.similar_to("에이크미") == []
