"""REST: what an organization may still spend, part by part, and its credits (`GET balance`)."""

from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import Organization, Scope
from billing.models.dunning import Suspension
from billing.overdue.suspension import running_suspension
from ledger.balances import available, with_tax
from ledger.credit_expiry import balance_at
from ledger.credit_standing import CreditStanding, credit_standings
from ledger.models import CreditGrant
from pricing.plain_text import plain

INCLUDED, EXCLUDED = "included", "excluded"


class PartAnswer(serializers.Serializer[Any]):
    """An exact amount, and whether VAT is in it."""

    amount = serializers.CharField()
    tax = serializers.ChoiceField(choices=[INCLUDED, EXCLUDED])


class CreditAnswer(serializers.Serializer[Any]):
    """A credit, VAT included. They are used by `priority`, then promotions first, soonest expiry, oldest."""

    id = serializers.CharField()
    kind = serializers.ChoiceField(choices=CreditGrant.Kind.choices)
    reason = serializers.CharField()
    amount = serializers.CharField()
    left = serializers.CharField(help_text="Of an expired one: what usage made in time keeps until it is invoiced.")
    priority = serializers.IntegerField()
    granted_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    is_expired = serializers.BooleanField()


class SuspensionAnswer(serializers.Serializer[Any]):
    """Why calls are refused. `invoice` is the overdue one; without one we decided it, please contact us."""

    cause = serializers.ChoiceField(choices=Suspension.Cause.choices)
    since = serializers.DateTimeField()
    invoice_id = serializers.UUIDField(allow_null=True)
    invoice_number = serializers.CharField(allow_null=True)


class BalanceAnswer(serializers.Serializer[Any]):
    """`available` = prepaid + credit_line − unbilled with tax − receivable − held; below zero it blocks new calls."""

    currency = serializers.CharField()
    tax_rate = serializers.CharField(help_text="A fraction: 0.1 is 10 %.")
    available = PartAnswer()
    prepaid = PartAnswer(help_text="Credit that is left.")
    credit_line = PartAnswer()
    unbilled = PartAnswer(help_text="Used and not invoiced, as it was charged.")
    unbilled_with_tax = PartAnswer()
    receivable = PartAnswer(help_text="Invoiced and not paid.")
    held = PartAnswer(help_text="Reserved for running calls.")
    credits = CreditAnswer(many=True)
    suspended = serializers.BooleanField(help_text="Whether calls are refused, whatever is available.")
    suspension = SuspensionAnswer(allow_null=True)


class BalanceDetail(OrganizationAPIView):
    """The balance of an organization."""

    scope = Scope.USAGE_READ

    @extend_schema(operation_id="balance", summary="What may still be spent", responses=BalanceAnswer)
    def get(self, request: Request) -> Response:
        """Exactly as the gateway counts it, part by part, each saying whether VAT is in it; and what is left of each credit."""
        now = timezone.now()
        balance = balance_at(self.organization, now=now)
        return Response(
            {
                "currency": balance.currency,
                "tax_rate": plain(balance.tax_rate),
                "available": _part(available(balance)),
                "prepaid": _part(balance.prepaid),
                "credit_line": _part(balance.credit_line),
                "unbilled": _part(balance.unbilled, tax=EXCLUDED),
                "unbilled_with_tax": _part(with_tax(balance.unbilled, balance.tax_rate)),
                "receivable": _part(balance.receivable),
                "held": _part(balance.held),
                "suspended": self.organization.status == Organization.Status.SUSPENDED,
                "suspension": suspension_json(running_suspension(self.organization)),
                "credits": [credit_json(one) for one in credit_standings(self.organization, now=now)],
            }
        )


def suspension_json(suspension: Suspension | None) -> dict[str, Any] | None:
    """As SuspensionAnswer."""
    if suspension is None:
        return None
    invoice = suspension.invoice
    return {
        "cause": suspension.cause,
        "since": suspension.suspended_at,
        "invoice_id": str(invoice.pk) if invoice else None,
        "invoice_number": invoice.number if invoice else None,
    }


def _part(amount: Decimal, *, tax: str = INCLUDED) -> dict[str, str]:
    return {"amount": plain(amount), "tax": tax}


def credit_json(standing: CreditStanding) -> dict[str, Any]:
    """A credit, as CreditAnswer."""
    grant = standing.grant
    return {
        "id": str(grant.pk),
        "kind": grant.kind,
        "reason": grant.reason,
        "amount": plain(grant.amount),
        "left": plain(standing.left),
        "priority": grant.priority,
        "granted_at": grant.granted_at,
        "expires_at": grant.expires_at,
        "is_expired": standing.is_expired,
    }
