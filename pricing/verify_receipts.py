"""Recompute an export of usage offline: every unit price, cost and amount, from the figures that stand beside it.

    python verify_receipts.py usage.csv
    python verify_receipts.py usage.ndjson --sum 1234.5

It needs Python 3.9 or newer and nothing else: no network, no account, none of our other code. What it recomputes, per row:

    unit price  = unit cost (USD) x (1 + markup) x exchange rate       for each class of tokens or pieces
    amount      = sum of quantity x unit price                         output without reasoning, which has its own price
    cost_usd    = sum of quantity x unit cost

It also finds rows that are there twice, rates whose prices change from row to row, usage that was not priced, and signs that do
not fit (a reversal is negative, usage is not). Of an invoice line's requests it checks what each put into the line. All of it
is exact: decimal numbers, nothing rounded. What a file lacks, it cannot know: compare the sum with your invoice, or give it
as --sum.

Exit code: 0 if all is right, 1 if something differs, 2 if the file cannot be read.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, DivisionByZero, FloatOperation, Inexact, InvalidOperation, Overflow
from typing import Any, TextIO

COUNT_OF = {
    "input": "input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "audio_input": "audio_input_tokens",
    "audio_cache_read": "audio_cache_read_tokens",
    "audio_output": "audio_output_tokens",
    "image_input": "image_input_tokens",
    "image_output": "image_output_tokens",
    "images": "images",
    "searches": "searches",
    "requests": "requests",
}
"""The column that counts each class."""
RATE_COLUMNS = (
    "currency",
    "markup",
    "exchange_rate",
    *(f"unit_cost_usd_{name}" for name in COUNT_OF),
    *(f"unit_price_{name}" for name in COUNT_OF),
)
NEEDED = ("id", "kind", "applied_rate_id", *COUNT_OF.values(), *RATE_COLUMNS, "cost_usd", "amount")
LINE_NEEDED = ("line_token_class", "line_quantity", "line_unit_price", "line_amount")
BROKEN_OFF = "THE EXPORT BROKE OFF HERE: ask for it again"
"""The last line of a file whose export failed half-way, instead of the rows that it lacks; in NDJSON as `error`."""
SHOWN = 10
"""Differences that are printed; all are counted."""
ZERO = Decimal(0)
EXACT = Context(prec=80, traps=[DivisionByZero, FloatOperation, Inexact, InvalidOperation, Overflow])
"""Digits enough for every product and sum here; one that would be lost is an error."""

Row = Mapping[str, Any]


class Unreadable(Exception):
    """The file is no export: the message says why."""


@dataclass(frozen=True)
class Difference:
    """`row` is counted from 1, the header apart; `given` is what the file says."""

    row: int
    id: str
    what: str
    given: str
    recomputed: str

    def __str__(self) -> str:
        return f"row {self.row} ({self.id}): {self.what} is {self.given}, recomputed {self.recomputed}"


@dataclass(frozen=True)
class Rate:
    """Unit costs in USD and unit prices in `currency`, by class; those that the file leaves empty are not there."""

    currency: str
    costs: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]


@dataclass
class Verification:
    """What was found so far. `sums` are of the amounts as they stand in the file, `line_sum` of an invoice line's shares."""

    rows: int = 0
    reversals: int = 0
    sums: dict[str, Decimal] = field(default_factory=dict)
    line_sum: Decimal | None = None
    differences: int = 0
    first: list[Difference] = field(default_factory=list)

    def note(self, row: int, number: str, what: str, given: object, recomputed: object) -> None:
        """Count a difference, and keep it if it is among the first."""
        self.differences += 1
        if len(self.first) < SHOWN:
            self.first.append(Difference(row, number, what, str(given), str(recomputed)))


def verify(rows: Iterable[Row]) -> Verification:
    """Recompute all rows. Raises Unreadable for columns that are missing."""
    found = Verification()
    rates: dict[str, tuple[tuple[str, ...], Rate]] = {}
    seen: set[str] = set()
    for row in rows:
        if BROKEN_OFF in (row.get("id"), row.get("error")):
            raise Unreadable(f"row {found.rows + 1} says: {BROKEN_OFF}")
        if not found.rows:
            _require_columns(row)
        found.rows += 1
        number = _text(row, "id")
        if number in seen:
            found.note(found.rows, number, "id", "there again", "once")
        seen.add(number)
        try:
            _verify_row(row, number, found, rates)
        except (ValueError, ArithmeticError) as error:
            found.note(found.rows, number, "a figure", error, "nothing")
    return found


def _require_columns(row: Row) -> None:
    needed = NEEDED + (LINE_NEEDED if "line_amount" in row else ())
    missing = [name for name in needed if name not in row]
    if missing:
        raise Unreadable(f"no export of usage: it lacks the columns {', '.join(missing[:5])}")


def _verify_row(row: Row, number: str, found: Verification, rates: dict[str, tuple[tuple[str, ...], Rate]]) -> None:
    rate = _rate(row, number, found, rates)
    quantities = _quantities(row)
    amount, cost = _decimal(row, "amount"), _decimal(row, "cost_usd")
    found.sums[rate.currency] = EXACT.add(found.sums.get(rate.currency, ZERO), amount)
    for what, given, unit in (("amount", amount, rate.prices), ("cost_usd", cost, rate.costs)):
        unpriced = [name for name in quantities if name not in unit]
        if unpriced:
            found.note(found.rows, number, what, plain(given), f"impossible: no unit price of {', '.join(unpriced)}")
            continue
        recomputed = total(quantities, unit)
        if recomputed != given:
            found.note(found.rows, number, what, plain(given), plain(recomputed))
    _verify_signs(row, number, found, [*quantities.values(), amount, cost])
    if "line_amount" in row:
        _verify_share(row, number, found, quantities, rate)


def _rate(row: Row, number: str, found: Verification, rates: dict[str, tuple[tuple[str, ...], Rate]]) -> Rate:
    """The row's rate. Each is recomputed once; after that its figures must stay as they are."""
    key, figures = _text(row, "applied_rate_id"), tuple(_text(row, name) for name in RATE_COLUMNS)
    known = rates.get(key)
    if known is not None and known[0] == figures:
        return known[1]
    if known is not None:
        changed = [name for place, name in enumerate(RATE_COLUMNS) if known[0][place] != figures[place]]
        found.note(found.rows, number, f"applied rate {key}", f"another one ({', '.join(changed)})", "always the same")
    rate = Rate(_text(row, "currency"), _prices(row, "unit_cost_usd_"), _prices(row, "unit_price_"))
    factor = EXACT.add(Decimal(1), _decimal(row, "markup"))
    if _text(row, "exchange_rate"):
        factor = EXACT.multiply(factor, _decimal(row, "exchange_rate"))
    for name in sorted(rate.costs.keys() | rate.prices.keys()):
        given = rate.prices.get(name)
        recomputed = EXACT.multiply(rate.costs[name], factor) if name in rate.costs else None
        if given != recomputed:
            found.note(found.rows, number, f"unit_price_{name}", _shown(given), _shown(recomputed))
    if known is None:
        rates[key] = (figures, rate)
    return rate


def _quantities(row: Row) -> dict[str, int]:
    """What was used of each class; output without the reasoning in it."""
    counts = {name: _whole(row, column) for name, column in COUNT_OF.items()}
    counts["output"] -= counts["reasoning"]
    return {name: count for name, count in counts.items() if count}


def total(quantities: Mapping[str, int], unit: Mapping[str, Decimal]) -> Decimal:
    """Σ quantity × unit price, exactly."""
    amount = ZERO
    for name, quantity in quantities.items():
        amount = EXACT.fma(Decimal(quantity), unit[name], amount)
    return amount


def _verify_signs(row: Row, number: str, found: Verification, figures: list[int | Decimal]) -> None:
    kind = _text(row, "kind")
    if kind == "reversal":
        found.reversals += 1
    elif kind != "usage":
        found.note(found.rows, number, "kind", kind, "usage or reversal")
    wrong = [figure for figure in figures if (figure > 0 if kind == "reversal" else figure < 0)]
    if wrong:
        found.note(found.rows, number, "the sign", f"that of {wrong[0]}", f"that of a {kind}")


def _verify_share(row: Row, number: str, found: Verification, quantities: Mapping[str, int], rate: Rate) -> None:
    """What the request put into an invoice line."""
    name, price, amount = _text(row, "line_token_class"), _decimal(row, "line_unit_price"), _decimal(row, "line_amount")
    quantity = quantities.get(name, 0)
    found.line_sum = EXACT.add(found.line_sum or ZERO, amount)
    if _whole(row, "line_quantity") != quantity:
        found.note(found.rows, number, "line_quantity", _text(row, "line_quantity"), quantity)
    if rate.prices.get(name) != price:
        found.note(found.rows, number, "line_unit_price", plain(price), _shown(rate.prices.get(name)))
    recomputed = EXACT.multiply(Decimal(quantity), price)
    if recomputed != amount:
        found.note(found.rows, number, "line_amount", plain(amount), plain(recomputed))


def _prices(row: Row, prefix: str) -> dict[str, Decimal]:
    return {name: _decimal(row, prefix + name) for name in COUNT_OF if _text(row, prefix + name)}


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


def _whole(row: Row, name: str) -> int:
    """A count; what is not known counts nothing."""
    text = _text(row, name)
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} {text!r}, not a whole number") from None


def _decimal(row: Row, name: str) -> Decimal:
    text = _text(row, name)
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise ValueError(f"{name} {text!r}, not a number")
    return value


def plain(value: Decimal) -> str:
    """`value` without exponent and needless zeros."""
    return format(value.normalize(EXACT), "f") if value else "0"


def _shown(value: Decimal | None) -> str:
    return "missing" if value is None else plain(value)


# -- the file, and what is printed of it -------------------------------------------------------------------------------


def read_rows(file: TextIO) -> Iterator[Row]:
    """The rows of a CSV or NDJSON export, one at a time. Raises Unreadable."""
    try:
        first = file.readline().lstrip("\ufeff")
        if not first.strip():
            raise Unreadable("the file is empty")
        if first.lstrip().startswith("{"):
            yield _parsed(first, 1)
            for number, line in enumerate(file, start=2):
                if line.strip():
                    yield _parsed(line, number)
            return
        header = next(csv.reader([first]))
        if "id" not in header:
            raise Unreadable("no export of usage: neither CSV with its header nor NDJSON")
        _require_columns(dict.fromkeys(header, ""))
        yield from csv.DictReader(file, fieldnames=header)
    except UnicodeDecodeError:
        raise Unreadable("not a text file: export as csv or ndjson") from None
    except csv.Error as error:
        raise Unreadable(f"not CSV: {error}") from None


def _parsed(line: str, number: int) -> Row:
    try:
        row = json.loads(line, parse_float=Decimal)
    except ValueError:
        raise Unreadable(f"line {number} is not JSON: is the file complete?") from None
    if not isinstance(row, dict):
        raise Unreadable(f"line {number} is not a JSON object")
    return row


def report(found: Verification) -> list[str]:
    """What there is to say, line by line."""
    lines = [f"rows checked: {found.rows}, of them reversals: {found.reversals}"]
    lines += [f"sum of amounts: {plain(amount)} {currency}" for currency, amount in sorted(found.sums.items())]
    if found.line_sum is not None:
        lines.append(f"sum of the invoice line: {plain(found.line_sum)}")
    lines += [str(difference) for difference in found.first]
    if found.differences > len(found.first):
        lines.append(f"… and {found.differences - len(found.first)} more")
    lines.append(f"differences: {found.differences}" if found.differences else "all of it recomputes exactly")
    return lines


def check_sum(found: Verification, expected: Decimal) -> str:
    """What is wrong with the sum: of the line where the file is an invoice line's, else of all amounts. Empty if nothing is."""
    actual = found.line_sum
    if actual is None:
        actual = ZERO
        for amount in found.sums.values():
            actual = EXACT.add(actual, amount)
    return "" if actual == expected else f"the sum is {plain(actual)}, expected {plain(expected)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="an export as csv or ndjson; - reads standard input")
    parser.add_argument("--sum", type=_sum, metavar="AMOUNT", help="what the amounts must add up to, exactly")


def _sum(text: str) -> Decimal:
    try:
        return _decimal({"sum": text.replace(",", "")}, "sum")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(path: str, expected: Decimal | None) -> tuple[int, list[str]]:
    """Verify a file: the exit code, and what to print. Raises Unreadable, OSError."""
    # utf-8-sig: an export begins with a byte order mark, which spreadsheets want.
    if path == "-":
        found = verify(read_rows(sys.stdin))
    else:
        with open(path, encoding="utf-8-sig", newline="") as file:
            found = verify(read_rows(file))
    lines = report(found)
    wrong_sum = "" if expected is None else check_sum(found, expected)
    if wrong_sum:
        lines.append(wrong_sum)
    return (1 if found.differences or wrong_sum else 0), lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Recompute an export of usage, or the requests behind an invoice.")
    add_arguments(parser)
    asked = parser.parse_args(arguments)
    try:
        code, lines = run(asked.file, asked.sum)
    except (Unreadable, OSError) as error:
        print(f"{asked.file}: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
