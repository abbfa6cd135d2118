"""What the REST API of usage takes and gives, for validation and the OpenAPI schema. `usage_answers` fills the answers in."""

from typing import Any

from rest_framework import serializers

from accounts.pages import ClosedQuery, PageQuery
from catalog.rate_answers import AppliedRateAnswer
from metering.export_formats import FORMATS
from metering.models import EventKind, Evidence
from metering.ranges import MomentField
from metering.reports import Status
from metering.rollup_tags import TagKind
from metering.rollups import COUNTS
from metering.usage_queries import GROUPINGS


class RangeQuery(ClosedQuery):
    """A half-open range in the organization's zone; this month unless given."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        moments: dict[str, serializers.Field[Any, Any, Any, Any]] = {
            "from": MomentField(required=False, default=None, source="start", help_text="Included."),
            "to": MomentField(required=False, default=None, source="end", help_text="Not included."),
        }
        return moments | super().get_fields()


class UsageQuery(RangeQuery, PageQuery):
    group_by = serializers.ChoiceField(
        choices=GROUPINGS, default="day", help_text="`tag:team` is short for `tag`, `tag=team`."
    )
    tag = serializers.CharField(required=False, max_length=64, help_text="The name of the tag to group by.")

    def to_internal_value(self, data: Any) -> Any:
        grouping, colon, tag = str(data.get("group_by", "")).partition(":")
        if grouping == "tag" and colon and "tag" not in data:
            data = {**data.dict(), "group_by": grouping, "tag": tag}
        return super().to_internal_value(data)

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if (asked["group_by"] == "tag") != ("tag" in asked):
            raise serializers.ValidationError({"tag": "goes with group_by=tag"})
        return asked


class EventFilterQuery(RangeQuery):
    """Which events: those that match everything that is given. Tags are asked for as `tag.<name>=<value>`."""

    prefixes = ("tag.",)

    model = serializers.CharField(required=False, max_length=200, help_text="The model that answered.")
    api_key = serializers.CharField(required=False, max_length=20, help_text="The id of a key.")
    source = serializers.CharField(  # type: ignore[assignment]
        required=False, max_length=50, help_text='Who reported it, as "gateway" or "api".'
    )
    status = serializers.RegexField(
        r"^([1-5][0-9]{2}|[1-5]xx)$", required=False, help_text="An HTTP status, or a class of them such as 4xx."
    )
    kind = serializers.ChoiceField(choices=[kind.name.lower() for kind in EventKind], required=False)
    evidence = serializers.ChoiceField(choices=[evidence.name.lower() for evidence in Evidence], required=False)
    upstream = serializers.CharField(required=False, max_length=64)
    end_user = serializers.CharField(required=False, max_length=256)
    q = serializers.CharField(
        required=False, max_length=200, help_text="The id of an event, request or generation, or the reporter's key."
    )


class EventQuery(EventFilterQuery, PageQuery):
    """A page of events."""


class FormatQuery(ClosedQuery):
    format = serializers.ChoiceField(choices=tuple(FORMATS), default="csv")


class ExportQuery(EventFilterQuery, FormatQuery):
    """An export of events."""


class CountsAnswer(serializers.Serializer[Any]):
    """Disjoint counts; reasoning is inside output."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        counts: dict[str, serializers.Field[Any, Any, Any, Any]] = {
            name: serializers.IntegerField(allow_null=True) for name in COUNTS
        }
        return super().get_fields() | counts


class KeyName(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.CharField()


class MemberName(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()


class SumAnswer(CountsAnswer):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return super().get_fields() | {"amount": serializers.CharField(help_text="Exact, before tax.")}


class UsageRowAnswer(SumAnswer):
    """One group and its sums: `hour` or `day` or `model`, `api_key` (null: no key was named), `member` who made the keys (null: no
    key, or nobody's) or the value of the `tag` (null: not tagged so, or what else `tag_kind` says)."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        groups: dict[str, serializers.Field[Any, Any, Any, Any]] = {
            "hour": serializers.DateTimeField(required=False),
            "day": serializers.DateField(required=False),
            "model": serializers.CharField(required=False),
            "api_key": KeyName(required=False, allow_null=True),
            "member": MemberName(required=False, allow_null=True),
            "tag": serializers.CharField(required=False, allow_null=True),
            "tag_kind": serializers.ChoiceField(
                choices=[kind.value for kind in TagKind],
                required=False,
                help_text="A `value`; `none`: calls without this tag; `other`: values that are too many or too long for sums of"
                " their own; `undeclared`: what was recorded while the tag was not declared.",
            ),
        }
        return groups | super().get_fields()


class EventAnswer(serializers.Serializer[Any]):
    """One call. `id` is ours, `key` the reporter's.

    A reversal takes an earlier charge back: its counts and amount are that one's negatives. Both it and what is charged instead
    carry the key of the call, so `kind`, `reverses` and `replaces` tell them apart. Sums are right as they are.
    """

    id = serializers.UUIDField()
    key = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=[kind.name.lower() for kind in EventKind])
    evidence = serializers.ChoiceField(choices=[evidence.name.lower() for evidence in Evidence])
    model = serializers.CharField()
    applied_rate_id = serializers.IntegerField(
        help_text="Names the unit prices: the same in receipts, exports and invoices."
    )
    requested_model = serializers.CharField(allow_null=True)
    api_key = KeyName(allow_null=True)
    source = serializers.CharField(help_text="Who reported it.")  # type: ignore[assignment]
    request_id = serializers.CharField(allow_null=True)
    generation_id = serializers.CharField(allow_null=True)
    usage = CountsAnswer()
    amount = serializers.CharField(help_text="Exact, before tax.")
    currency = serializers.CharField()
    upstream = serializers.CharField(allow_null=True)
    status = serializers.IntegerField(allow_null=True)
    streamed = serializers.BooleanField(allow_null=True)
    latency_ms = serializers.IntegerField(allow_null=True)
    first_token_ms = serializers.IntegerField(allow_null=True)
    finish_reason = serializers.CharField(allow_null=True)
    end_user = serializers.CharField(allow_null=True)
    tags = serializers.DictField(child=serializers.CharField())
    reverses = serializers.UUIDField(allow_null=True, help_text="Of a reversal: the event that it takes back.")
    replaces = serializers.UUIDField(allow_null=True, help_text="Of a new charge: the event that was reversed for it.")
    reason = serializers.CharField(allow_null=True, help_text="Why it was corrected.")


class LineAnswer(serializers.Serializer[Any]):
    """quantity × unit price = amount."""

    token_class = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_cost_usd = serializers.CharField()
    unit_price = serializers.CharField()
    amount = serializers.CharField()


class ReceiptAnswer(EventAnswer):
    """One call with everything that its amount was made of."""

    lines = LineAnswer(many=True)
    applied_rate = AppliedRateAnswer()
    cost_usd = serializers.CharField()
    formula = serializers.CharField(help_text="A sum of products that gives the amount, exactly.")
    reversed_by = serializers.UUIDField(allow_null=True)
    replaced_by = serializers.UUIDField(allow_null=True)


class WaitingAnswer(serializers.Serializer[Any]):
    """A call that has no price yet."""

    id = serializers.UUIDField()
    key = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    model = serializers.CharField()
    amount = serializers.CharField(allow_null=True, help_text="null")
    waits_for = serializers.CharField()


class EventPage(serializers.Serializer[Any]):
    data = EventAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


class TagAnswer(serializers.Serializer[Any]):
    """Which tag was summed by. Rollups know it of what was recorded while it was declared, events always."""

    name = serializers.CharField()
    read_from = serializers.ChoiceField(choices=["rollups", "events"])
    declared_since = serializers.DateTimeField(allow_null=True, help_text="null: it is not declared now.")


class UsageAnswer(serializers.Serializer[Any]):
    """Groups of a range. `totals` is the sum of all its rows."""

    zone = serializers.CharField()
    group_by = serializers.ChoiceField(choices=GROUPINGS)
    currency = serializers.CharField()
    tag = TagAnswer(required=False, help_text="With group_by=tag.")
    totals = SumAnswer()
    waiting_for_price = serializers.IntegerField(help_text="Events of this organization that have no price yet.")
    data = UsageRowAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        ends: dict[str, serializers.Field[Any, Any, Any, Any]] = {
            "from": serializers.DateTimeField(),
            "to": serializers.DateTimeField(),
        }
        return ends | super().get_fields()


class PushedEventShape(CountsAnswer):
    """One call. Counts are disjoint (reasoning inside output); leave out what is not known. `metering/pushed_events.py` decides."""

    id = serializers.CharField(max_length=200, help_text="Yours; the same id counts once within 400 days.")
    organization = serializers.CharField(required=False, help_text="Its slug; an API key may leave its own out.")
    model = serializers.CharField(max_length=200, help_text="The model that answered.")
    requested_model = serializers.CharField(required=False, max_length=200)
    occurred_at = serializers.DateTimeField(help_text="With an offset.")
    api_key = serializers.CharField(required=False, help_text="Id or prefix of one of the organization's keys.")
    upstream = serializers.CharField(required=False, max_length=64)
    cost_usd = serializers.CharField(required=False, help_text="What your upstream charged, as text.")
    tags = serializers.DictField(child=serializers.CharField(max_length=256), required=False, help_text="At most 10.")
    request_id = serializers.CharField(required=False, max_length=200)
    generation_id = serializers.CharField(required=False, max_length=200)
    attempt = serializers.IntegerField(required=False)
    status = serializers.IntegerField(required=False)
    streamed = serializers.BooleanField(required=False)
    latency_ms = serializers.IntegerField(required=False)
    first_token_ms = serializers.IntegerField(required=False)
    finish_reason = serializers.CharField(required=False, max_length=64)
    end_user = serializers.CharField(required=False, max_length=256)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for name in COUNTS:
            fields[name].required = False
        return fields


class VerdictAnswer(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=[status.value for status in Status])
    reason = serializers.CharField(required=False)
    event_id = serializers.CharField(required=False, help_text="Our id of the recorded event.")


class PushAnswer(serializers.Serializer[Any]):
    """How many of each verdict, and the verdicts in the order of the request."""

    accepted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    conflict = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = VerdictAnswer(many=True)
