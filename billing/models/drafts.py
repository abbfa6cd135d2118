"""What an invoice would say, for an operator to look at before it is issued. Customers never see it."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Currency, Organization, User
from accounts.tenancy import TenantQuerySet
from billing.models.terms import BillingTerms
from ledger.models import BillingPeriod, money_field


class InvoiceDraft(models.Model):
    """A month that is charged no more, as its invoice would be. Never changed but in its status; made anew it is another row.

    `lines` are the fields of the invoice's lines (kind, model, token_class, service_month, quantity, unit_price …), all text.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", _("To be reviewed")
        SUPERSEDED = "superseded", _("Made anew")
        APPROVED = "approved", _("Approved")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="invoice_drafts")
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="invoice_drafts")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    terms = models.ForeignKey(BillingTerms, on_delete=models.PROTECT, null=True, related_name="+")
    po_number = models.CharField(_("PO number"), max_length=50, blank=True)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    tax_rate = models.DecimalField(max_digits=5, decimal_places=4)
    subtotal = models.DecimalField(max_digits=18, decimal_places=2)
    tax = models.DecimalField(max_digits=18, decimal_places=2)
    total = models.DecimalField(max_digits=18, decimal_places=2)
    exact_subtotal = money_field()
    lines = models.JSONField()
    reason = models.CharField(max_length=200, blank=True)
    """Why it was made anew."""
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField()
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)

    objects = TenantQuerySet["InvoiceDraft"].as_manager()

    class Meta:
        verbose_name = _("invoice draft")
        verbose_name_plural = _("invoice drafts")
        constraints = [
            models.UniqueConstraint(
                fields=["period"], condition=Q(status="waiting"), name="one_waiting_draft_per_period"
            ),
            models.CheckConstraint(
                condition=Q(total=models.F("subtotal") + models.F("tax")), name="draft_total_is_subtotal_and_tax"
            ),
        ]
