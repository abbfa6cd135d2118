"""What the tax office says of the registration numbers that organizations have entered."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.registry.interface import BusinessState
from accounts.tenancy import TenantQuerySet


class BusinessStanding(models.Model):
    """Of one number of one organization: the last answer and when it came. Without `checked_at` nobody has answered yet.

    `asked_at` is when somebody last tried, in vain or not. Rows of numbers that the organization does not use any more stay.
    """

    class State(models.TextChoices):
        UNCHECKED = "", _("Not checked yet")
        ACTIVE = BusinessState.ACTIVE.value, _("In business")
        SUSPENDED = BusinessState.SUSPENDED.value, _("Business suspended")
        CLOSED = BusinessState.CLOSED.value, _("Business closed")
        UNREGISTERED = BusinessState.UNREGISTERED.value, _("Not registered at the tax office")

    STOPPED = (State.SUSPENDED, State.CLOSED, State.UNREGISTERED)
    """In these no tax invoice is issued."""

    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    number = models.CharField(max_length=12)
    state = models.CharField(max_length=12, choices=State.choices, blank=True, default=State.UNCHECKED)
    tax_type = models.CharField(max_length=100, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["BusinessStanding"].as_manager()

    class Meta:
        verbose_name = _("standing of a business")
        verbose_name_plural = _("standings of businesses")
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="one_standing_per_number"),
        ]
        indexes = [models.Index(fields=["asked_at"], name="standing_by_question")]

    @property
    def is_stopped(self) -> bool:
        return self.state in self.STOPPED
