"""That an organization is closed: asked for, carried out at its moment, settled."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet


class Closure(models.Model):
    """One wish to close an organization, and how far it is. One at a time, and none after the one that was carried out.

    `closes_at` is the moment from which on nothing is used; `ended_at` when that was carried out (keys, invitations, the month),
    `closed_at` when nothing was owed or held any more.
    """

    class Status(models.TextChoices):
        ASKED = "asked", _("To be closed")
        SETTLING = "settling", _("Settling")
        CLOSED = "closed", _("Closed")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="closures")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ASKED)
    at_once = models.BooleanField()
    by_operator = models.BooleanField()
    reason = models.CharField(max_length=200, blank=True)
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    closes_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    objects = TenantQuerySet["Closure"].as_manager()

    class Meta:
        verbose_name = _("closure")
        verbose_name_plural = _("closures")
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=~Q(status="withdrawn"), name="one_closure_per_organization"
            ),
            models.CheckConstraint(condition=Q(by_operator=False) | ~Q(reason=""), name="operators_close_for_a_reason"),
            models.CheckConstraint(
                condition=Q(status="asked", ended_at=None, closed_at=None, withdrawn_at=None)
                | Q(status="settling", ended_at__isnull=False, closed_at=None, withdrawn_at=None)
                | Q(status="closed", ended_at__isnull=False, closed_at__isnull=False, withdrawn_at=None)
                | Q(status="withdrawn", ended_at=None, closed_at=None, withdrawn_at__isnull=False),
                name="closure_goes_step_by_step",
            ),
        ]
