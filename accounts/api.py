"""REST: an organization's API keys. The secret is in the answer to POST, once, and nowhere else."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_keys import DEFAULT_SCOPES, ROLES_THAT_MANAGE_KEYS, issue_api_key, revoke_api_key
from accounts.api_views import OrganizationAPIView
from accounts.models import ApiKey, Scope
from accounts.pages import PageQuery, page


class ApiKeyAnswer(serializers.Serializer[Any]):
    """A key without its secret."""

    id = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The first characters of the secret.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    allowed_models = serializers.ListField(child=serializers.CharField(), help_text="Model ids; empty: all.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class IssuedApiKey(ApiKeyAnswer):
    """A fresh key with its secret."""

    secret = serializers.CharField(help_text="Shown this once.")


class ApiKeyPage(serializers.Serializer[Any]):
    data = ApiKeyAnswer(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class NewApiKey(serializers.Serializer[Any]):
    """What a new key shall be."""

    name = serializers.CharField(max_length=60)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        min_length=1,
        max_length=len(Scope),
        required=False,
        help_text=f"{' and '.join(DEFAULT_SCOPES)} unless given; of these only what the key that asks has itself.",
    )
    allowed_models = serializers.ListField(child=serializers.CharField(max_length=200), max_length=200, default=list)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)

    def validate_expires_at(self, moment: Any) -> Any:
        if moment is not None and moment <= timezone.now():
            raise serializers.ValidationError("must lie in the future")
        return moment


def key_json(key: ApiKey) -> dict[str, Any]:
    """A key as ApiKeyAnswer."""
    return {
        "id": str(key.pk),
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "allowed_models": key.allowed_models,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


class KeysView(OrganizationAPIView):
    """What both addresses share: who may manage keys."""

    scope = Scope.KEYS
    roles = ROLES_THAT_MANAGE_KEYS


class ApiKeyList(KeysView):
    @extend_schema(
        operation_id="list_api_keys",
        summary="List API keys, newest first",
        parameters=[PageQuery],
        responses=ApiKeyPage,
    )
    def get(self, request: Request) -> Response:
        query = PageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        keys = ApiKey.objects.for_organization(self.organization).order_by("-pk")
        if "cursor" in query.validated_data:
            keys = keys.filter(pk__lt=_pk(query.validated_data["cursor"][0]))
        limit = query.validated_data["limit"]
        return Response(page(list(keys[: limit + 1]), limit=limit, position=lambda key: (key.pk,), render=key_json))

    @extend_schema(
        operation_id="issue_api_key", summary="Issue an API key", request=NewApiKey, responses={201: IssuedApiKey}
    )
    def post(self, request: Request) -> Response:
        """A key made by a key can do no more than its maker: its scopes and models are among those of the maker."""
        wanted = NewApiKey(data=request.data)
        wanted.is_valid(raise_exception=True)
        key, secret = issue_api_key(
            organization=self.organization,
            name=wanted.validated_data["name"],
            now=timezone.now(),
            created_by=self.caller.user,
            scopes=self._scopes(wanted.validated_data.get("scopes")),
            allowed_models=self._models(set(wanted.validated_data["allowed_models"])),
            expires_at=wanted.validated_data["expires_at"],
        )
        return Response(key_json(key) | {"secret": secret}, status=201, headers={"Cache-Control": "no-store"})

    def _scopes(self, wanted: list[str] | None) -> set[str]:
        maker = self.caller.key
        if maker is None:
            return set(wanted or DEFAULT_SCOPES)
        if wanted is None:
            return set(DEFAULT_SCOPES) & maker.scopes or set(maker.scopes)
        if not set(wanted) <= maker.scopes:
            raise PermissionDenied("A key cannot give a scope that it does not have.")
        return set(wanted)

    def _models(self, wanted: set[str]) -> set[str]:
        allowed = self.caller.key.allowed_models if self.caller.key else frozenset()
        if allowed and not wanted <= allowed:
            raise PermissionDenied("A key cannot allow a model that it may not use.")
        return wanted or set(allowed)


class ApiKeyDetail(KeysView):
    @extend_schema(operation_id="get_api_key", summary="One API key", responses=ApiKeyAnswer)
    def get(self, request: Request, key_id: str) -> Response:
        return Response(key_json(self._key(key_id)))

    @extend_schema(operation_id="revoke_api_key", summary="Revoke an API key", responses={204: None})
    def delete(self, request: Request, key_id: str) -> Response:
        """Every process refuses the key within five seconds. Revoking it again changes nothing."""
        revoke_api_key(key=self._key(key_id), now=timezone.now(), actor=self.caller.user)
        return Response(status=204)

    def _key(self, key_id: str) -> ApiKey:
        keys = ApiKey.objects.for_organization(self.organization).select_related("organization")
        return get_object_or_404(keys, pk=_pk(key_id))


def _pk(text: str | int) -> int:
    """The number of a key's id; a text that is none finds no key."""
    return int(text) if str(text).isascii() and str(text).isdigit() and len(str(text)) < 19 else 0
