"""Money on its way back to the customer."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet
from billing.models.credit_notes import CreditNote
from billing.models.credit_payouts import CreditPayout
from billing.models.money_fields import minor_unit_field
from billing.processors import bank_transfer


class Refund(models.Model):
    """One attempt to give back what a credit note or a credit payout set aside, from one payment. Its row and key are committed
    before the processor is called.

    `unknown`: no answer came (yet), which blocks another of the same payment until it is looked up. What a bank sent back by hand
    is `succeeded` from the start, its `reference` what the statement calls it; it has no payment where the credit that goes back
    came in without one. A bank may send a succeeded one back: it fails then. One that we took for failed may have succeeded after
    all; `excess` is how much of it was sent back another way meanwhile, so that the customer has it twice.
    """

    class Status(models.TextChoices):
        UNKNOWN = "unknown", _("Unknown")
        PENDING = "pending", _("Pending")
        SUCCEEDED = "succeeded", _("Refunded")
        FAILED = "failed", _("Failed")

    OPEN_STATUSES = (Status.UNKNOWN, Status.PENDING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    payment = models.ForeignKey("billing.Payment", on_delete=models.PROTECT, null=True, related_name="refunds")
    credit_note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, null=True, related_name="refunds")
    credit_payout = models.ForeignKey(CreditPayout, on_delete=models.PROTECT, null=True, related_name="refunds")
    processor = models.CharField(max_length=20)
    amount = minor_unit_field()
    excess = minor_unit_field(default=0)
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=10, choices=Status.choices)
    idempotency_key = models.CharField(max_length=150, unique=True)
    reference = models.CharField(max_length=255, blank=True)
    failure = models.CharField(max_length=200, blank=True)
    sent_on = models.DateField(null=True, blank=True)
    """Of what was sent by hand: the day that the statement names."""
    started_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Refund"].as_manager()

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        constraints = [
            models.UniqueConstraint(
                fields=["payment"], condition=Q(status__in=["unknown", "pending"]), name="one_open_refund_per_payment"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_positive"),
            models.CheckConstraint(condition=Q(excess__gte=0, excess__lte=F("amount")), name="refund_excess_is_of_it"),
            models.CheckConstraint(
                condition=Q(credit_note=None, credit_payout__isnull=False)
                | Q(credit_note__isnull=False, credit_payout=None),
                name="refund_of_a_note_or_a_payout",
            ),
            models.CheckConstraint(
                condition=Q(payment__isnull=False) | Q(processor=bank_transfer.NAME, credit_note=None),
                name="refund_without_payment_by_hand",
            ),
        ]
        indexes = [models.Index(fields=["organization", "-created_at"], name="refund_by_organization")]

    @property
    def origin(self) -> CreditNote | CreditPayout:
        """What set its money aside."""
        found = self.credit_note or self.credit_payout
        assert found is not None, "a constraint guards it"
        return found

    @property
    def origin_id(self) -> uuid.UUID:
        found = self.credit_note_id or self.credit_payout_id
        assert found is not None, "a constraint guards it"
        return found
