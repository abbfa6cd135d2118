"""Samples of mails that operators had sent to themselves."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User


class SampleMail(models.Model):
    """A sample (`mail_samples`) on its way to the operator who asked for it, at the address they had then. No customer's."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    operator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recipient = models.EmailField()
    sample = models.CharField(max_length=80)
    language = models.CharField(max_length=2)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["operator", "-created_at"], name="sample_mail_by_operator"),
            models.Index(fields=["next_attempt_at"], condition=Q(status="waiting"), name="sample_mail_waiting"),
        ]
