"""REST: an organization's payments, and starting one (`POST invoices/{id}/pay`), which is for people: API keys may not pay."""

from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import Role, Scope
from accounts.pages import PageQuery, moment_and_id, page
from billing import collection
from billing.models import Invoice, Payment
from pricing.plain_text import plain

ROLES_THAT_PAY = frozenset({Role.OWNER, Role.ADMIN, Role.BILLING})
RETRY_SECONDS = 5


class PaymentQuery(PageQuery):
    invoice = serializers.UUIDField(required=False, help_text="Only payments of this invoice.")


class PaymentAnswer(serializers.Serializer[Any]):
    """An attempt to pay an invoice, or to buy prepaid credit."""

    id = serializers.CharField()
    invoice_id = serializers.CharField(allow_null=True, help_text="null for a top-up, which buys prepaid credit.")
    invoice_number = serializers.CharField(help_text="Empty for a top-up.")
    processor = serializers.CharField(help_text="`stripe` or `bank_transfer`.")
    amount = serializers.CharField()
    currency = serializers.CharField()
    status = serializers.ChoiceField(
        choices=Payment.Status.choices,
        help_text="`requires_action`: open `action_url`. `unknown`: the processor did not answer yet; it is being asked.",
    )
    action_url = serializers.CharField(help_text="Where to pay; empty unless `requires_action`.")
    failure = serializers.CharField(help_text="The processor's reason, where it gave one.")
    payer_name = serializers.CharField(help_text="Who transferred it; empty for cards.")
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)


class PaymentPage(serializers.Serializer[Any]):
    data = PaymentAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


def payment_json(payment: Payment) -> dict[str, Any]:
    """A payment, with its invoice if it has one, as PaymentAnswer."""
    return {
        "id": str(payment.pk),
        "invoice_id": str(payment.invoice_id) if payment.invoice_id else None,
        "invoice_number": payment.invoice.number if payment.invoice else "",
        "processor": payment.processor,
        "amount": plain(payment.amount),
        "currency": payment.currency,
        "status": payment.status,
        "action_url": payment.action_url,
        "failure": payment.failure,
        "payer_name": payment.payer_name,
        "created_at": payment.created_at,
        "settled_at": payment.settled_at,
    }


class PaymentList(OrganizationAPIView):
    scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="list_payments",
        summary="List payments, newest first",
        parameters=[PaymentQuery],
        responses=PaymentPage,
    )
    def get(self, request: Request) -> Response:
        query = PaymentQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        payments = Payment.objects.for_organization(self.organization).select_related("invoice")
        if "invoice" in query.validated_data:
            payments = payments.filter(invoice_id=query.validated_data["invoice"])
        if "cursor" in query.validated_data:
            at, last = moment_and_id(query.validated_data["cursor"])
            payments = payments.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=last))
        limit = query.validated_data["limit"]
        rows = list(payments.order_by("-created_at", "-pk")[: limit + 1])
        return Response(
            page(
                rows,
                limit=limit,
                position=lambda payment: (payment.created_at.isoformat(), str(payment.pk)),
                render=payment_json,
            )
        )


class PayInvoice(OrganizationAPIView):
    scope = ""
    """None that a key could have."""
    roles = ROLES_THAT_PAY
    unscoped_methods = frozenset({"POST"})  # the processor is called between transactions, never inside one

    @extend_schema(
        operation_id="pay_invoice",
        summary="Start to pay an invoice",
        request=None,
        responses={200: PaymentAnswer, 202: PaymentAnswer},
    )
    def post(self, request: Request, invoice_id: UUID) -> Response:
        """Answers with the payment: send the customer to its `action_url`. Asking again returns the same page while it is open.

        202 means that the processor has not answered yet; ask again after `Retry-After` seconds, nothing is charged twice.
        """
        if self.caller.user is None or self.caller.role not in ROLES_THAT_PAY:
            raise PermissionDenied("Owners, administrators and billing managers pay, signed in; API keys cannot.")
        try:
            payment = collection.start_payment(
                organization_id=self.caller.organization_id,
                invoice_id=invoice_id,
                now=timezone.now(),
                user=self.caller.user,
            )
        except Invoice.DoesNotExist:
            raise Http404 from None
        answer = payment_json(payment)
        if payment.status == Payment.Status.UNKNOWN:
            return Response(answer, status=202, headers={"Retry-After": str(RETRY_SECONDS)})
        return Response(answer)
