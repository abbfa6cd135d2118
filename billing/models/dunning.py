"""How customers are reminded of what they owe, which steps were taken, and who is suspended."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet


class DunningPolicy(models.Model):
    """How invoices are dunned from `since` on: an organization's own, or everybody's where `organization` is NULL. Never changed.

    Days count from the due date in the organization's zone. `suspend_after` NULL suspends nobody by itself. An own row that
    `follows_default` ends the own ones before it.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, related_name="+")
    follows_default = models.BooleanField(default=False)
    days_before_due = models.PositiveSmallIntegerField(null=True)
    overdue_days = ArrayField(models.PositiveSmallIntegerField(), default=list)
    charge_days = ArrayField(models.PositiveSmallIntegerField(), default=list)
    suspend_after = models.PositiveSmallIntegerField(null=True)
    since = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    objects = TenantQuerySet["DunningPolicy"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(overdue_days__len__lte=10) & Q(charge_days__len__lte=10), name="ten_dunning_steps_at_most"
            ),
            models.CheckConstraint(
                condition=Q(follows_default=False) | Q(organization__isnull=False), name="the_default_follows_nothing"
            ),
        ]
        indexes = [models.Index(fields=["organization", "-since"], name="dunning_policy_in_force")]


class DunningStep(models.Model):
    """A step that was taken for an invoice, or was skipped because a later one had come; once per kind and number. Never changed.

    `number` counts reminders and charges of an invoice from 1, so that moving a day in the policy repeats nothing.
    """

    class Kind(models.TextChoices):
        DUE_SOON = "due_soon", _("Reminder before the due date")
        CHARGE = "charge", _("Card charged again")
        OVERDUE = "overdue", _("Overdue reminder")
        SUSPENSION = "suspension", _("Suspension")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey("billing.Invoice", on_delete=models.PROTECT, related_name="dunning_steps")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    number = models.PositiveSmallIntegerField(default=1)
    planned_on = models.DateField()
    taken_at = models.DateTimeField()
    skipped = models.BooleanField(default=False)

    objects = TenantQuerySet["DunningStep"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "kind", "number"], name="one_dunning_step_per_invoice"),
        ]
        indexes = [models.Index(fields=["organization", "-taken_at"], name="dunning_step_by_time")]


class Suspension(models.Model):
    """That an organization's calls are refused, and why; open until `ended_at`. One at a time.

    `invoice` is the overdue one that it is for: it ends by itself when nothing is overdue any more, else by an operator's word.
    """

    class Cause(models.TextChoices):
        OVERDUE = "overdue", _("Overdue invoice")
        OPERATOR = "operator", _("Decided by an operator")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    cause = models.CharField(max_length=10, choices=Cause.choices)
    invoice = models.ForeignKey("billing.Invoice", on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=200, blank=True)
    suspended_at = models.DateTimeField()
    suspended_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    end_reason = models.CharField(max_length=200, blank=True)

    objects = TenantQuerySet["Suspension"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization"], condition=Q(ended_at=None), name="one_running_suspension"),
            models.CheckConstraint(
                condition=Q(cause="overdue", invoice__isnull=False) | Q(cause="operator") & ~Q(reason=""),
                name="suspensions_have_a_cause",
            ),
        ]
