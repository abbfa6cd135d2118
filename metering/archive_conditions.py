"""What the database would be asked for, asked of an archive: the same `Q`, evaluated on columns.

So a filter is written once, and finds the same events before and after their month was archived. Only the look-ups that readers
of events use are known; another one is a KeyError in the first test that uses it, never a wrong answer.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any

import pyarrow as arrow
from django.db.models import F, Q
from pyarrow import compute

from metering.archive_columns import SCHEMA, in_file


def fields_of(condition: Q) -> Iterator[str]:
    """The fields that must be read for it."""
    for child in condition.children:
        if isinstance(child, Q):
            yield from fields_of(child)
        else:
            name, value = _asked(child)
            yield name.partition("__")[0]
            if isinstance(value, F):
                yield _field_of(value)


def mask_of(condition: Q, table: Any) -> Any:
    """For each row of the table whether the condition holds; as Django asks the database, what compares with nothing does not."""
    parts = [
        mask_of(child, table) if isinstance(child, Q) else _look_up(table, *_asked(child))
        for child in condition.children
    ]
    join = compute.or_ if condition.connector == Q.OR else compute.and_
    found = reduce(join, parts)
    return compute.invert(found) if condition.negated else found


def _asked(child: Any) -> tuple[str, Any]:
    """A leaf of a condition: a look-up by its keyword, and the value."""
    name, value = child
    return name, value


def _field_of(reference: Any) -> str:
    return str(reference.name)


def _look_up(table: Any, name: str, value: Any) -> Any:
    field, _, look_up = name.partition("__")
    column = _column(table, field)
    if look_up in ("", "exact") and value is None:
        return compute.is_null(column)
    return compute.fill_null(_LOOK_UPS[look_up or "exact"](field, column, value, table), False)


def _column(table: Any, field: str) -> Any:
    """A field that events had not yet when the file was written is nothing in all rows."""
    if field in table.column_names:
        return table.column(field)
    return arrow.nulls(table.num_rows, SCHEMA.field(field).type)


def _scalar(field: str, column: Any, value: Any, table: Any) -> Any:
    if isinstance(value, F):
        return _column(table, _field_of(value))
    return arrow.scalar(in_file(field, [value])[0], column.type)


def _comparison(compare: Callable[[Any, Any], Any]) -> Callable[[str, Any, Any, Any], Any]:
    return lambda field, column, value, table: compare(column, _scalar(field, column, value, table))


def _in(field: str, column: Any, value: Any, table: Any) -> Any:
    return compute.is_in(column, value_set=arrow.array(in_file(field, list(value)), column.type))


def _range(field: str, column: Any, value: Any, table: Any) -> Any:
    first, last = (_scalar(field, column, one, table) for one in value)
    return compute.and_(compute.greater_equal(column, first), compute.less_equal(column, last))


def _is_null(field: str, column: Any, value: Any, table: Any) -> Any:
    missing = compute.is_null(column)
    return missing if value else compute.invert(missing)


def _contains(field: str, column: Any, value: Mapping[str, str], table: Any) -> Any:
    wanted = value.items()
    held = (text is not None and wanted <= json.loads(text).items() for text in column.to_pylist())
    return arrow.array(list(held), arrow.bool_())


_LOOK_UPS: dict[str, Callable[[str, Any, Any, Any], Any]] = {
    "exact": _comparison(compute.equal),
    "gt": _comparison(compute.greater),
    "gte": _comparison(compute.greater_equal),
    "lt": _comparison(compute.less),
    "lte": _comparison(compute.less_equal),
    "in": _in,
    "range": _range,
    "isnull": _is_null,
    "contains": _contains,
}
