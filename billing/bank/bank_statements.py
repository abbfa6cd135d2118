"""Read a bank's statement: bytes in, deposits out. Nothing is guessed and nothing is dropped unsaid.

A line that cannot be read refuses the whole file; withdrawals, totals and notes are counted, money that was taken back is named.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts.models import Currency
from accounts.storable_text import storable_text
from billing.bank.bank_statement_table import Column, Columns, Fault, Row, StatementRefused, cell, read_table
from pricing.exact import ZERO, parse_decimal
from pricing.totals import round_to_minor

ZONE = ZoneInfo("Asia/Seoul")
"""Korean banks write Korean time."""
MOST_AMOUNT = Decimal(10**13)
_DAY = re.compile(r"(\d{4}|\d{2})\s*[-./년]\s*(\d{1,2})\s*[-./월]\s*(\d{1,2})\s*[일.]?|(\d{4})(\d{2})(\d{2})")
_CLOCK = re.compile(r"[\sT(]*(?:(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?|(\d{2})(\d{2})(\d{2}))\)?")
_TOTALS = re.compile(r"[^0-9]*(?:합\s*계|총\s*계|소\s*계|총\s*건수|total)", re.IGNORECASE)
_UNDONE = re.compile(r"취\s*소|cancel", re.IGNORECASE)
_IN, _OUT = re.compile(r"입금|deposit|credit|\+", re.IGNORECASE), re.compile(r"출금|withdraw|debit|-", re.IGNORECASE)
_NUMBER = re.compile(r"[₩\\$]?\s*([+-]?\d{1,20}|[+-]?\d{1,3}(?:,\d{3}){1,6})(\.\d{1,2})?\s*원?")
_NOTHING = frozenset({"", "-"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """Money that came in, or that the bank took back: above zero, too.

    `sequence` counts lines that are alike in moment, amount, payer and balance.
    """

    line: int
    at: datetime
    amount: Decimal
    payer: str
    balance: Decimal | None
    memo: str
    branch: str
    sequence: int


@dataclass(slots=True, kw_only=True)
class Statement:
    """What a file says. `taken_back` are the lines by which the bank took a deposit back (입금취소): `taken_back.py`.

    `form` says what tells two deposits apart beside amount and payer: a time, a balance.
    """

    form: str
    deposits: list[StatementLine] = field(default_factory=list)
    taken_back: list[StatementLine] = field(default_factory=list)
    withdrawals: int = 0
    remarks: int = 0
    """Lines below or between that are no transfers: totals, notes."""


def read_statement(content: bytes, *, currency: str = Currency.KRW, now: datetime) -> Statement:
    """The deposits of a statement of an account in `currency`, in the order of its lines. Raises StatementRefused."""
    columns, rows = read_table(content)
    found = Statement(form=_form(columns, (row for _number, row in rows)))
    alike: Counter[tuple[object, ...]] = Counter()
    for number, row in rows:
        if _is_remark(row, columns):
            found.remarks += 1
            continue
        at, amount = _moment(row, columns, number), _amount(row, columns, number, currency)
        if amount == ZERO:
            found.withdrawals += 1
        elif at > now:
            raise StatementRefused(Fault.NOT_YET, line=number, text=cell(row, columns, Column.AT))
        else:
            payer, balance = _text(row, columns, Column.PAYER, 100), _balance(row, columns, number, currency)
            alike[at, amount, payer, balance] += 1
            lines = found.deposits if amount > ZERO else found.taken_back
            lines.append(
                StatementLine(
                    line=number,
                    at=at,
                    amount=abs(amount),
                    payer=payer,
                    balance=balance,
                    memo=_text(row, columns, Column.MEMO, 200),
                    branch=_text(row, columns, Column.BRANCH, 60),
                    sequence=alike[at, amount, payer, balance],
                )
            )
    return found


def _form(columns: Columns, rows: Iterable[Row]) -> str:
    timed = Column.TIME in columns or any(_DAY.sub("", cell(row, columns, Column.AT), count=1).strip() for row in rows)
    return " ".join(name for name, is_there in (("time", timed), ("balance", Column.BALANCE in columns)) if is_there)


def _is_remark(row: Row, columns: Columns) -> bool:
    """It has no day, and says that it adds up, or nothing in more than one cell."""
    if _DAY.match(cell(row, columns, Column.AT)):
        return False
    said = [text.strip() for text in row if text.strip()]
    return len(said) == 1 or any(_TOTALS.match(text) for text in said)


def _moment(row: Row, columns: Columns, line: int) -> datetime:
    said = cell(row, columns, Column.AT)
    day = _DAY.match(said)
    if day is None:
        raise StatementRefused(Fault.BAD_DAY, line=line, text=said)
    clock_text = cell(row, columns, Column.TIME) or said[day.end() :]
    clock = _CLOCK.fullmatch(clock_text) if clock_text.strip() else None
    if clock is None and clock_text.strip():
        raise StatementRefused(Fault.BAD_DAY, line=line, text=f"{said} {clock_text}")
    year, month, date = (int(part) for part in day.groups() if part is not None)
    hour, minute, second = (
        ([int(part) for part in clock.groups() if part is not None] + [0, 0])[:3] if clock else (0, 0, 0)
    )
    try:
        return datetime(year + 2000 if year < 100 else year, month, date, hour, minute, second, tzinfo=ZONE)
    except ValueError:
        raise StatementRefused(Fault.BAD_DAY, line=line, text=f"{said} {clock_text}") from None


def _amount(row: Row, columns: Columns, line: int, currency: str) -> Decimal:
    """What came in; 0 of a withdrawal, below zero of a deposit that was taken back."""
    if Column.DEPOSIT in columns:
        return _number(cell(row, columns, Column.DEPOSIT), line, currency)
    amount, direction = _number(cell(row, columns, Column.AMOUNT), line, currency), cell(row, columns, Column.DIRECTION)
    if not direction and Column.DIRECTION not in columns:
        return max(amount, ZERO)
    if _UNDONE.search(direction) and _IN.search(direction):
        return -abs(amount)
    if _OUT.search(direction):
        return ZERO
    if not _IN.search(direction):
        raise StatementRefused(Fault.NO_DIRECTION, line=line, text=direction)
    return amount


def _balance(row: Row, columns: Columns, line: int, currency: str) -> Decimal | None:
    text = cell(row, columns, Column.BALANCE)
    return _number(text, line, currency) if text else None


def _number(text: str, line: int, currency: str) -> Decimal:
    if text in _NOTHING:
        return ZERO
    found = _NUMBER.fullmatch(text)
    amount = parse_decimal(found.group(1).replace(",", "") + (found.group(2) or "")) if found else None
    if amount is None or abs(amount) >= MOST_AMOUNT or amount != round_to_minor(amount, currency):
        raise StatementRefused(Fault.BAD_AMOUNT, line=line, text=text)
    return amount


def _text(row: Row, columns: Columns, column: Column, longest: int) -> str:
    return " ".join(storable_text(cell(row, columns, column)).split())[:longest]
