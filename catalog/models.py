"""What is sold and at what price since when. Every price, markup and rate is an immutable dated row."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Currency, Organization, User
from accounts.tenancy import TenantQuerySet


class CostTable(models.Model):
    """An upstream's price list: OpenRouter's, or the operator's own for a self-hosted server."""

    id = models.AutoField(primary_key=True)
    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(_("name"), max_length=100)

    class Meta:
        verbose_name = _("cost table")
        verbose_name_plural = _("cost tables")

    def __str__(self) -> str:
        return self.name


class LanguageModel(models.Model):
    """A model that is or was sold. Its row and history stay after delisting. What is not known is empty, never invented."""

    id = models.AutoField(primary_key=True)
    slug = models.CharField(max_length=200, unique=True)
    page_slug = models.CharField(max_length=200, unique=True)
    cost_table = models.ForeignKey(CostTable, on_delete=models.PROTECT, related_name="language_models")
    name = models.CharField(_("name"), max_length=200)
    provider = models.CharField(_("provider"), max_length=100)
    provider_slug = models.CharField(max_length=100)
    description_en = models.TextField(_("description (English)"), blank=True)
    description_ko = models.TextField(_("description (Korean)"), blank=True)
    context_length = models.PositiveIntegerField(_("context window"), null=True, blank=True)
    max_completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    input_modalities = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    output_modalities = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    tokenizer = models.CharField(max_length=50, blank=True)
    supported_parameters = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    is_router = models.BooleanField(default=False)
    released_on = models.DateField(null=True, blank=True)
    own_fields = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    """Names of the fields above that an operator wrote: no feed changes them."""
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("language model")
        verbose_name_plural = _("language models")

    def __str__(self) -> str:
        return self.slug

    @property
    def modality(self) -> str:
        """The flow as OpenRouter writes it, `text+image->text`; empty where it is not known."""
        if not self.input_modalities or not self.output_modalities:
            return ""
        return f"{'+'.join(self.input_modalities)}->{'+'.join(self.output_modalities)}"


class CostPrice(models.Model):
    """Upstream price of one model in USD per unit, in force from `effective_from` until its successor.

    `sheet` is what is rated: {"base": {token class: decimal text}, "overrides": [...]}, net of discount and quantized to 12
    decimals; `raw` is the upstream's own text. A row without a sheet is a tombstone: from then on the model is delisted.
    """

    id = models.AutoField(primary_key=True)
    cost_table = models.ForeignKey(CostTable, on_delete=models.PROTECT, related_name="prices")
    language_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="prices")
    effective_from = models.DateTimeField()
    revision = models.PositiveSmallIntegerField(default=1, db_default=1)
    """Of two rows that begin at the same moment the higher one holds: it corrects the other, which stays."""
    sheet = models.JSONField(null=True)
    raw = models.JSONField(default=dict)
    origin = models.CharField(max_length=100)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("cost price")
        verbose_name_plural = _("cost prices")
        constraints = [
            models.UniqueConstraint(
                fields=["cost_table", "language_model", "effective_from", "revision"], name="one_cost_price_per_moment"
            ),
        ]


class PriceFeed(models.Model):
    """Where a cost table's prices come from by themselves, and how the last import went. Importers lock this row."""

    class Outcome(models.TextChoices):
        IMPORTED = "imported", _("Imported")
        UNCHANGED = "unchanged", _("Unchanged")
        REFUSED = "refused", _("Refused")
        UNREACHABLE = "unreachable", _("Unreachable")

    cost_table = models.OneToOneField(CostTable, on_delete=models.PROTECT, primary_key=True, related_name="feed")
    outcome = models.CharField(_("outcome"), max_length=20, choices=Outcome.choices, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    counts = models.JSONField(default=dict)
    """What the last good import found, by name: models, new, changed, unchanged, quarantined, missing …"""
    origin = models.CharField(max_length=100, blank=True)
    tried_at = models.DateTimeField(null=True)
    imported_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(null=True)
    url = models.CharField(max_length=500, blank=True)
    """Of the answer that `etag` and `last_modified` are about."""
    etag = models.CharField(max_length=200, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)

    class Meta:
        verbose_name = _("price feed")
        verbose_name_plural = _("price feeds")

    def __str__(self) -> str:
        return self.cost_table.name


class Upstream(models.Model):
    """A server that answers calls. `slug` is what holds and events call it; the secret stands in the environment alone.

    What it serves is charged by `cost_table`, so only models of that table can be routed to it (decision 0020).
    """

    class Kind(models.TextChoices):
        OPENROUTER = "openrouter", "OpenRouter"
        OPENAI_COMPATIBLE = "openai_compatible", _("OpenAI-compatible server")

    id = models.AutoField(primary_key=True)
    slug = models.SlugField(_("ID"), max_length=50, unique=True)
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    base_url = models.CharField(_("address"), max_length=300)
    key_variable = models.CharField(_("variable of the key"), max_length=100, blank=True)
    """Which environment variable holds the key; empty where none is needed."""
    cost_table = models.ForeignKey(CostTable, on_delete=models.PROTECT, related_name="upstreams")
    enabled = models.BooleanField(_("in use"), default=True)
    connect_seconds = models.FloatField(_("seconds to connect"), null=True, blank=True)
    first_byte_seconds = models.FloatField(_("seconds to the first byte"), null=True, blank=True)
    chunk_seconds = models.FloatField(_("seconds between chunks"), null=True, blank=True)
    total_seconds = models.FloatField(_("seconds in all"), null=True, blank=True)
    """Empty where the settings of the gateway hold."""
    connections = models.PositiveIntegerField(_("connections at most"), null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = _("upstream")
        verbose_name_plural = _("upstreams")

    def __str__(self) -> str:
        return self.name


class ModelRoute(models.Model):
    """Which upstream serves a model, under which name there, and how early it is asked (the lowest priority first).

    Without a model it serves every model of its upstream's cost table that has no route of its own.
    """

    id = models.AutoField(primary_key=True)
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT, related_name="routes")
    language_model = models.ForeignKey(
        LanguageModel, on_delete=models.PROTECT, null=True, blank=True, related_name="routes"
    )
    upstream_model = models.CharField(_("name there"), max_length=200, blank=True)
    """Empty: the model's own ID."""
    priority = models.PositiveSmallIntegerField(_("priority"), default=10)
    enabled = models.BooleanField(_("in use"), default=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = _("model route")
        verbose_name_plural = _("model routes")
        constraints = [
            models.UniqueConstraint(
                fields=["upstream", "language_model"], nulls_distinct=False, name="one_route_per_upstream_and_model"
            ),
            models.CheckConstraint(
                condition=Q(language_model__isnull=False) | Q(upstream_model=""), name="general_route_keeps_names"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.language_model or '*'} → {self.upstream}"


class UpstreamBill(models.Model):
    """What an upstream says that it charged us on a UTC day, and what our events of that day say that it did (USD)."""

    upstream = models.CharField(max_length=50)
    day = models.DateField()
    billed = models.DecimalField(max_digits=38, decimal_places=20)
    recorded = models.DecimalField(max_digits=38, decimal_places=20)
    checked_at = models.DateTimeField()

    class Meta:
        verbose_name = _("upstream's bill")
        verbose_name_plural = _("upstreams' bills")
        constraints = [models.UniqueConstraint(fields=["upstream", "day"], name="one_bill_per_upstream_and_day")]

    def __str__(self) -> str:
        return f"{self.upstream} {self.day}"


class QuarantinedPrice(models.Model):
    """A price of a feed that an operator has to judge. Until then, and if refused, what was in force stays in force.

    `raw` is what the feed says (None: the model is not in it any more), `sheet` how it would be rated (None: it could not
    be), `before` the sheet in force when it was noticed. Only the judgement is ever written into a row.
    """

    class Doubt(models.TextChoices):
        ZERO = "zero", _("Reads 0")
        JUMP = "jump", _("Changes too much")
        NEGATIVE = "negative", _("Negative")
        UNREADABLE = "unreadable", _("No number")
        ROUTER = "router", _("Router or not")
        UNPRICED_MEDIA = "unpriced_media", _("Answers in pictures or sound without a price of their own")
        BY_HAND = "by_hand", _("Differs from a price entered by hand")
        DELISTED = "delisted", _("No longer listed")
        RELISTED = "relisted", _("Listed again")
        IMPLAUSIBLE = "implausible", _("Implausible first price")

    class Status(models.TextChoices):
        OPEN = "open", _("Waiting")
        APPROVED = "approved", _("Approved")
        REFUSED = "refused", _("Refused")
        WITHDRAWN = "withdrawn", _("Withdrawn by the feed")

    cost_table = models.ForeignKey(CostTable, on_delete=models.PROTECT, related_name="quarantine")
    slug = models.CharField(_("model ID"), max_length=200)
    language_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, null=True, related_name="quarantine")
    doubt = models.CharField(_("doubt"), max_length=20, choices=Doubt.choices)
    raw = models.JSONField(null=True)
    sheet = models.JSONField(null=True)
    before = models.JSONField(null=True)
    facts = models.JSONField(default=dict)
    """Of a model that is not listed yet: what the feed knows of it."""
    origin = models.CharField(max_length=100)
    status = models.CharField(_("status"), max_length=20, choices=Status.choices, default=Status.OPEN)
    noticed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    """When the feed stopped saying so, or the price was approved: a refusal holds until then."""
    decided_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(_("reason"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("quarantined price")
        verbose_name_plural = _("quarantined prices")
        constraints = [
            models.UniqueConstraint(
                fields=["cost_table", "slug"], condition=Q(ended_at=None), name="one_standing_doubt_per_model"
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class MarkupRule(models.Model):
    """What is added to the upstream cost, as a fraction (0.1000 = 10 %). NULL ends the rule. The most specific rule wins."""

    id = models.AutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    language_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    provider_slug = models.CharField(max_length=100, blank=True)
    markup = models.DecimalField(_("markup"), max_digits=8, decimal_places=4, null=True, blank=True)
    effective_from = models.DateTimeField()
    revision = models.PositiveSmallIntegerField(default=1, db_default=1)
    """As a cost price's: the higher one corrects the other."""
    below_cost_approved = models.BooleanField(default=False)
    """Somebody decided, for the reason given, to sell for less than it costs."""
    reason = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()

    objects = TenantQuerySet["MarkupRule"].as_manager()

    class Meta:
        verbose_name = _("markup rule")
        verbose_name_plural = _("markup rules")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "language_model", "provider_slug", "effective_from", "revision"],
                name="one_markup_per_moment",
                nulls_distinct=False,
            ),
            models.CheckConstraint(condition=Q(markup=None) | Q(markup__gt=-1), name="markup_above_minus_one"),
            models.CheckConstraint(
                condition=Q(provider_slug="") | Q(language_model=None, organization=None), name="markup_target_is_one"
            ),
            models.CheckConstraint(
                condition=Q(markup=None) | Q(markup__gte=0) | (Q(below_cost_approved=True) & ~Q(reason="")),
                name="markup_below_cost_is_approved",
            ),
        ]


class ExchangeRate(models.Model):
    """How many units of `quote` one `base` costs, as published by `source` on a day; corrections are new revisions."""

    id = models.AutoField(primary_key=True)
    base = models.CharField(max_length=3, default="USD")
    quote = models.CharField(max_length=3, default="KRW")
    source = models.CharField(max_length=30)
    published_on = models.DateField()
    revision = models.PositiveSmallIntegerField(default=1)
    rate = models.DecimalField(max_digits=18, decimal_places=4)
    backdated = models.BooleanField(default=False, db_default=False)
    """A deliberate correction: it counts as if we had learned it on the day on which it was published."""
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("exchange rate")
        verbose_name_plural = _("exchange rates")
        constraints = [
            models.UniqueConstraint(
                fields=["base", "quote", "source", "published_on", "revision"], name="one_rate_per_revision"
            ),
            models.CheckConstraint(condition=Q(rate__gt=0), name="exchange_rate_positive"),
        ]


class AppliedRate(models.Model):
    """Unit prices in the billing currency and the price, band, markup and exchange rate that they come from.

    Immutable and deduplicated. What was charged is always tokens × an AppliedRate. `unit_costs` (USD) and `unit_prices`
    (`currency`) map each token class to decimal text; unit price = unit cost × (1 + markup) × exchange rate, exactly.
    """

    id = models.AutoField(primary_key=True)
    cost_price = models.ForeignKey(CostPrice, on_delete=models.PROTECT, related_name="applied_rates")
    band = models.CharField(max_length=50)
    markup_rule = models.ForeignKey(MarkupRule, on_delete=models.PROTECT, related_name="applied_rates")
    exchange_rate = models.ForeignKey(ExchangeRate, on_delete=models.PROTECT, null=True, related_name="applied_rates")
    currency = models.CharField(max_length=3, choices=Currency.choices)
    unit_costs = models.JSONField()
    unit_prices = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("applied rate")
        verbose_name_plural = _("applied rates")
        constraints = [
            models.UniqueConstraint(
                fields=["cost_price", "band", "markup_rule", "exchange_rate", "currency"],
                name="one_applied_rate_per_origin",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(currency="USD", exchange_rate=None) | Q(currency="KRW", exchange_rate__isnull=False),
                name="applied_rate_converts_to_its_currency",
            ),
        ]
