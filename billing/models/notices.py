"""What customers are told about their spending: notices, and the endpoints that hear of them beside people's mailboxes."""

import uuid
from urllib.parse import urlsplit

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet
from ledger.models import money_field

HTTP = "http_"


class Notice(models.Model):
    """That something worth telling was seen: once per `key`, in the transaction that queues its mails and webhooks.

    `data` is what webhooks carry (money as text, tax included). `ended_at`: of low credit, when there was enough again.
    """

    class Kind(models.TextChoices):
        LIMIT_THRESHOLD = "limit.threshold", _("Spend limit: a share is used")
        LIMIT_REFUSING = "limit.refusing", _("Spend limit: calls are refused")
        CREDIT_LOW = "credit.low", _("Credit is low")
        KEY_CREATED = "key.created", _("A key was made")
        KEY_STOPPED = "key.stopped", _("A key was stopped")
        CREDIT_NOTE_ISSUED = "credit_note.issued", _("A credit note was issued")
        REFUND_SUCCEEDED = "refund.succeeded", _("Money was sent back")
        SUSPENDED = "account.suspended", _("The organization was suspended")
        RESTORED = "account.restored", _("The organization may call again")
        CLOSURE_ASKED = "closure.asked", _("The organization will be closed")
        CLOSURE_WITHDRAWN = "closure.withdrawn", _("The organization is not closed after all")
        CLOSING = "account.closing", _("The organization uses nothing any more")
        CLOSED = "account.closed", _("The organization is closed")
        WEBHOOK_DISABLED = "webhook.disabled", _("A webhook was switched off")
        WEBHOOK_TEST = "webhook.test", _("Test")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    key = models.CharField(max_length=150)
    data = models.JSONField()
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Notice"].as_manager()

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = [
            models.UniqueConstraint(fields=["organization", "key"], name="one_notice_per_key"),
            models.UniqueConstraint(fields=["organization", "id"], name="notice_of_organization"),
            models.UniqueConstraint(
                fields=["organization"], condition=Q(kind="credit.low", ended_at=None), name="one_running_low_credit"
            ),
        ]


class NoticeSetting(models.Model):
    """Below what credit an organization wants to hear of it, tax included; 0 is never. Without a row the default holds."""

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="notice_setting"
    )
    low_credit = money_field()

    objects = TenantQuerySet["NoticeSetting"].as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(low_credit__gte=0), name="low_credit_not_negative")]


class WebhookEndpoint(models.Model):
    """Where an organization's own program hears of notices. Its secret is derived from `nonce` (`webhook_endpoints.secrets_of`)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    url = models.CharField(max_length=500)
    nonce = models.CharField(max_length=32)
    previous_nonce = models.CharField(max_length=32, blank=True, default="")
    """Of the secret before the last rotation. It signs, too, before `previous_until`."""
    previous_until = models.DateTimeField(null=True, blank=True)
    rotated_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    failing_since = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["WebhookEndpoint"].as_manager()

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        constraints = [models.UniqueConstraint(fields=["organization", "id"], name="webhook_of_organization")]

    @property
    def host_url(self) -> str:
        """Without path and query, either of which may be a secret: for the audit log, which is kept for good."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{'/…' if parts.path.strip('/') or parts.query else ''}"

    @property
    def bare_url(self) -> str:
        """Without the query, which may hold a token: for those who may look but not change, and for logs."""
        return self.url.partition("?")[0]


class WebhookDelivery(models.Model):
    """That an endpoint must hear of a notice, at least once, under the notice's id."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Failed")

    class Failure(models.TextChoices):
        """Why the last attempt failed. Beside these there is `http_` and the status that was answered."""

        UNREACHABLE = "could_not_connect", _("Could not connect.")
        CERTIFICATE = "certificate_refused", _("Its certificate is not valid.")
        TIMED_OUT = "timed_out", _("It did not answer in time.")
        REFUSED = "address_refused", _("We do not call this address.")
        REDIRECTED = "redirected", _("It redirected the call; redirects are not followed.")
        UNREADABLE = "answer_unreadable", _("Its answer broke off, was too long or no proper HTTP.")
        OTHER = "failed", _("The call failed.")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    notice = models.ForeignKey(Notice, on_delete=models.PROTECT, related_name="deliveries")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["WebhookDelivery"].as_manager()

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        constraints = [models.UniqueConstraint(fields=["endpoint", "notice"], name="one_delivery_per_endpoint")]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="waiting"), name="delivery_waiting"),
        ]

    @property
    def failure(self) -> str:
        """The last attempt's Failure, `http_503` for another status, or nothing. No text of a system's error, nor an address."""
        if not self.last_error or self.last_error in self.Failure.values or self._answered:
            return self.last_error
        return self.Failure.OTHER

    @property
    def failure_words(self) -> str:
        """The same in words."""
        if self._answered:
            return gettext("It answered with status %(status)s.") % {"status": self._answered}
        return str(self.Failure(self.failure).label) if self.failure else ""

    @property
    def _answered(self) -> str:
        status = self.last_error.removeprefix(HTTP)
        return status if self.last_error.startswith(HTTP) and status.isdecimal() else ""
