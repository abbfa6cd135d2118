"""Paid credit that nobody used and that goes back to the customer."""

import uuid
from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet
from ledger.models import CreditUse


class CreditPayout(models.Model):
    """What was taken out of one paid credit to be sent back, by `refunds`. Never changed; its amount is the credit use's.

    `key` names whose wish it is of and the credit, so a form that is sent twice takes it once.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    credit_use = models.OneToOneField(CreditUse, on_delete=models.PROTECT, related_name="payout")
    key = models.CharField(max_length=100)
    currency = models.CharField(max_length=3)
    reason = models.CharField(_("reason"), max_length=200)
    taken_at = models.DateTimeField()
    taken_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    objects = TenantQuerySet["CreditPayout"].as_manager()

    class Meta:
        verbose_name = _("credit refund")
        verbose_name_plural = _("credit refunds")
        constraints = [
            models.UniqueConstraint(fields=["organization", "id"], name="payout_of_organization"),
            models.UniqueConstraint(fields=["organization", "key"], name="one_payout_per_key"),
        ]
        indexes = [models.Index(fields=["organization", "-taken_at"], name="payout_by_organization")]

    def __str__(self) -> str:
        return self.credit_use.grant.reason

    @property
    def to_refund(self) -> Decimal:
        """What is set aside, tax included."""
        amount: Decimal = self.credit_use.amount
        return amount

    @property
    def purpose(self) -> str:
        """What the audit log says is given back: the key of the credit."""
        return self.credit_use.grant.key
