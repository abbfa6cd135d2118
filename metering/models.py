"""What was used. Events, their keys, waiting usage and rollups are hot tables: made by SQL, keyed by organization, without foreign
keys or triggers.

An event's `id` is a UUIDv7 whose timestamp is `occurred_at`; events are partitioned by month of that id, so the id alone
finds the row, and the primary key lists an organization's events in the order in which they happened.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantQuerySet
from ledger.models import money_field


class EventKind(models.IntegerChoices):
    USAGE = 1, _("Usage")
    REVERSAL = 2, _("Reversal")


class Evidence(models.IntegerChoices):
    """How the counts are known."""

    REPORTED = 1, _("Reported")
    RECOVERED = 2, _("Recovered")
    ESTIMATED = 3, _("Estimated")
    WAIVED = 4, _("Waived")


class TokenCounts(models.Model):
    """Disjoint counts of one event; reasoning is inside output. NULL is unknown, never 0."""

    input_tokens = models.IntegerField(null=True)
    cache_read_tokens = models.IntegerField(null=True)
    cache_write_tokens = models.IntegerField(null=True)
    cache_write_1h_tokens = models.IntegerField(null=True)
    output_tokens = models.IntegerField(null=True)
    reasoning_tokens = models.IntegerField(null=True)
    audio_input_tokens = models.IntegerField(null=True)
    audio_cache_read_tokens = models.IntegerField(null=True)
    audio_output_tokens = models.IntegerField(null=True)
    image_input_tokens = models.IntegerField(null=True)
    image_output_tokens = models.IntegerField(null=True)
    images = models.IntegerField(null=True)
    searches = models.IntegerField(null=True)
    requests = models.IntegerField(default=1)

    class Meta:
        abstract = True


class UsageEvent(TokenCounts):
    """What happened and what it costs, in one immutable row. `cost` is USD at the cost table, `amount` the charge before tax.

    A reversal is the exact negative of another event, at the same moment; what replaces that one repeats its counts at another
    rate. Both carry its key; see `reversing`.
    """

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.BigIntegerField()
    id = models.UUIDField()
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    period_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField(null=True)
    source_id = models.IntegerField()
    model_id = models.IntegerField()
    requested_model_id = models.IntegerField(null=True)
    applied_rate_id = models.IntegerField()
    kind = models.SmallIntegerField(choices=EventKind.choices, default=EventKind.USAGE)
    evidence = models.SmallIntegerField(choices=Evidence.choices, default=Evidence.REPORTED)
    status = models.SmallIntegerField(null=True)
    attempt = models.SmallIntegerField(null=True)
    streamed = models.BooleanField(null=True)
    latency_ms = models.IntegerField(null=True)
    first_token_ms = models.IntegerField(null=True)
    reverses_id = models.UUIDField(null=True)
    """Of a reversal: the event that it takes back."""
    replaces_id = models.UUIDField(null=True)
    """Of an event that was charged anew: the one that was reversed for it."""
    actor_id = models.BigIntegerField(null=True)
    """Of both: who had it corrected; NULL is the system. `reason` says why."""
    cost = money_field()
    amount = money_field()
    reported_cost = money_field(null=True)
    key = models.TextField()
    request_id = models.TextField(null=True)
    generation_id = models.TextField(null=True)
    upstream = models.TextField(null=True)
    finish_reason = models.TextField(null=True)
    end_user = models.TextField(null=True)
    reason = models.TextField(null=True)
    tags = models.JSONField(null=True)
    tag_1 = models.TextField(null=True)
    tag_2 = models.TextField(null=True)
    tag_3 = models.TextField(null=True)
    """Under which declared tags it is summed (`rollup_tags`): what its rollup says, NULL where that has ''."""

    objects = TenantQuerySet["UsageEvent"].as_manager()

    class Meta:
        managed = False
        db_table = "metering_usageevent"

    @property
    def is_reported(self) -> bool:
        """Whether the counts came with the answer; any other evidence is named wherever the event is shown."""
        return self.evidence == Evidence.REPORTED


class EventKey(models.Model):
    """The unique row that is the deduplication, written in the transaction of its event. Not partitioned: one id counts once
    whatever its timestamp. `key_digest` stands for (source, key), see docs/decisions; `payload_digest` tells a repetition
    from a conflict."""

    pk = models.CompositePrimaryKey("organization_id", "key_digest")
    organization_id = models.BigIntegerField()
    key_digest = models.UUIDField()
    event_id = models.UUIDField()
    payload_digest = models.UUIDField()

    objects = TenantQuerySet["EventKey"].as_manager()

    class Meta:
        managed = False
        db_table = "metering_eventkey"


class UnratedUsage(models.Model):
    """An event whose model or price is not known yet. It waits, visible, and is rated when the price arrives. `report` holds its
    normalized fields (never a prompt)."""

    pk = models.CompositePrimaryKey("organization_id", "event_id")
    organization_id = models.BigIntegerField()
    event_id = models.UUIDField()
    source_id = models.IntegerField()
    key = models.TextField()
    model = models.TextField()
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    reason = models.TextField()
    report = models.JSONField()

    objects = TenantQuerySet["UnratedUsage"].as_manager()

    class Meta:
        managed = False
        db_table = "metering_unratedusage"


class CorrectionAction(models.IntegerChoices):
    VOID = 1, _("Void")
    AMEND = 2, _("Amend")


class UsageCorrection(models.Model):
    """That a reporter took an event back or changed it: why, and by which key. An event is voided once and amended once at most.

    `event_id` is the event that was reversed for it. Of one that still waited for a price, which is no charge to reverse, `report`
    keeps what had been told.
    """

    pk = models.CompositePrimaryKey("organization_id", "event_id", "action")
    organization_id = models.BigIntegerField()
    event_id = models.UUIDField()
    action = models.SmallIntegerField(choices=CorrectionAction.choices)
    corrected_at = models.DateTimeField()
    service_key_id = models.BigIntegerField(null=True)
    api_key_id = models.BigIntegerField(null=True)
    reason = models.TextField()
    report = models.JSONField(null=True)

    objects = TenantQuerySet["UsageCorrection"].as_manager()

    class Meta:
        managed = False
        db_table = "metering_usagecorrection"


class CreditedUsage(models.Model):
    """That a document (its number) gave back charges of a closed period, by applied rate: `credited_usage`. Never changed."""

    pk = models.CompositePrimaryKey("organization_id", "period_id", "applied_rate_id")
    organization_id = models.BigIntegerField()
    period_id = models.BigIntegerField()
    applied_rate_id = models.IntegerField()
    document = models.TextField()

    objects = TenantQuerySet["CreditedUsage"].as_manager()

    class Meta:
        managed = False
        db_table = "metering_creditedusage"


class UsageArchive(models.Model):
    """The events of an organization in a UTC month as one Parquet file, proven against the database before their partition went.

    What the file must be is noted here: its bytes (`size`, `sha256`), the first and last id, count, digest and sums of its events,
    `amount` in `currency`. Immutable from when the month is detached (`ArchivedMonth`); before, a new export replaces it.
    """

    pk = models.CompositePrimaryKey("organization_id", "month")
    organization_id = models.BigIntegerField()
    month = models.DateField()
    archived_at = models.DateTimeField()
    first_id = models.UUIDField()
    last_id = models.UUIDField()
    event_count = models.BigIntegerField()
    event_digest = models.BigIntegerField()
    cost = money_field()
    amount = money_field()
    currency = models.TextField()
    size = models.BigIntegerField()
    sha256 = models.TextField()

    objects = TenantQuerySet["UsageArchive"].as_manager()

    class Meta:
        managed = False
        db_table = "metering_usagearchive"


class PeriodSums(models.Model):
    """What events of one period add up to.

    `event_digest` is the XOR of the low 64 bits of the ids of the events: equal digests mean the same set of events, equal sums the
    same content.
    """

    organization_id = models.BigIntegerField()
    period_id = models.BigIntegerField()
    event_count = models.BigIntegerField()
    event_digest = models.BigIntegerField()
    cost = money_field()
    amount = money_field()
    input_tokens = models.BigIntegerField()
    cache_read_tokens = models.BigIntegerField()
    cache_write_tokens = models.BigIntegerField()
    cache_write_1h_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    audio_input_tokens = models.BigIntegerField()
    audio_cache_read_tokens = models.BigIntegerField()
    audio_output_tokens = models.BigIntegerField()
    image_input_tokens = models.BigIntegerField()
    image_output_tokens = models.BigIntegerField()
    images = models.BigIntegerField()
    searches = models.BigIntegerField()
    requests = models.BigIntegerField()

    class Meta:
        abstract = True


class ProvenDay(PeriodSums):
    """What the rollups of a day of usage, in the period's zone, added up to when they were proven to be the sums of its events.

    A close reads no event of a day whose rollups still add up to that.
    """

    pk = models.CompositePrimaryKey("organization_id", "period_id", "day")
    day = models.DateField()
    proven_at = models.DateTimeField()

    objects = TenantQuerySet["ProvenDay"].as_manager()

    class Meta:
        managed = False
        db_table = "metering_provenday"


class UsageSums(PeriodSums):
    """The sums of events with the same price, key and declared tags, too. `api_key_id` 0 is "no key"."""

    api_key_id = models.BigIntegerField(default=0)
    model_id = models.IntegerField()
    applied_rate_id = models.IntegerField()
    tag_1 = models.TextField(default="")
    tag_2 = models.TextField(default="")
    tag_3 = models.TextField(default="")

    class Meta:
        abstract = True


class ArchivedSum(UsageSums):
    """What the events of an archive add up to, as its rollups do but for the hour: what these are still audited against."""

    pk = models.CompositePrimaryKey(
        "organization_id", "month", "period_id", "api_key_id", "model_id", "applied_rate_id", "tag_1", "tag_2", "tag_3"
    )
    month = models.DateField()

    objects = TenantQuerySet["ArchivedSum"].as_manager()

    class Meta:
        managed = False
        db_table = "metering_archivedsum"


class ArchivedMonth(models.Model):
    """That the partition of a UTC month was detached: its events are in files only. Written by database functions, of no tenant."""

    month = models.DateField(primary_key=True)
    event_count = models.BigIntegerField()
    event_digest = models.BigIntegerField()
    cost = money_field()
    amount = money_field()
    detached_at = models.DateTimeField()
    dropped_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "metering_archivedmonth"


class UsageRollup(UsageSums):
    """Hourly sums per organization, period, key, model, applied rate and declared tags. Rebuildable from events.

    `hour` starts on the full hour of the organization's zone.
    """

    pk = models.CompositePrimaryKey(
        "organization_id", "period_id", "hour", "api_key_id", "model_id", "applied_rate_id", "tag_1", "tag_2", "tag_3"
    )
    hour = models.DateTimeField()

    objects = TenantQuerySet["UsageRollup"].as_manager()

    class Meta:
        managed = False
        db_table = "metering_usagerollup"
