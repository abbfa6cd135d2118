"""Unpaid invoices of which a payment was taken back (`payments.reversing`, 0026): since when, and whether it had let one call."""

from datetime import datetime
from uuid import UUID

from django.db.models import Max, QuerySet

from accounts.models import Organization
from billing.models import DepositPart, Invoice
from billing.models.dunning import Suspension


def owed_again(organization: Organization) -> dict[UUID, datetime]:
    """When a payment of each such invoice was taken back last. Needs the tenant scope."""
    undone = _taken_back(DepositPart.objects.for_organization(organization)).values_list("payment__invoice")
    return dict(undone.annotate(at=Max("decision__undone_at")))


def who_owes_again() -> set[int]:
    """The organizations that have such invoices. Looks at all tenants."""
    return set(_taken_back(DepositPart.objects.using("system")).values_list("organization_id", flat=True))


def let_call_at(organization: Organization) -> datetime | None:
    """When a suspension ended by itself last: nothing was overdue any more, or seemed so. Needs the tenant scope."""
    ended = Suspension.objects.for_organization(organization).filter(cause=Suspension.Cause.OVERDUE, end_reason="")
    found: datetime | None = ended.aggregate(at=Max("ended_at"))["at"]
    return found


def _taken_back(parts: QuerySet[DepositPart]) -> QuerySet[DepositPart]:
    unpaid = (Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE)
    return parts.filter(payment__invoice__status__in=unpaid).exclude(decision__undone_at=None)
