"""Rows of models by statements that are prepared once a connection (`round_trips`): read as instances, written as they are.

For paths where Django would compose the same SQL ten thousand times. Everything else asks the ORM.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import models
from django.db.models.fields.json import JSONField

from accounts.round_trips import Statement

Row = TypeVar("Row", bound=models.Model)


@cache
def columns(model: type[models.Model], table: str = "") -> str:
    """The model's columns as `instance` wants them, of the FROM item `table`."""
    return ", ".join(f"{table or model._meta.db_table}.{field.column}" for field in model._meta.concrete_fields)


def width(model: type[models.Model]) -> int:
    """How many columns those are."""
    return len(model._meta.concrete_fields)


def instance(model: type[Row], values: Sequence[Any]) -> Row:
    """What the ORM makes of these columns. Not for models with JSON, which only the ORM decodes."""
    return model.from_db("default", _names(model), values)


@cache
def insertion(
    model: type[models.Model], *, instead: tuple[tuple[str, str], ...] = (), before: str = "", after: str = ""
) -> Statement:
    """The INSERT of a row that `values` gives the parameters of, with SQL `instead` of some columns' values, `before` and `after`
    it."""
    sql = dict(instead)
    names = [field.column for field in _written(model)]
    expressions = ", ".join(sql.get(name, "%s") for name in names)
    return Statement(f"{before}INSERT INTO {model._meta.db_table} ({', '.join(names)}) VALUES ({expressions}){after}")


def values(row: models.Model, *, besides: Iterable[str] = ()) -> list[object]:
    """The parameters of the `insertion` of `row`, but for the columns that have SQL instead."""
    left_out = set(besides)
    return [_stored(field, row) for field in _written(type(row)) if field.column not in left_out]


def columns_of(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> list[list[Any]]:
    """Arrays for `unnest`, a column each."""
    return [[row[name] for row in rows] for name in names]


@cache
def _names(model: type[models.Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


@cache
def _written(model: type[models.Model]) -> "tuple[models.Field[Any, Any], ...]":
    """All but a number that the database counts up."""
    return tuple(field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField))


def _stored(field: "models.Field[Any, Any]", row: models.Model) -> object:
    value = getattr(row, field.attname)
    return json.dumps(value) if isinstance(field, JSONField) and value is not None else value
