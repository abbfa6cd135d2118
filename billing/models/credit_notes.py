"""What corrects a final invoice: notes that take back all or part of it, and the write-off of what nobody will pay."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Currency, Organization, User
from accounts.tenancy import TenantQuerySet
from billing.models.money_fields import minor_unit_field


class CreditNote(models.Model):
    """Takes back all or part of one final invoice. Never changed; a mistake in it is corrected by the invoices to come.

    Amounts are above zero and count as what the customer gets back: `total` = `applied` (less to pay on the invoice) + `to_credit`
    (was paid, becomes credit) + `to_refund` (was paid, is sent back) + `credit_returned` (was paid by credit, is credit again).
    Seller, buyer and language are the invoice's own.
    """

    class ReasonCode(models.TextChoices):
        """Why, as an amended tax invoice names it (korea.md)."""

        CORRECTION = "01", _("Correction of an entry")
        VALUE_CHANGE = "02", _("Change of the supply value")
        RETURN = "03", _("Return")
        CANCELLATION = "04", _("Cancellation of the contract")
        ISSUED_TWICE = "06", _("Issued twice")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey("billing.Invoice", on_delete=models.PROTECT, related_name="credit_notes")
    series = models.ForeignKey("billing.InvoiceSeries", on_delete=models.PROTECT, related_name="+")
    sequence = models.PositiveIntegerField()
    number = models.CharField(max_length=40, unique=True)
    reason_code = models.CharField(_("reason for tax"), max_length=2, choices=ReasonCode.choices)
    reason = models.CharField(_("reason"), max_length=200)
    proposal = models.OneToOneField(
        "billing.CreditNoteProposal", on_delete=models.PROTECT, null=True, related_name="credit_note"
    )
    language = models.CharField(max_length=2)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    tax_treatment = models.CharField(max_length=12)
    tax_rate = models.DecimalField(max_digits=5, decimal_places=4)
    subtotal = minor_unit_field()
    tax = minor_unit_field()
    total = minor_unit_field()
    applied = minor_unit_field()
    to_credit = minor_unit_field()
    to_refund = minor_unit_field()
    credit_returned = minor_unit_field()
    issued_on = models.DateField(_("issue date"))
    issued_at = models.DateTimeField()
    seller = models.JSONField()
    buyer = models.JSONField()
    issued_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    objects = TenantQuerySet["CreditNote"].as_manager()

    class Meta:
        verbose_name = _("credit note")
        verbose_name_plural = _("credit notes")
        constraints = [
            models.UniqueConstraint(fields=["series", "sequence"], name="one_note_per_sequence"),
            models.UniqueConstraint(fields=["organization", "id"], name="note_of_organization"),
            models.CheckConstraint(
                condition=Q(subtotal__gt=0, tax__gte=0, total=F("subtotal") + F("tax")), name="note_takes_back"
            ),
            models.CheckConstraint(
                condition=Q(
                    applied__gte=0,
                    to_credit__gte=0,
                    to_refund__gte=0,
                    credit_returned__gte=0,
                    total=F("applied") + F("to_credit") + F("to_refund") + F("credit_returned"),
                ),
                name="note_goes_somewhere",
            ),
        ]
        indexes = [models.Index(fields=["organization", "-issued_at"], name="note_by_organization")]

    def __str__(self) -> str:
        return self.number

    @property
    def purpose(self) -> str:
        """What the audit log says is given back."""
        return self.number


class CreditNoteLine(models.Model):
    """How much of one of the invoice's lines a note takes back, in whole minor units. They add up to the note's subtotal."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    credit_note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, related_name="lines")
    invoice_line = models.ForeignKey("billing.InvoiceLine", on_delete=models.PROTECT, related_name="credited")
    amount = minor_unit_field()

    objects = TenantQuerySet["CreditNoteLine"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["credit_note", "invoice_line"], name="one_note_line_per_line"),
            models.CheckConstraint(condition=~Q(amount=0), name="note_line_not_zero"),
        ]


class WriteOff(models.Model):
    """That what an invoice was still owed is not expected any more, tax included. What comes in later is recovered."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    invoice = models.OneToOneField("billing.Invoice", on_delete=models.PROTECT, related_name="write_off")
    amount = minor_unit_field()
    reason = models.CharField(_("reason"), max_length=200)
    written_off_at = models.DateTimeField()
    written_off_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    objects = TenantQuerySet["WriteOff"].as_manager()

    class Meta:
        verbose_name = _("write-off")
        verbose_name_plural = _("write-offs")
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="write_off_positive")]
