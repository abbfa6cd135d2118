"""What the REST API of corrections takes and gives, for the OpenAPI schema. `pushed_corrections` decides."""

from typing import Any

from rest_framework import serializers

from metering.pushed_corrections import Action
from metering.reports import Status
from metering.usage_shapes import PushedEventShape


class VoidShape(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, help_text="Why; whoever reads the receipt sees it.")
    organization = serializers.CharField(required=False, help_text="Its slug; an API key may leave its own out.")


class AmendShape(PushedEventShape):
    """Why, and the fields that were wrong. What is left out stays; null makes it unknown."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for name in ("id", "occurred_at"):
            del fields[name]
        for name in fields:
            fields[name].required = False
        return {"reason": serializers.CharField(max_length=500), **fields}


class CorrectionShape(AmendShape):
    """A correction of the call that you gave `id`; to void it, only a reason."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        own: dict[str, serializers.Field[Any, Any, Any, Any]] = {
            "id": serializers.CharField(max_length=200, help_text="Yours."),
            "action": serializers.ChoiceField(choices=[action.value for action in Action]),
        }
        return own | super().get_fields()


class CorrectedAnswer(serializers.Serializer[Any]):
    """What is committed. `event_id` is what the call is charged by now, or the event that was taken back."""

    status = serializers.ChoiceField(choices=[Status.ACCEPTED.value, Status.DUPLICATE.value])
    event_id = serializers.UUIDField()
    reason = serializers.CharField(required=False, help_text="Where there is more to say: the month that is charged.")
