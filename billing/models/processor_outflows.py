"""Money that left at a processor without a refund of ours."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet
from billing.models.money_fields import minor_unit_field
from billing.processors.interface import OutflowKind


class ProcessorOutflow(models.Model):
    """A refund that somebody made at the processor's own desk, or a dispute by which a card's bank takes money back.

    Nothing is booked of it: an operator looks, books what is right, and notes that here. Its status is the processor's word.
    """

    class Kind(models.TextChoices):
        REFUND = OutflowKind.REFUND, _("Refund made at the processor")
        DISPUTE = OutflowKind.DISPUTE, _("Dispute")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    payment = models.ForeignKey("billing.Payment", on_delete=models.PROTECT, related_name="outflows")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    processor = models.CharField(max_length=20)
    reference = models.CharField(max_length=255)
    amount = minor_unit_field()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=40)
    reason = models.CharField(max_length=100, blank=True)
    noticed_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    settlement = models.CharField(_("what was done"), max_length=200, blank=True)

    objects = TenantQuerySet["ProcessorOutflow"].as_manager()

    class Meta:
        verbose_name = _("outflow at the processor")
        verbose_name_plural = _("outflows at the processor")
        constraints = [
            models.UniqueConstraint(fields=["processor", "reference"], name="one_outflow_per_reference"),
        ]
        indexes = [models.Index(fields=["organization", "-noticed_at"], name="outflow_by_organization")]

    def __str__(self) -> str:
        return self.reference
