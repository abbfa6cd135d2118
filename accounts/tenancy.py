"""The one door to tenant rows: scope a transaction to organizations, then ask with `.for_organization(...)`.

Row-level security stands behind it (accounts/row_security.py): outside a scope the `app` role sees no tenant row at all.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

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


Row = TypeVar("Row", bound=models.Model)


class TenantQuerySet(models.QuerySet[Row]):
    """Rows that belong to an organization."""

    def for_organization(self, organization: "int | models.Model") -> Self:
        """Only the rows of `organization` (the row or its id)."""
        return self.filter(organization_id=getattr(organization, "pk", organization))
