"""REST: spend limits, and keys that the velocity breaker stopped. Keys may look; only owners and admins, signed in, may change."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import ApiKey, Membership, Scope, User
from ledger.balances import with_tax
from ledger.limit_setting import HIGHEST_LIMIT, limits_at, remove_limit
from ledger.limits import left
from ledger.models import KeyStop, LimitWindow, SpendLimit
from ledger.velocity import lift_stop, open_stops
from metering.limiting import set_limit
from pricing.plain_text import plain


class LimitAnswer(serializers.Serializer[Any]):
    """A spend limit in its present window. Amounts include tax: `amount` − `spent` − `held` = `left`."""

    id = serializers.CharField()
    api_key_id = serializers.CharField(allow_null=True, help_text="Whose limit it is: a key's, …")
    member = serializers.CharField(
        allow_null=True, help_text="… a member's (their email; counts all keys they made), or the organization's."
    )
    window = serializers.ChoiceField(choices=LimitWindow.choices)
    hard = serializers.BooleanField(help_text="Refuses calls that might pass it; a soft one only warns.")
    currency = serializers.CharField()
    amount = serializers.CharField()
    spent = serializers.CharField()
    held = serializers.CharField(help_text="The most that running calls can cost.")
    left = serializers.CharField(help_text="Below zero after usage that is never refused.")
    window_start = serializers.DateTimeField()
    resets_at = serializers.DateTimeField()
    refused_at = serializers.DateTimeField(allow_null=True, help_text="When it first refused a call in this window.")


class LimitList(serializers.Serializer[Any]):
    data = LimitAnswer(many=True)  # type: ignore[assignment]


class LimitWish(serializers.Serializer[Any]):
    """What may be spent. The same key or member, window and kind again changes the amount."""

    api_key_id = serializers.CharField(required=False, allow_null=True, default=None, max_length=20)
    member = serializers.EmailField(required=False, allow_null=True, default=None)
    window = serializers.ChoiceField(choices=LimitWindow.choices)
    hard = serializers.BooleanField(default=True)
    amount = serializers.DecimalField(max_digits=20, decimal_places=2, min_value=0, max_value=HIGHEST_LIMIT)

    def validate(self, wish: dict[str, Any]) -> dict[str, Any]:
        if wish["api_key_id"] and wish["member"]:
            raise serializers.ValidationError("a limit is a key's or a member's, not both")
        return wish


class KeyStopAnswer(serializers.Serializer[Any]):
    """A key whose calls are refused, because it spent more than `allowed` within `seconds`; both with tax."""

    api_key_id = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    cause = serializers.ChoiceField(choices=KeyStop.Cause.choices)
    seconds = serializers.IntegerField()
    spent = serializers.CharField()
    allowed = serializers.CharField()
    stopped_at = serializers.DateTimeField()


class KeyStopList(serializers.Serializer[Any]):
    data = KeyStopAnswer(many=True)  # type: ignore[assignment]


class LimitsView(OrganizationAPIView):
    """What all addresses share: everybody may look, people who administer may change."""

    scope = Scope.USAGE_READ


class Limits(LimitsView):
    @extend_schema(operation_id="list_limits", summary="List spend limits", responses=LimitList)
    def get(self, request: Request) -> Response:
        return Response({"data": [limit_json(limit) for limit in limits_at(self.organization, now=timezone.now())]})

    @extend_schema(
        operation_id="set_limit", summary="Set a spend limit", request=LimitWish, responses={200: LimitAnswer}
    )
    def put(self, request: Request) -> Response:
        """It holds from the next call on, and counts what was spent and held since its window began."""
        actor, now = self.administrator("limits"), timezone.now()
        wish = LimitWish(data=request.data)
        wish.is_valid(raise_exception=True)
        wanted = wish.validated_data
        limit = set_limit(
            organization=self.organization,
            api_key=self._key(wanted["api_key_id"]),
            member=self._member(wanted["member"]),
            window=wanted["window"],
            hard=wanted["hard"],
            amount=wanted["amount"],
            actor=actor,
            now=now,
        )
        [answer] = [one for one in limits_at(self.organization, now=now) if one.pk == limit.pk]
        return Response(limit_json(answer))

    def _key(self, key_id: str | None) -> ApiKey | None:
        if key_id is None:
            return None
        keys = ApiKey.objects.for_organization(self.organization)
        key = keys.filter(pk=int(key_id)).first() if key_id.isascii() and key_id.isdecimal() else None
        if key is None:
            raise serializers.ValidationError({"api_key_id": "there is no such key"})
        return key

    def _member(self, email: str | None) -> User | None:
        if email is None:
            return None
        places = Membership.objects.for_organization(self.organization).select_related("user")
        place = places.filter(user__email=email.lower()).first()
        if place is None:
            raise serializers.ValidationError({"member": "nobody with this address is a member"})
        return place.user


class LimitDetail(LimitsView):
    @extend_schema(
        operation_id="lift_limit", summary="Lift a spend limit", responses={204: OpenApiResponse(description="Gone.")}
    )
    def delete(self, request: Request, spend_limit_id: int) -> Response:
        actor = self.administrator("limits")
        rows = SpendLimit.objects.for_organization(self.organization).select_related("api_key", "member")
        limit = get_object_or_404(rows, pk=spend_limit_id)
        remove_limit(
            organization=self.organization,
            api_key=limit.api_key,
            member=limit.member,
            window=limit.window,
            hard=limit.hard,
            actor=actor,
            now=timezone.now(),
        )
        return Response(status=204)


class StoppedKeys(LimitsView):
    @extend_schema(operation_id="list_stopped_keys", summary="List keys that were stopped", responses=KeyStopList)
    def get(self, request: Request) -> Response:
        return Response({"data": [stop_json(stop) for stop in open_stops(self.organization)]})


class LiftKeyStop(LimitsView):
    @extend_schema(
        operation_id="lift_key_stop",
        summary="Let a stopped key call again",
        request=None,
        responses={204: OpenApiResponse(description="It may call; also if it was not stopped.")},
    )
    def post(self, request: Request, key_id: int) -> Response:
        actor = self.administrator("limits")
        keys = ApiKey.objects.for_organization(self.organization)
        key = get_object_or_404(keys, pk=key_id)
        lift_stop(organization=self.organization, api_key=key, actor=actor, now=timezone.now())
        return Response(status=204)


def limit_json(limit: SpendLimit) -> dict[str, Any]:
    """A limit that was moved on to the present window, as LimitAnswer."""
    return {
        "id": str(limit.pk),
        "api_key_id": None if limit.api_key_id is None else str(limit.api_key_id),
        "member": limit.member.email if limit.member else None,
        "window": limit.window,
        "hard": limit.hard,
        "currency": limit.organization.billing_currency,
        "amount": plain(limit.amount),
        "spent": plain(with_tax(limit.spent, limit.organization.balance.tax_rate)),
        "held": plain(limit.held),
        "left": plain(left(limit)),
        "window_start": limit.window_start,
        "resets_at": limit.window_end,
        "refused_at": limit.refused_at,
    }


def stop_json(stop: KeyStop) -> dict[str, Any]:
    """A stop, with its key, as KeyStopAnswer."""
    return {
        "api_key_id": str(stop.api_key_id),
        "name": stop.api_key.name,
        "prefix": stop.api_key.prefix,
        "cause": stop.cause,
        "seconds": stop.seconds,
        "spent": plain(stop.spent),
        "allowed": plain(stop.allowed),
        "stopped_at": stop.stopped_at,
    }
