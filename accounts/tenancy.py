"""The one door to tenant rows: scope a transaction to organizations, then ask with `.for_organization(...)`.

Row-level security stands behind it (accounts/row_security.py): outside a scope the `app` role sees no tenant row at all.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from django.db import connections, models, transaction

from accounts.row_security import SETTING


def set_visible_organizations(organization_ids: Iterable[int], *, using: str = "default") -> None:
    """Let the running transaction of `using` see the rows of these organizations until it ends."""
    array = "{" + ",".join(str(int(number)) for number in organization_ids) + "}"
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true)", [SETTING, array])


@contextmanager
def tenant_scope(organization_ids: Iterable[int], *, using: str = "default") -> Iterator[None]:
    """A transaction that sees and writes the rows of these organizations only."""
    with transaction.atomic(using=using):
        set_visible_organizations(organization_ids, using=using)
        yield


@contextmanager
def tenant_query(
    organization_ids: Iterable[int], query: str, parameters: Sequence[object], *, using: str = "default"
) -> Iterator[list[tuple[Any, ...]]]:
    """A tenant scope that begins with a query, whose rows it yields: beginning, scope and query are one round trip, not three."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        with connections[using].wrap_database_errors, connections[using].connection.pipeline():
            set_visible_organizations(organization_ids, using=using)
            cursor.execute(query, parameters)
        yield cursor.fetchall()


Row = TypeVar("Row", bound=models.Model)


class TenantQuerySet(models.QuerySet[Row]):
    """Rows that belong to an organization."""

    def for_organization(self, organization: "int | models.Model") -> Self:
        """Only the rows of `organization` (the row or its id)."""
        return self.filter(organization_id=getattr(organization, "pk", organization))
