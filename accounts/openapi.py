"""What every REST operation says of itself in the OpenAPI schema: how to authenticate, and the one shape of its errors."""

import inspect
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers


class ErrorDetail(serializers.Serializer[Any]):
    """One fault among several."""

    field = serializers.CharField(required=False)
    message = serializers.CharField()


class ErrorBody(serializers.Serializer[Any]):
    """`code` is for programs and stable, `message` for people."""

    code = serializers.CharField()
    message = serializers.CharField()
    field = serializers.CharField(required=False, help_text="The field at fault, if there is one.")
    details = ErrorDetail(many=True, required=False)


class Error(serializers.Serializer[Any]):
    """The shape of every error under /api."""

    error = ErrorBody()


class ApiSchema(AutoSchema):
    """Adds the error shape to what an operation may answer; describes it by its method's docstring only."""

    def get_description(self) -> str:
        return inspect.getdoc(getattr(self.view, self.method.lower())) or ""

    def get_tags(self) -> list[str]:
        """Grouped by the first part of the address after the version."""
        return [self.path.removeprefix("/api/v1/").partition("/")[0]]

    def _get_response_bodies(self, *args: Any, **kwargs: Any) -> Any:
        responses = super()._get_response_bodies(*args, **kwargs)
        responses["default"] = self._get_response_for_code(Error, "default", ["application/json"])
        responses["default"]["description"] = "An error: see its `code`. 429 and 503 carry `Retry-After`."
        return responses


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"
    description = "An organization's API key, `idk_live_…`."

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": self.description}


class ReporterScheme(ApiKeyScheme):
    target_class = "accounts.authentication.ReporterAuthentication"
    match_subclasses = True
    name = "reporterKey"
    description = "A service key, `isk_live_…`, or an organization's API key with the scope `usage:write`."


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.OrganizationSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "invoicedream_site",
            "description": "The site's session. Members of several organizations add the header `X-Organization`.",
        }
