"""REST: the tags by which an organization's usage is summed (`GET`, `PUT organization/tags`). Declaring is for people."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import Organization, Scope
from accounts.tag_declarations import (
    LONGEST_KEY,
    MOST_TAGS,
    InvalidTagKeys,
    declare_tags,
    declared_tags,
    history_of_tags,
)


class TagsChange(serializers.Serializer[Any]):
    """All keys that are declared from now on; an empty list ends the sums."""

    keys = serializers.ListField(
        child=serializers.CharField(max_length=LONGEST_KEY), max_length=MOST_TAGS, help_text="Names of tags."
    )


class DeclaredTag(serializers.Serializer[Any]):
    """Usage that was recorded in this time is summed by the tag."""

    key = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True, help_text="null: it still is.")


class TagsAnswer(serializers.Serializer[Any]):
    keys = serializers.ListField(child=serializers.CharField(), help_text="What is declared now.")
    history = DeclaredTag(many=True)


class OrganizationTags(OrganizationAPIView):
    """The tags by which usage is summed."""

    scope = Scope.USAGE_READ

    @extend_schema(operation_id="get_declared_tags", summary="The tags that usage is summed by", responses=TagsAnswer)
    def get(self, request: Request) -> Response:
        """Which tags `GET /api/v1/usage?group_by=tag:…` answers for any range, and for what was recorded when."""
        return Response(_tags_json(self.organization))

    @extend_schema(
        operation_id="declare_tags", summary="Declare up to three tags", request=TagsChange, responses=TagsAnswer
    )
    def put(self, request: Request) -> Response:
        """For owners and admins with a session. It holds for what is recorded from now on; sums that are there stay."""
        actor = self.administrator("this")
        change = TagsChange(data=request.data)
        change.is_valid(raise_exception=True)
        try:
            declare_tags(
                organization=self.organization,
                keys=change.validated_data["keys"],
                actor=actor,
                now=timezone.now(),
            )
        except InvalidTagKeys as error:
            raise serializers.ValidationError({"keys": str(error)}) from None
        return Response(_tags_json(self.organization))


def _tags_json(organization: Organization) -> dict[str, Any]:
    """The declarations of an organization as TagsAnswer. Needs its tenant scope."""
    return {
        "keys": declared_tags(organization),
        "history": [{"key": one.key, "since": one.since, "until": one.until} for one in history_of_tags(organization)],
    }
