"""An export as bytes, batch by batch: CSV, NDJSON or Parquet, the same columns and the same figures in each.

Money is exact: decimal text in CSV and NDJSON, decimal128(38, 20) in Parquet. Times are UTC.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from metering.export_rows import Batches, Header, Kind, Row
from pricing.plain_text import plain
from pricing.rating import AMOUNT_DECIMALS, AMOUNT_DIGITS
from pricing.verify_receipts import BROKEN_OFF

BYTE_ORDER_MARK = "\ufeff"
"""Begins the CSV: without it spreadsheets do not read Korean as UTF-8."""
FORMULA_SIGNS = tuple("=+-@\t\r\n'＝＋－＠")
"""A text that begins with one of these gets an apostrophe before it, so that no spreadsheet takes it for a formula. One that begins
with an apostrophe gets another: taking one away gives the text back."""
ROWS_A_GROUP = 20_000
"""Rows of a Parquet row group, which is what is held in memory. A file of many small ones would have a long directory."""


@dataclass(frozen=True, slots=True)
class Format:
    """`write` makes bytes of batches of rows, whole lines each; `broken_off` ends a file whose export fails half-way.

    Servers end such an answer as if it were complete. A Parquet file without its footer cannot be opened anyway.
    """

    content_type: str
    broken_off: bytes
    write: Callable[[Header, Batches], Iterator[bytes]]


def write_csv(header: Header, batches: Batches) -> Iterator[bytes]:
    """RFC 4180 with a header, UTF-8. Nothing is an empty cell."""
    writers = [CSV_CELLS[kind] for _name, kind in header]
    yield (BYTE_ORDER_MARK + _csv_lines([[name for name, _kind in header]])).encode()
    for rows in batches:
        yield _csv_lines(
            ["" if value is None else write(value) for write, value in zip(writers, row, strict=True)] for row in rows
        ).encode()


def write_ndjson(header: Header, batches: Batches) -> Iterator[bytes]:
    """A JSON object a line."""
    names = [name for name, _kind in header]
    writers = [JSON_VALUES[kind] for _name, kind in header]
    for rows in batches:
        lines = []
        for row in rows:
            values = (None if value is None else write(value) for write, value in zip(writers, row, strict=True))
            lines.append(json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False, separators=(",", ":")))
        yield ("\n".join(lines) + "\n").encode()


def write_parquet(header: Header, batches: Batches) -> Iterator[bytes]:
    """A Parquet file, a row group at a time."""
    import pyarrow as arrow  # heavy, so only where it is wanted
    from pyarrow import parquet

    types = {
        Kind.WORD: arrow.string(),
        Kind.TEXT: arrow.string(),
        Kind.WHOLE: arrow.int64(),
        Kind.MONEY: arrow.decimal128(AMOUNT_DIGITS, AMOUNT_DECIMALS),
        Kind.FLAG: arrow.bool_(),
        Kind.MOMENT: arrow.timestamp("us", tz="UTC"),
        Kind.DAY: arrow.date32(),
        Kind.TAGS: arrow.map_(arrow.string(), arrow.string()),
    }
    schema = arrow.schema([(name, types[kind]) for name, kind in header])
    sink = _Sink()
    group, size = [], 0
    with parquet.ParquetWriter(sink, schema) as writer:
        for rows in batches:
            group.append(_record_batch(arrow, schema, header, rows))
            size += len(rows)
            if size >= ROWS_A_GROUP:
                writer.write_table(arrow.Table.from_batches(group))
                group, size = [], 0
                yield sink.taken()
        if group:
            writer.write_table(arrow.Table.from_batches(group))
    yield sink.taken()


def _record_batch(arrow: Any, schema: Any, header: Header, rows: Sequence[Row]) -> Any:
    arrays = []
    for field, (_name, kind), values in zip(schema, header, zip(*rows, strict=True), strict=True):
        cells = [list(tags.items()) for tags in values] if kind is Kind.TAGS else values
        arrays.append(arrow.array(cells, field.type))
    return arrow.record_batch(arrays, schema=schema)


FORMATS: Mapping[str, Format] = {
    "csv": Format("text/csv; charset=utf-8", f"{BROKEN_OFF}\r\n".encode(), write_csv),
    "ndjson": Format("application/x-ndjson", json.dumps({"error": BROKEN_OFF}).encode() + b"\n", write_ndjson),
    "parquet": Format("application/vnd.apache.parquet", b"", write_parquet),
}


class _Sink(io.RawIOBase):
    """A file that is only written to, and emptied from time to time."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []
        self.position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def write(self, content: Any) -> int:
        part = bytes(content)
        self.parts.append(part)
        self.position += len(part)
        return len(part)

    def taken(self) -> bytes:
        """What was written since it was last asked."""
        parts, self.parts = self.parts, []
        return b"".join(parts)


def _csv_lines(rows: Any) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def defused(text: str) -> str:
    """The text as a cell that no spreadsheet calculates."""
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(tags: Mapping[str, str]) -> str:
    return json.dumps(tags, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _itself(value: Any) -> Any:
    return value


def _flag(value: bool) -> str:
    return "true" if value else "false"


JSON_VALUES: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.WORD: _itself,
    Kind.TEXT: _itself,
    Kind.WHOLE: _itself,
    Kind.MONEY: plain,
    Kind.FLAG: _itself,
    Kind.MOMENT: _utc,
    Kind.DAY: date.isoformat,
    Kind.TAGS: _itself,
}
CSV_CELLS: Mapping[Kind, Callable[[Any], Any]] = {
    **JSON_VALUES,
    Kind.TEXT: defused,
    Kind.FLAG: _flag,
    Kind.TAGS: _json,
}
