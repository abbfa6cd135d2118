"""What must always hold, as named queries that count their violations. Each app lists its own in `<app>/invariants.py`.

`manage.py audit` runs them all (billing/management/commands/audit.py). Numbers are those under which docs and tests name them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.db import connections

Violations = Sequence[str]


@dataclass(frozen=True, slots=True)
class Invariant:
    """`find` returns one line a violation, at most LIMIT of them, as the `system` role."""

    number: str
    name: str
    find: Callable[[], Violations]


LIMIT = 20


def by_sql(number: str, name: str, query: str, **params: object) -> Invariant:
    """An invariant whose violations are the rows of `query`; parameters that are functions are called each time it is asked."""

    def find() -> Violations:
        with connections["system"].cursor() as cursor:
            given = {name: value() if callable(value) else value for name, value in params.items()}
            cursor.execute(f"SELECT * FROM ({query}) AS violation LIMIT {LIMIT}", given or None)
            names = [column.name for column in cursor.description]
            return [
                ", ".join(f"{name} {value}" for name, value in zip(names, row, strict=True))
                for row in cursor.fetchall()
            ]

    return Invariant(number, name, find)


def all_invariants() -> Iterator[Invariant]:
    """Those of every installed app, from the bottom layer up."""
    for config in apps.get_app_configs():
        if find_spec(f"{config.name}.invariants"):
            module = import_module(f"{config.name}.invariants")
            yield from getattr(module, "INVARIANTS", ())
