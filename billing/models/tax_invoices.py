"""What proves a supply to the tax office: the kind of proof of each invoice, and its tax invoices (세금계산서)."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet


def _won(**options: object) -> models.DecimalField:  # type: ignore[type-arg]
    return models.DecimalField(max_digits=18, decimal_places=2, **options)  # type: ignore[arg-type]


class SupplyProof(models.Model):
    """The one proof of what an invoice charged. It changes only until a tax invoice was asked for, under the invoice's lock."""

    class Kind(models.TextChoices):
        CARD_SLIP = "card_slip", _("Card slip")
        TAX_INVOICE = "tax_invoice", _("Tax invoice")
        CASH_RECEIPT = "cash_receipt", _("Cash receipt")
        NONE = "none", pgettext_lazy("proof of a supply", "None")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    invoice = models.OneToOneField("billing.Invoice", on_delete=models.PROTECT, related_name="proof")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    by_card = _won(default=0)
    """How much of the total was paid with credit that a card had bought: the slips of those purchases prove that part.

    Below zero, of an invoice below zero: what it takes back and no tax invoice says.
    """
    slips_back = _won(default=0)
    """Of an invoice below zero: how much of what it takes back card slips had proven, which so much of its credit is paid with."""
    chosen_at = models.DateTimeField()

    objects = TenantQuerySet["SupplyProof"].as_manager()

    class Meta:
        verbose_name = _("proof of a supply")
        verbose_name_plural = _("proofs of supplies")


class TaxInvoice(models.Model):
    """One sheet for the tax office: an invoice's original, or an amendment of it. What was asked for is never changed.

    An original that was taken back before it was sent does not stand: another one may follow it, under a key of its own.

    `requested` means that the provider may have it, nobody knows: it is looked up under its `mgt_key` before anything else is
    done. `write_date` is the 작성연월일, `issue_from` and `due_on` the first and last day on which it is to be issued, in Seoul.
    Amounts are won; those of an amendment may be below zero.
    """

    class Status(models.TextChoices):
        PLANNED = "planned", _("Planned")
        REQUESTED = "requested", _("Asked for, unanswered")
        ISSUED = "issued", pgettext_lazy("tax invoice", "Issued")
        SENT = "sent", _("Sent to the tax office")
        FAILED = "failed", pgettext_lazy("tax invoice", "Failed")
        CANCELED = "canceled", _("Canceled before it was sent")
        DROPPED = "dropped", _("Not needed any more")

    class Reason(models.TextChoices):
        """수정사유: the tax office's codes (05, a later letter of credit, cannot occur here)."""

        CORRECTION = "01", _("01 Correction of entries")
        CHANGE = "02", _("02 Change of the supply value")
        RETURN = "03", _("03 Return")
        CANCELLATION = "04", _("04 Cancellation of the contract")
        ISSUED_TWICE = "06", _("06 Issued twice by mistake")

    class Purpose(models.TextChoices):
        RECEIVED = "received", pgettext_lazy("tax invoice", "Received")
        CLAIMED = "claimed", pgettext_lazy("tax invoice", "Claimed")

    class TaxType(models.TextChoices):
        TAXABLE = "taxable", pgettext_lazy("tax invoice", "Taxable")
        ZERO_RATED = "zero_rated", pgettext_lazy("tax invoice", "Zero-rated")

    WITH_PROVIDER = (Status.REQUESTED, Status.ISSUED, Status.SENT)
    """In these the tax office may know of it."""
    UNISSUED = (Status.PLANNED, Status.REQUESTED, Status.FAILED)
    """In these it is still to be issued."""
    ENDED = (Status.CANCELED, Status.DROPPED)
    """In these it counts no more."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey("billing.Invoice", on_delete=models.PROTECT, related_name="tax_invoices")
    amends = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="amendments")
    replaces = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaced_by")
    """What was taken back at the provider before it was sent, and is said anew by this one."""
    reason = models.CharField(max_length=2, choices=Reason.choices, blank=True)
    occasion = models.CharField(max_length=60)
    """What it is made for, once per invoice: "original", "void", "credit_note:<id>", "correction:<id>:minus" …; ":2" if anew."""
    mgt_key = models.CharField(max_length=24, unique=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PLANNED)
    write_date = models.DateField()
    issue_from = models.DateField()
    due_on = models.DateField()
    purpose = models.CharField(max_length=8, choices=Purpose.choices)
    tax_type = models.CharField(max_length=10, choices=TaxType.choices)
    supply = _won()
    tax = _won()
    total = _won()
    items = models.JSONField()
    supplier = models.JSONField()
    buyer = models.JSONField()
    remark = models.CharField(max_length=150, blank=True)
    approval_number = models.CharField(max_length=24, blank=True)
    failure = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    requested_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    issued_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["TaxInvoice"].as_manager()

    class Meta:
        verbose_name = _("tax invoice")
        verbose_name_plural = _("tax invoices")
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(reason="") & ~Q(status="canceled"),
                name="one_standing_original_per_invoice",
            ),
            models.UniqueConstraint(fields=["invoice", "occasion"], name="one_tax_invoice_per_occasion"),
            models.UniqueConstraint(
                fields=["approval_number"], condition=~Q(approval_number=""), name="one_tax_invoice_per_approval"
            ),
            models.UniqueConstraint(fields=["organization", "id"], name="tax_invoice_of_organization"),
            models.CheckConstraint(condition=Q(total=F("supply") + F("tax")), name="tax_invoice_total_adds_up"),
            models.CheckConstraint(
                condition=Q(reason="", amends=None, total__gt=0) | Q(amends__isnull=False) & ~Q(reason=""),
                name="original_above_zero_or_amendment_of_one",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["issued", "sent", "canceled"])
                | Q(approval_number__regex=r"^[0-9A-Za-z]{24}$", issued_at__isnull=False),
                name="issued_with_approval_number",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_on"],
                condition=Q(status__in=["planned", "requested", "failed"]),
                name="tax_invoice_unissued",
            ),
            models.Index(
                fields=["checked_at"], condition=Q(status__in=["requested", "issued"]), name="tax_invoice_to_ask"
            ),
        ]

    ORIGINAL = "original"
    ORIGINALS = Q(reason="") | Q(occasion=ORIGINAL) | Q(occasion__startswith=f"{ORIGINAL}:")
    """An invoice's own first word: an original, or, of an invoice that was issued anew too late for one, what corrects the voided
    invoice's."""

    @property
    def is_original(self) -> bool:
        """As ORIGINALS."""
        return not self.reason or self.occasion.partition(":")[0] == self.ORIGINAL

    OF_BUYER = "buyer_"
    """How a failure begins that the buyer's registration number is the reason of."""

    @property
    def buyer_is_the_reason(self) -> bool:
        """Whether the customer must put right why it could not be issued."""
        return self.status == self.Status.FAILED and self.failure.startswith(self.OF_BUYER)

    def __str__(self) -> str:
        return self.approval_number or self.mgt_key
