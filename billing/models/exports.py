"""All that is an organization's, as one file that it asked for."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet


class DataExport(models.Model):
    """An archive that is made, or waits for it; one at a time. Its file lies below VAR_DIR/documents until `expires_at`.

    `seen_at` is when whoever makes it was last seen at it: after a while of silence another may begin anew. `done` of `total` are
    rows, so that people see how far it is.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Being made")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")
        EXPIRED = "expired", _("Expired")

    OPEN_STATUSES = (Status.WAITING, Status.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    attempts = models.PositiveSmallIntegerField(default=0)
    seen_at = models.DateTimeField(null=True)
    part = models.CharField(max_length=60, blank=True)
    """Which of its files is being written."""
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    failure = models.CharField(max_length=200, blank=True)
    path = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size = models.PositiveBigIntegerField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    objects = TenantQuerySet["DataExport"].as_manager()

    class Meta:
        verbose_name = _("data export")
        verbose_name_plural = _("data exports")
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(status__in=["waiting", "running"]), name="one_open_export"
            ),
            models.CheckConstraint(
                condition=~Q(status="ready") | (Q(size__isnull=False, expires_at__isnull=False) & ~Q(sha256="")),
                name="ready_exports_have_a_hash",
            ),
        ]
        indexes = [models.Index(fields=["organization", "-asked_at"], name="export_by_organization")]

    @property
    def percent(self) -> int:
        """How much of it is written, as far as that is known; 100 only when it is ready."""
        if self.status == self.Status.READY:
            return 100
        return min(99, self.done * 100 // self.total) if self.total else 0
