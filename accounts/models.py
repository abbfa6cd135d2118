"""Who is there: users, organizations (the tenants), members, keys, and the trail of what they did."""

from datetime import datetime
from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.business_models import BusinessStanding as BusinessStanding
from accounts.tenancy import TenantQuerySet


class UserManager(BaseUserManager["User"]):
    """Makes users; an e-mail address is kept in lower case, so that one person has one account."""

    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in: a customer's member, or (is_staff) an operator."""

    email = models.EmailField(_("email address"), unique=True)
    name = models.CharField(_("name"), max_length=100, blank=True)
    language = models.CharField(max_length=2, choices=[("ko", _("Korean")), ("en", _("English"))], default="ko")
    organization_name = models.CharField(max_length=100, blank=True)
    """What this person called their organization at sign-up; it is opened once the address is confirmed."""
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")

    OWN_FIELDS = ("email", "name", "language", "organization_name", "password", "last_login")
    """What people may change of themselves, and the site's role of the database with them. Flags are saved by name, as `system`."""

    def save(self, *args: object, **kwargs: object) -> None:
        self.email = self.email.strip().lower()
        if not self._state.adding and not args and kwargs.get("update_fields") is None:
            kwargs["update_fields"] = self.OWN_FIELDS
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def get_full_name(self) -> str:
        return self.name or self.email


class Currency(models.TextChoices):
    """Billing currencies: won, or dollars for zero-rated and out-of-scope customers."""

    KRW = "KRW", "KRW"
    USD = "USD", "USD"


class ExchangePolicy(models.TextChoices):
    """Which published rate converts a charge: the last one before the month, or the last one before the day."""

    MONTHLY = "monthly", _("Monthly")
    DAILY = "daily", _("Daily")


class Organization(models.Model):
    """The tenant and payer. Its `slug` is its public name in URLs, the API and usage events."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")
        CLOSING = "closing", _("Being closed")
        CLOSED = "closed", _("Closed")

    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(_("name"), max_length=100)
    zone = models.CharField(_("time zone"), max_length=50, default="Asia/Seoul")
    billing_currency = models.CharField(max_length=3, choices=Currency.choices, default=Currency.KRW)
    exchange_policy = models.CharField(max_length=10, choices=ExchangePolicy.choices, default=ExchangePolicy.MONTHLY)
    language = models.CharField(max_length=2, choices=[("ko", _("Korean")), ("en", _("English"))], default="ko")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField()
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens a minute"), null=True, blank=True)
    """Of all its keys together, at the gateway; NULL is what the settings say (RATE_LIMIT_REQUESTS, RATE_LIMIT_TOKENS)."""
    closes_at = models.DateTimeField(null=True, blank=True)
    """From when on it uses nothing: its keys end then, and no usage of later is taken. NULL: nobody asked for its closure."""
    readable_until = models.DateTimeField(null=True, blank=True)
    """Of a closed one: how long its members may still read and export."""

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(status__in=["closing", "closed"]) | models.Q(closes_at__isnull=False),
                name="what_closes_has_a_moment",
            ),
            models.CheckConstraint(
                condition=models.Q(billing_currency__in=Currency.values), name="organization_currency_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_ended(self) -> bool:
        """Whether its usage is over for good: it settles what is left, or has done so."""
        return self.status in (self.Status.CLOSING, self.Status.CLOSED)

    def is_out_of_sight(self, *, now: datetime) -> bool:
        """Whether even its members do not see it any more."""
        return self.readable_until is not None and self.readable_until <= now


class Role(models.TextChoices):
    """What a member may do, from all to looking only."""

    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    BILLING = "billing", _("Billing manager")
    DEVELOPER = "developer", _("Developer")
    VIEWER = "viewer", _("Viewer")


class Membership(models.Model):
    """A user's place in an organization."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=Role.choices)
    created_at = models.DateTimeField()

    objects = TenantQuerySet["Membership"].as_manager()

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints = [models.UniqueConstraint(fields=["organization", "user"], name="one_membership_per_user")]


class Invitation(models.Model):
    """A place that is kept for the holder of an e-mail address. Its token is in the mail only; here is its digest.

    It is open until it is accepted, canceled or expired, and never opens again; sending it anew gives it another token.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="invitations")
    email = models.EmailField(_("email address"))
    role = models.CharField(_("role"), max_length=10, choices=Role.choices)
    nonce = models.CharField(max_length=32)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    invited_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    canceled_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Invitation"].as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "email"],
                condition=models.Q(accepted_at=None, canceled_at=None),
                name="one_pending_invitation_per_address",
            ),
        ]


class TagDeclaration(models.Model):
    """The tags by whose values an organization's usage is summed, from `declared_at` until the next declaration. Never changed."""

    LONGEST_KEY = 64

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    keys = ArrayField(models.CharField(max_length=LONGEST_KEY))
    declared_at = models.DateTimeField()
    declared_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    objects = TenantQuerySet["TagDeclaration"].as_manager()

    class Meta:
        indexes = [models.Index(fields=["organization", "-id"], name="tags_by_organization")]
        constraints = [models.CheckConstraint(condition=models.Q(keys__len__lte=3), name="three_tags_at_most")]


class TaxTreatment(models.TextChoices):
    """How VAT applies to what an organization buys (reference: Korean VAT act; standard unless evidence is kept)."""

    STANDARD = "standard", _("Standard (10%)")
    ZERO_RATED = "zero_rated", _("Zero-rated")
    OUT_OF_SCOPE = "out_of_scope", _("Out of scope")


class BillingProfile(models.Model):
    """The buyer's details that an invoice prints; snapshotted when it is finalized.

    `pays_by` decides which proof invoices get that are not charged to a card by themselves. `tax_evidence` says what proves a
    treatment that is not the standard one, and where it is kept.
    """

    class PaysBy(models.TextChoices):
        TRANSFER = "transfer", _("Bank transfer, with a tax invoice for businesses")
        CARD = "card", _("Card; its slip is the proof")

    class Prices(models.TextChoices):
        SITE = "", _("As on the site")
        EXCLUSIVE = "exclusive", _("VAT excluded")
        INCLUSIVE = "inclusive", _("VAT included")

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="billing_profile"
    )
    legal_name = models.CharField(_("company name"), max_length=100, blank=True)
    registration_number = models.CharField(_("business registration number"), max_length=12, blank=True)
    representative = models.CharField(_("representative"), max_length=50, blank=True)
    address = models.CharField(_("address"), max_length=200, blank=True)
    business_type = models.CharField(_("business type"), max_length=50, blank=True)
    business_item = models.CharField(_("business item"), max_length=50, blank=True)
    contact_name = models.CharField(_("billing contact"), max_length=50, blank=True)
    contact_email = models.EmailField(_("billing email"), blank=True)
    po_number = models.CharField(_("PO number"), max_length=50, blank=True)
    """The buyer's own number of the order (발주번호); invoices repeat it."""
    tax_treatment = models.CharField(max_length=12, choices=TaxTreatment.choices, default=TaxTreatment.STANDARD)
    tax_evidence = models.CharField(_("evidence"), max_length=300, blank=True)
    pays_by = models.CharField(
        _("how invoices are paid"), max_length=8, choices=PaysBy.choices, default=PaysBy.TRANSFER
    )
    prices = models.CharField(
        _("prices are shown"), max_length=9, choices=Prices.choices, blank=True, default=Prices.SITE
    )
    grace_hours = models.PositiveSmallIntegerField(_("hours after the month's end before it is invoiced"), default=24)

    objects = TenantQuerySet["BillingProfile"].as_manager()

    class Meta:
        verbose_name = _("billing profile")
        verbose_name_plural = _("billing profiles")


class Scope(models.TextChoices):
    """What an API key may be used for."""

    INFERENCE = "inference", _("Call models")
    USAGE_READ = "usage:read", _("Read usage and estimates")
    USAGE_WRITE = "usage:write", _("Report usage")
    KEYS = "keys", _("Manage API keys")


class SecretKey(models.Model):
    """What API keys and service keys share: a secret shown once, of which only a digest and a prefix are kept."""

    name = models.CharField(_("name"), max_length=60)
    prefix = models.CharField(max_length=16)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class ApiKey(SecretKey):
    """An organization's key to the gateway and the REST API. Its spend limits are the ledger's."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="api_keys")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope.choices))
    allowed_models = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens a minute"), null=True, blank=True)
    """Of this key alone, beside what its organization may; NULL is no limit of its own."""
    rotated_at = models.DateTimeField(null=True, blank=True)
    previous_prefix = models.CharField(max_length=16, blank=True)
    previous_digest = models.BinaryField(max_length=32, unique=True, null=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True)
    """The secret before the last rotation, and how long it still works. The key itself – id, usage, limits – stays the same."""

    objects = TenantQuerySet["ApiKey"].as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        indexes = [models.Index(fields=["organization", "-created_at"], name="api_key_by_organization")]
        constraints = [
            models.UniqueConstraint(fields=["organization", "id"], name="api_key_of_organization"),
            models.CheckConstraint(
                condition=models.Q(previous_digest=None, previous_until=None)
                | models.Q(previous_digest__isnull=False, previous_until__isnull=False),
                name="previous_secret_has_an_end",
            ),
        ]


class Source(models.Model):
    """Who reports usage: the built-in gateway, an organization's own program, or a foreign gateway.

    Deduplication is per (organization, source, key); service keys belong to a source, so rotating a key doubles nothing.
    """

    GATEWAY = "gateway"
    API = "api"

    id = models.AutoField(primary_key=True)
    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(_("name"), max_length=100)
    all_organizations = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("usage source")
        verbose_name_plural = _("usage sources")

    def __str__(self) -> str:
        return self.name


class SourceOrganization(models.Model):
    """An organization that a source may report for."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="allowed")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")

    objects = TenantQuerySet["SourceOrganization"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "organization"], name="one_permission_per_source")]


class ServiceKey(SecretKey):
    """A source's key: may push usage events, nothing else."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="service_keys")
    last_used_at = models.DateTimeField(null=True, blank=True)
    """To the minute."""

    class Meta:
        verbose_name = _("service key")
        verbose_name_plural = _("service keys")


class Consent(models.Model):
    """That a user agreed to a version of a document, and when. Never changed."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="consents")
    document = models.CharField(
        max_length=10, choices=[("terms", _("Terms of service")), ("privacy", _("Privacy policy"))]
    )
    version = models.CharField(max_length=20)
    given_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "document", "version"], name="one_consent_per_version")]


class AuditEntry(models.Model):
    """Who did what to whom: one line of the audit log, never changed."""

    at = models.DateTimeField()
    actor = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=200, blank=True)
    detail = models.JSONField(default=dict)

    objects = TenantQuerySet["AuditEntry"].as_manager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        indexes = [models.Index(fields=["organization", "-at"], name="audit_by_organization")]


class Alarm(models.Model):
    """Something an operator must know of and see to: open until what raised it finds it over."""

    kind = models.CharField(_("kind"), max_length=40)
    subject = models.CharField(_("subject"), max_length=200)
    summary = models.CharField(_("summary"), max_length=500)
    detail = models.JSONField(default=dict)
    raised_at = models.DateTimeField(_("raised"))
    last_seen_at = models.DateTimeField(_("last seen"))
    cleared_at = models.DateTimeField(_("cleared"), null=True)

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=models.Q(cleared_at=None), name="one_open_alarm_per_subject"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"
