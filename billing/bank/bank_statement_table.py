"""The table within a bank's export: its text, its separator, and which column says what.

Banks differ in the names of their columns, in what stands above the table, in separators and in encoding (UTF-8 or CP949).
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

LARGEST_FILE = 4 * 1024 * 1024
MOST_LINES = 20_000
HEAD_LINES = 30
"""So far down the table's head is looked for."""
LONGEST_CELL = 1_000
SEPARATORS = ",\t;|"


class Column(StrEnum):
    """What a column says."""

    AT = "at"
    TIME = "time"
    PAYER = "payer"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    AMOUNT = "amount"
    DIRECTION = "direction"
    BALANCE = "balance"
    MEMO = "memo"
    BRANCH = "branch"


NAMES: Mapping[Column, Sequence[str]] = {
    Column.AT: (
        "거래일시", "입금일시", "일시", "거래일자", "거래일", "거래날짜", "입금일자", "일자", "날짜",
        "datetime", "transactiondate", "date",
    ),
    Column.TIME: ("거래시간", "거래시각", "시간", "시각", "time"),
    Column.PAYER: (
        "입금자명", "입금자", "의뢰인명", "의뢰인", "보낸분/받는분", "보낸분", "의뢰인/수취인", "상대방명", "상대방",
        "상대계좌예금주명", "예금주명", "거래처명", "거래처", "기재내용", "통장표시내용", "통장메모", "거래기록사항", "내용",
        "거래내용", "적요", "payer", "description",
    ),
    Column.DEPOSIT: ("입금액", "입금금액", "입금", "맡기신금액", "맡기신돈", "받으신금액", "deposit", "credit"),
    Column.WITHDRAWAL: (
        "출금액", "출금금액", "출금", "찾으신금액", "찾으신돈", "지급금액", "보내신금액", "withdrawal", "debit",
    ),
    Column.AMOUNT: ("거래금액", "금액", "amount"),
    Column.DIRECTION: ("구분", "거래구분", "입출금구분", "입출구분", "type"),
    Column.BALANCE: ("거래후잔액", "잔액", "거래후잔고", "잔고", "통장잔액", "balance"),
    Column.MEMO: ("메모", "적요", "거래메모", "비고", "내용", "거래내용", "기재내용", "memo"),
    Column.BRANCH: (
        "거래점명", "거래점", "취급점", "취급지점", "거래지점", "거래영업점", "처리점", "거래은행", "취급은행", "branch",
    ),
}  # fmt: skip
"""What banks call their columns; of several the first counts. Blanks, what stands in brackets, and case do not."""
_IN_BRACKETS = re.compile(r"[(\[][^()\[\]]*[)\]]|\s")
_AS_TEXT = re.compile(r'="?(.*?)"?')

Columns = Mapping[Column, int]
Row = Sequence[str]


class Fault(StrEnum):
    """Why a statement is refused."""

    TOO_LARGE = "too_large"
    NO_TEXT = "no_text"
    NO_TABLE = "no_table"
    TWO_COLUMNS = "two_columns"
    TOO_MANY_LINES = "too_many_lines"
    BAD_LINE = "bad_line"
    BAD_DAY = "bad_day"
    BAD_AMOUNT = "bad_amount"
    NO_DIRECTION = "no_direction"
    NOT_YET = "not_yet"


class StatementRefused(ValueError):
    """The statement cannot be read as it is; nothing of it is taken. `line` counts from 1, 0 is the whole file."""

    def __init__(self, fault: Fault, *, line: int = 0, text: str = "") -> None:
        super().__init__(f"line {line}: {fault}: {text[:100]}" if line else f"{fault} {text[:100]}".strip())
        self.fault, self.line, self.text = fault, line, text[:100]


def read_table(content: bytes) -> tuple[Columns, list[tuple[int, Row]]]:
    """The columns that say something to us, and the rows below the head with their line numbers. Raises StatementRefused."""
    if len(content) > LARGEST_FILE:
        raise StatementRefused(Fault.TOO_LARGE)
    text = _decoded(content)
    for separator in SEPARATORS:
        rows = list(_rows(text, separator, most=HEAD_LINES))
        for number, row in rows:
            columns = columns_of(row, line=number)
            if columns:
                head = [_name(cell) for cell in row]
                below = [found for found in _rows(text, separator, most=MOST_LINES) if found[0] > number]
                return columns, [found for found in below if [_name(cell) for cell in found[1]] != head]
    raise StatementRefused(Fault.NO_TABLE)


def columns_of(head: Row, *, line: int = 1) -> Columns:
    """Where the head says what; empty if it is no head: a day, a payer and an amount must be there. Raises StatementRefused."""
    names = [_name(cell) for cell in head]
    found: dict[Column, int] = {}
    for column, known in NAMES.items():
        name = next((name for name in known if name in names and names.index(name) not in found.values()), None)
        if name is not None:
            if names.count(name) > 1:
                raise StatementRefused(Fault.TWO_COLUMNS, line=line, text=name)
            found[column] = names.index(name)
    is_head = {Column.AT, Column.PAYER} <= found.keys() and {Column.DEPOSIT, Column.AMOUNT} & found.keys()
    return found if is_head else {}


def cell(row: Row, columns: Columns, column: Column) -> str:
    """What a row says there, without the quotes by which exports keep figures from being read as such; empty if nothing."""
    place = columns.get(column)
    text = row[place].strip() if place is not None and place < len(row) else ""
    as_text = _AS_TEXT.fullmatch(text)
    return (as_text.group(1) if as_text else text).strip()


def _decoded(content: bytes) -> str:
    has_mark = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if has_mark else ("utf-8-sig", "cp949"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text
    raise StatementRefused(Fault.NO_TEXT)


def _rows(text: str, separator: str, *, most: int) -> Iterator[tuple[int, Row]]:
    """Rows that hold anything, with their line numbers. More than MOST_LINES are refused, fewer than that are cut off at `most`."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    count = 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise StatementRefused(Fault.BAD_LINE, line=reader.line_num, text=str(error)) from None
        if not any(one.strip() for one in row):
            continue
        if count == most:
            if most == MOST_LINES:
                raise StatementRefused(Fault.TOO_MANY_LINES)
            return
        if any(len(one) > LONGEST_CELL for one in row):
            raise StatementRefused(Fault.BAD_LINE, line=reader.line_num, text=max(row, key=len))
        count += 1
        yield reader.line_num, row


def _name(text: str) -> str:
    return _IN_BRACKETS.sub("", unicodedata.normalize("NFKC", text)).casefold()
