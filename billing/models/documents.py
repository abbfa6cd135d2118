"""What was put on paper: each stored file with its hash, and the quotations that some of them are made of."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import Currency, Organization, User
from accounts.tenancy import TenantQuerySet

SUBJECTS = ("invoice", "payment", "quotation", "credit_note")


def _of(subject: str, *, kinds: list[str]) -> Q:
    """Documents of these kinds belong to a row of that sort, and to no other."""
    return Q(kind__in=kinds, **{f"{name}__isnull": name != subject for name in SUBJECTS})


class Document(models.Model):
    """A stored file: where it lies below VAR_DIR/documents and what its bytes hash to. It belongs to one row, and each row has one
    of a kind: an invoice its PDF, statement and evidence, a payment its receipt, a credit note or a quotation its PDF.
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice", _("Invoice")
        STATEMENT = "statement", pgettext_lazy("paper", "Statement")
        EVIDENCE = "evidence", pgettext_lazy("paper", "Evidence")
        CREDIT_NOTE = "credit_note", _("Credit note")
        RECEIPT = "receipt", pgettext_lazy("paper", "Receipt")
        QUOTATION = "quotation", _("Quotation")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    invoice = models.ForeignKey("billing.Invoice", on_delete=models.PROTECT, null=True, related_name="documents")
    payment = models.ForeignKey("billing.Payment", on_delete=models.PROTECT, null=True, related_name="documents")
    quotation = models.ForeignKey("billing.Quotation", on_delete=models.PROTECT, null=True, related_name="documents")
    credit_note = models.ForeignKey("billing.CreditNote", on_delete=models.PROTECT, null=True, related_name="documents")
    path = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    rendered_at = models.DateTimeField()
    kept = models.JSONField(default=dict)
    """What it says that its row does not hold for ever: the parties of a top-up's receipt, as they were."""

    template = models.PositiveSmallIntegerField(default=1, db_default=1)
    """The version of the template that set it, and sets it again if its file is lost."""

    objects = TenantQuerySet["Document"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "kind"], name="one_document_per_kind"),
            models.UniqueConstraint(fields=["payment", "kind"], name="one_document_per_payment"),
            models.UniqueConstraint(fields=["quotation", "kind"], name="one_document_per_quotation"),
            models.UniqueConstraint(fields=["credit_note", "kind"], name="one_document_per_credit_note"),
            models.CheckConstraint(
                condition=_of("invoice", kinds=["invoice", "statement", "evidence"])
                | _of("payment", kinds=["receipt"])
                | _of("quotation", kinds=["quotation"])
                | _of("credit_note", kinds=["credit_note"]),
                name="document_of_one_subject",
            ),
        ]


class Quotation(models.Model):
    """What usage would cost at the prices of a day, as offered to an organization until `valid_until`. Never changed.

    `lines` names every amount: {model, name, note, token_class, quantity, unit_price, exact_amount, amount}, all text.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    language = models.CharField(max_length=2)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    tax_treatment = models.CharField(max_length=12)
    tax_rate = models.DecimalField(max_digits=5, decimal_places=4)
    zone = models.CharField(max_length=50)
    issued_on = models.DateField()
    valid_until = models.DateField()
    subject = models.CharField(max_length=100, blank=True)
    seller = models.JSONField()
    buyer = models.JSONField()
    exchange_rates = models.JSONField()
    lines = models.JSONField()
    subtotal = models.DecimalField(max_digits=18, decimal_places=2)
    tax = models.DecimalField(max_digits=18, decimal_places=2)
    total = models.DecimalField(max_digits=18, decimal_places=2)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()

    objects = TenantQuerySet["Quotation"].as_manager()

    class Meta:
        verbose_name = _("quotation")
        verbose_name_plural = _("quotations")
        constraints = [
            models.UniqueConstraint(fields=["organization", "id"], name="quotation_of_organization"),
            models.CheckConstraint(
                condition=Q(total=models.F("subtotal") + models.F("tax")), name="quotation_total_is_subtotal_and_tax"
            ),
            models.CheckConstraint(
                condition=Q(valid_until__gte=models.F("issued_on")), name="quotation_valid_for_a_while"
            ),
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="quotation_by_organization")]

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        """`QT-000123`; unlike those of invoices the numbers may have gaps."""
        return f"QT-{self.pk:06d}"


class BouncingAddress(models.Model):
    """An address that a mail server refused for good. `cleared_at`: when it took a mail again."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    address = models.EmailField()
    reason = models.CharField(max_length=300)
    bounced_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["BouncingAddress"].as_manager()

    class Meta:
        verbose_name = _("refused address")
        verbose_name_plural = _("refused addresses")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "address"], condition=Q(cleared_at=None), name="one_bounce_per_address"
            )
        ]
