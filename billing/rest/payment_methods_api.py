"""REST: the cards of an organization (`GET payment_methods`). They are added and removed by people, on the site."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import Scope
from billing.cards.payment_methods import cards_of, setting_of


class PaymentMethodAnswer(serializers.Serializer[Any]):
    """A card that was left with the payment processor."""

    id = serializers.CharField()
    processor = serializers.CharField()
    label = serializers.CharField(help_text="Brand and last four digits.")  # type: ignore[assignment]
    expires_on = serializers.DateField(allow_null=True, help_text="The last day on which it can be charged, if known.")
    is_default = serializers.BooleanField(help_text="Invoices and automatic top-ups are charged to this one.")
    created_at = serializers.DateTimeField()


class PaymentMethodList(serializers.Serializer[Any]):
    data = PaymentMethodAnswer(many=True)  # type: ignore[assignment]
    automatic_payment = serializers.BooleanField(
        help_text="Whether invoices are charged to the default one by themselves."
    )


class PaymentMethods(OrganizationAPIView):
    scope = Scope.USAGE_READ

    @extend_schema(operation_id="list_payment_methods", summary="Cards on file", responses=PaymentMethodList)
    def get(self, request: Request) -> Response:
        cards = cards_of(self.organization, now=timezone.now())
        return Response(
            {
                "data": [
                    {
                        "id": str(card.method.pk),
                        "processor": card.method.processor,
                        "label": card.method.label,
                        "expires_on": card.method.expires_on,
                        "is_default": card.is_default,
                        "created_at": card.method.created_at,
                    }
                    for card in cards
                ],
                "automatic_payment": setting_of(self.organization).is_automatic,
            }
        )
