"""What must always hold, as named queries that count their violations. Each app lists its own in `<app>/invariants.py`.

`manage.py audit` runs them all (billing/management/commands/audit.py). Numbers are those under which docs and tests name them.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.db import connections

Violations = Sequence[str]


LIMIT = 20
MOST_NAMED = 1000
"""Organizations that a violation can name; what concerns more of them concerns everybody."""


def everybody() -> None:
    """Whose the violations are that name no organization."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """`find` returns one line a violation, at most LIMIT of them; `whose`, asked once there are some, all organizations that they
    concern, None if that is everybody. Both as the `system` role."""

    number: str
    name: str
    find: Callable[[], Violations]
    whose: Callable[[], frozenset[int] | None] = everybody


def by_sql(number: str, name: str, query: str, **params: object) -> Invariant:
    """An invariant whose violations are the rows of `query`; parameters that are functions are called each time it is asked.

    A row concerns the organization in its column `organization_id`; without that column, or where it is empty, everybody.
    """

    def given() -> dict[str, object] | None:
        return {name: value() if callable(value) else value for name, value in params.items()} or None

    def find() -> Violations:
        with connections["system"].cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}) AS violation LIMIT {LIMIT}", given())
            names = [column.name for column in cursor.description]
            return [
                ", ".join(f"{name} {value}" for name, value in zip(names, row, strict=True))
                for row in cursor.fetchall()
            ]

    def whose() -> frozenset[int] | None:
        organization = "(to_jsonb(violation) ->> 'organization_id')::bigint"
        with connections["system"].cursor() as cursor:
            cursor.execute(
                f"SELECT DISTINCT {organization} FROM ({query}) AS violation LIMIT {MOST_NAMED + 1}", given()
            )
            return named_alone([organization_id for (organization_id,) in cursor.fetchall()])

    return Invariant(number, name, find, whose)


def named_alone(organizations: Collection[int | None]) -> frozenset[int] | None:
    """Those organizations, if violations name them and no others; None where one concerns everybody, or nobody was found again."""
    named = frozenset(one for one in organizations if one is not None)
    return named if len(named) == len(organizations) and 0 < len(named) <= MOST_NAMED else None


def all_invariants() -> Iterator[Invariant]:
    """Those of every installed app, from the bottom layer up."""
    for config in apps.get_app_configs():
        if find_spec(f"{config.name}.invariants"):
            module = import_module(f"{config.name}.invariants")
            yield from getattr(module, "INVARIANTS", ())
