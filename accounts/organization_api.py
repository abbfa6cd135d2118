"""REST: the organization itself – its name, billing profile and contacts. Keys may read it; changes are for people."""

from typing import Any

from django.core.exceptions import ValidationError as InvalidValue
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import BillingProfile, Organization, Scope
from accounts.profiles import (
    PROFILE_FIELDS,
    ROLES_THAT_ADMINISTER,
    ROLES_THAT_EDIT_PROFILE,
    update_organization,
    update_profile,
)
from accounts.registration_numbers import validate_registration_number


def _text(name: str) -> serializers.CharField:
    length = BillingProfile._meta.get_field(name).max_length
    return serializers.CharField(max_length=length, allow_blank=True, required=False)


class BillingProfileFields(serializers.Serializer[Any]):
    """The buyer on invoices. The registration number is 000-00-00000, or empty for a private person."""

    legal_name = _text("legal_name")
    registration_number = serializers.CharField(max_length=20, allow_blank=True, required=False)
    representative = _text("representative")
    address = _text("address")
    business_type = _text("business_type")
    business_item = _text("business_item")
    contact_name = _text("contact_name")
    contact_email = serializers.EmailField(allow_blank=True, required=False)
    po_number = _text("po_number")
    pays_by = serializers.ChoiceField(
        choices=BillingProfile.PaysBy.choices,
        required=False,
        help_text="`transfer`: businesses get a tax invoice, after which cards are refused. `card`: the card slip is the proof.",
    )
    prices = serializers.ChoiceField(
        choices=BillingProfile.Prices.choices,
        required=False,
        allow_blank=True,
        help_text="How pages show prices; empty: as on the site.",
    )

    def validate_registration_number(self, number: str) -> str:
        if number:
            try:
                validate_registration_number(number)
            except InvalidValue as error:
                raise serializers.ValidationError(error.messages) from None
        return number


class OrganizationChange(serializers.Serializer[Any]):
    """What is not named stays. Billing managers may not change the name."""

    name = serializers.CharField(max_length=Organization._meta.get_field("name").max_length, required=False)
    language = serializers.ChoiceField(
        choices=Organization._meta.get_field("language").choices, required=False, help_text="Of invoices and mail."
    )
    billing_profile = BillingProfileFields(required=False)


class OrganizationAnswer(serializers.Serializer[Any]):
    """Who is billed, and how."""

    slug = serializers.CharField(help_text="The public name, as in addresses and pushed usage.")
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=Organization.Status.choices)
    time_zone = serializers.CharField(help_text="Months and hours are counted in it.")
    language = serializers.CharField(help_text="Of invoices and mail.")
    billing_currency = serializers.CharField()
    exchange_policy = serializers.CharField()
    created_at = serializers.DateTimeField()
    billing_profile = BillingProfileFields()


class OrganizationDetail(OrganizationAPIView):
    """The caller's own organization; the address names none."""

    scope = Scope.USAGE_READ

    @extend_schema(operation_id="get_organization", summary="Your organization", responses=OrganizationAnswer)
    def get(self, request: Request) -> Response:
        return Response(organization_json(self.organization))

    @extend_schema(
        operation_id="change_organization",
        summary="Change the billing profile, name or language",
        request=OrganizationChange,
        responses=OrganizationAnswer,
    )
    def patch(self, request: Request) -> Response:
        """For owners, admins and billing managers with a session: an API key may not change who is billed."""
        if self.caller.key is not None or self.caller.role not in ROLES_THAT_EDIT_PROFILE:
            raise PermissionDenied("Only owners, admins and billing managers can change this, with their session.")
        change = OrganizationChange(data=request.data)
        change.is_valid(raise_exception=True)
        wanted, now, actor = change.validated_data, timezone.now(), self.caller.user
        if "name" in wanted and self.caller.role not in ROLES_THAT_ADMINISTER:
            raise PermissionDenied("Only owners and admins can change the name.")
        organization = update_organization(
            organization=self.organization,
            name=wanted.get("name"),
            language=wanted.get("language"),
            actor=actor,
            now=now,
        )
        update_profile(organization=organization, changes=wanted.get("billing_profile", {}), actor=actor, now=now)
        return Response(organization_json(organization))


def organization_json(organization: Organization) -> dict[str, Any]:
    """An organization as OrganizationAnswer. Needs its tenant scope."""
    profile = BillingProfile.objects.for_organization(organization).get()
    return {
        "slug": organization.slug,
        "name": organization.name,
        "status": organization.status,
        "time_zone": organization.zone,
        "language": organization.language,
        "billing_currency": organization.billing_currency,
        "exchange_policy": organization.exchange_policy,
        "created_at": organization.created_at,
        "billing_profile": {name: getattr(profile, name) for name in PROFILE_FIELDS},
    }
