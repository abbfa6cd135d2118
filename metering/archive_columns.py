"""An archive's columns: every field of an event under its own name, so that any reader of Parquet understands the file.

Ids are their usual text, which sorts as they do; money is decimal128(38, 20), times are UTC in microseconds, tags JSON text.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pyarrow as arrow
from django.db import models

from ledger.event_ids import EPOCH
from metering.models import UsageEvent
from pricing.rating import AMOUNT_DECIMALS, AMOUNT_DIGITS

Row = tuple[Any, ...]
FIELDS = {field.attname: field for field in UsageEvent._meta.concrete_fields}
NAMES = tuple(FIELDS)
"""The fields of an event, in the order in which rows of them are passed around."""
MICROSECOND = timedelta(microseconds=1)

_TYPES: dict[type, Any] = {
    models.UUIDField: arrow.string(),
    models.BigIntegerField: arrow.int64(),
    models.IntegerField: arrow.int32(),
    models.SmallIntegerField: arrow.int16(),
    models.BooleanField: arrow.bool_(),
    models.DateTimeField: arrow.timestamp("us", tz="UTC"),
    models.DecimalField: arrow.decimal128(AMOUNT_DIGITS, AMOUNT_DECIMALS),
    models.TextField: arrow.string(),
    models.JSONField: arrow.string(),
}


def _json(value: Any) -> str:
    """In the order of the keys as the database gives them, so that they come back in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_TO_FILE: dict[type, Callable[[Any], Any]] = {models.UUIDField: str, models.JSONField: _json}
_FROM_FILE: dict[type, Callable[[Any], Any]] = {
    models.UUIDField: UUID,
    models.JSONField: json.loads,
}

SCHEMA = arrow.schema([(name, _TYPES[type(field)]) for name, field in FIELDS.items()])


def table_of(rows: Sequence[Row]) -> Any:
    """Rows of NAMES as an Arrow table."""
    columns = zip(*rows, strict=True)
    arrays = [
        arrow.array(in_file(name, values), field.type)
        for name, field, values in zip(NAMES, SCHEMA, columns, strict=True)
    ]
    return arrow.Table.from_arrays(arrays, schema=SCHEMA)


def rows_of(table: Any, names: Sequence[str]) -> list[Row]:
    """Rows of these fields. One that events had not yet when the file was written is None."""
    present = set(table.column_names)
    columns = [_values(name, table.column(name)) if name in present else [None] * table.num_rows for name in names]
    return list(zip(*columns, strict=True))


def in_file(name: str, values: Sequence[Any]) -> Sequence[Any]:
    """Values of a field as the file has them."""
    change = _TO_FILE.get(type(FIELDS[name]))
    return values if change is None else [None if value is None else change(value) for value in values]


def _values(name: str, column: Any) -> list[Any]:
    kind = type(FIELDS[name])
    if kind is models.DateTimeField:
        moments = column.cast(arrow.int64()).to_pylist()
        return [None if moment is None else _moment(moment) for moment in moments]
    values: list[Any] = column.to_pylist()
    change = _FROM_FILE.get(kind)
    return values if change is None else [None if value is None else change(value) for value in values]


def _moment(microseconds: int) -> datetime:
    return (EPOCH + MICROSECOND * microseconds).replace(tzinfo=UTC)
