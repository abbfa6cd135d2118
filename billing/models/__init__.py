"""From the closed period to the paid invoice. What is finalized, posted or received is never changed (triggers, migration 0002)."""

import uuid
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import Currency, Organization, User
from accounts.tenancy import TenantQuerySet
from billing.models.cards import AutomaticTopUp as AutomaticTopUp
from billing.models.cards import CardSetup as CardSetup
from billing.models.cards import CollectionSetting as CollectionSetting
from billing.models.cards import PaymentMethod as PaymentMethod
from billing.models.cards import ProcessorCustomer as ProcessorCustomer
from billing.models.closures import Closure as Closure
from billing.models.credit_notes import CreditNote as CreditNote
from billing.models.credit_notes import CreditNoteLine as CreditNoteLine
from billing.models.credit_notes import WriteOff as WriteOff
from billing.models.credit_payouts import CreditPayout as CreditPayout
from billing.models.deposits import BankDeposit as BankDeposit
from billing.models.deposits import BankStatement as BankStatement
from billing.models.deposits import DepositDecision as DepositDecision
from billing.models.deposits import DepositPart as DepositPart
from billing.models.deposits import DepositTakenBack as DepositTakenBack
from billing.models.deposits import PayerAlias as PayerAlias
from billing.models.documents import BouncingAddress as BouncingAddress
from billing.models.documents import Document as Document
from billing.models.documents import Quotation as Quotation
from billing.models.drafts import InvoiceDraft as InvoiceDraft
from billing.models.dunning import DunningPolicy as DunningPolicy
from billing.models.dunning import DunningStep as DunningStep
from billing.models.dunning import Suspension as Suspension
from billing.models.exports import DataExport as DataExport
from billing.models.money_fields import minor_unit_field
from billing.models.notices import Notice as Notice
from billing.models.notices import NoticeSetting as NoticeSetting
from billing.models.notices import WebhookDelivery as WebhookDelivery
from billing.models.notices import WebhookEndpoint as WebhookEndpoint
from billing.models.processor_outflows import ProcessorOutflow as ProcessorOutflow
from billing.models.refunds import Refund as Refund
from billing.models.sample_mails import SampleMail as SampleMail
from billing.models.tax_invoices import SupplyProof as SupplyProof
from billing.models.tax_invoices import TaxInvoice as TaxInvoice
from billing.models.terms import BillingTerms as BillingTerms
from billing.processors import bank_transfer
from catalog.models import AppliedRate
from ledger.models import BillingPeriod, money_field
from pricing.conditions import LineKind


class Seller(models.Model):
    """Whose invoices these are: the supplier's details and bank account. A change is a new row; invoices keep a snapshot."""

    legal_name = models.CharField(_("company name"), max_length=100)
    legal_name_en = models.CharField(_("company name (English)"), max_length=100, blank=True)
    registration_number = models.CharField(_("business registration number"), max_length=12)
    representative = models.CharField(_("representative"), max_length=50)
    address = models.CharField(_("address"), max_length=200)
    address_en = models.CharField(_("address (English)"), max_length=200, blank=True)
    business_type = models.CharField(_("business type"), max_length=50, blank=True)
    business_item = models.CharField(_("business item"), max_length=50, blank=True)
    mail_order_number = models.CharField(_("mail-order registration"), max_length=50, blank=True)
    email = models.EmailField(_("email"))
    phone = models.CharField(_("phone"), max_length=30, blank=True)
    bank_name = models.CharField(_("bank"), max_length=50)
    bank_account = models.CharField(_("account number"), max_length=50)
    bank_holder = models.CharField(_("account holder"), max_length=50)
    payment_days = models.PositiveSmallIntegerField(_("days until payment is due"), default=14)
    since = models.DateTimeField()

    class Meta:
        verbose_name = _("seller")
        verbose_name_plural = _("sellers")


class InvoiceSeries(models.Model):
    """The gapless numbers of one issuer: PREFIX-000001, PREFIX-000002, … taken last in the finalizing transaction.

    The credit notes of its invoices have a series of their own, which says so.
    """

    prefix = models.CharField(max_length=25, unique=True)
    next_number = models.PositiveIntegerField(default=1)
    credit_notes_of = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, related_name="credit_note_series"
    )

    class Meta:
        verbose_name = _("invoice series")
        verbose_name_plural = _("invoice series")


class Invoice(models.Model):
    """What an organization owes for a period. Statuses as Stripe's. A void one may be followed by another for the same period."""

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        PAID = "paid", _("Paid")
        VOID = "void", _("Void")
        UNCOLLECTIBLE = "uncollectible", _("Uncollectible")

    class Kind(models.TextChoices):
        MONTHLY = "monthly", _("Monthly")
        FINAL = "final", _("Final")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="invoices")
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="invoices")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.MONTHLY)
    status = models.CharField(max_length=13, choices=Status.choices)
    series = models.ForeignKey(InvoiceSeries, on_delete=models.PROTECT, related_name="invoices")
    sequence = models.PositiveIntegerField()
    number = models.CharField(max_length=40, unique=True)
    language = models.CharField(max_length=2)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    tax_treatment = models.CharField(max_length=12)
    tax_rate = models.DecimalField(max_digits=5, decimal_places=4)
    subtotal = minor_unit_field()
    tax = minor_unit_field()
    total = minor_unit_field()
    credit_applied = minor_unit_field()
    amount_due = minor_unit_field()
    exact_subtotal = money_field()
    terms = models.ForeignKey(BillingTerms, on_delete=models.PROTECT, null=True, related_name="+")
    """Those in force when its period started; NULL are the defaults."""
    po_number = models.CharField(_("PO number"), max_length=50, blank=True)
    issued_on = models.DateField()
    written_on = models.DateField()
    due_on = models.DateField()
    seller = models.JSONField()
    buyer = models.JSONField()
    exchange_rates = models.JSONField()
    finalized_at = models.DateTimeField()
    paid_at = models.DateTimeField(null=True, blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)
    void_reason = models.CharField(max_length=200, blank=True)

    objects = TenantQuerySet["Invoice"].as_manager()

    class Meta:
        verbose_name = _("invoice")
        verbose_name_plural = _("invoices")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "period", "kind"],
                condition=~Q(status="void"),
                name="one_live_invoice_per_period",
            ),
            models.UniqueConstraint(fields=["series", "sequence"], name="one_invoice_per_sequence"),
            models.UniqueConstraint(fields=["organization", "id"], name="invoice_of_organization"),
            models.CheckConstraint(
                condition=Q(total=models.F("subtotal") + models.F("tax")), name="invoice_total_is_subtotal_and_tax"
            ),
            models.CheckConstraint(
                condition=Q(amount_due=models.F("total") - models.F("credit_applied")),
                name="invoice_due_is_total_less_credit",
            ),
            models.CheckConstraint(
                condition=Q(credit_applied__gte=0) | Q(credit_applied=models.F("total")),
                name="invoice_credit_used_or_all_given",
            ),
        ]
        indexes = [models.Index(fields=["organization", "-finalized_at"], name="invoice_by_organization")]

    def __str__(self) -> str:
        return self.number


class InvoiceLine(models.Model):
    """Usage: applied rate × token class of a service month; or what terms make of it, a line without rate, of quantity 1.

    `amount` is its share of the rounded subtotal, `exact_amount` the truth.
    """

    class Kind(models.TextChoices):
        USAGE = LineKind.USAGE, _("Usage")
        DISCOUNT = LineKind.DISCOUNT, _("Discount")
        MINIMUM_FEE = LineKind.MINIMUM_FEE, _("Minimum fee")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.USAGE)
    applied_rate = models.ForeignKey(AppliedRate, on_delete=models.PROTECT, null=True, related_name="+")
    model = models.CharField(max_length=200, blank=True)
    token_class = models.CharField(max_length=20, blank=True)
    service_month = models.DateField(null=True)
    quantity = models.DecimalField(max_digits=20, decimal_places=0)
    unit_price = money_field()
    exact_amount = money_field()
    amount = minor_unit_field()

    objects = TenantQuerySet["InvoiceLine"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="one_line_per_position"),
            models.UniqueConstraint(
                fields=["invoice", "kind", "applied_rate", "token_class", "service_month"],
                name="one_line_per_rate_and_class",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(kind="usage", applied_rate__isnull=False) | (~Q(kind="usage") & Q(applied_rate=None)),
                name="line_of_usage_has_a_rate",
            ),
            models.UniqueConstraint(fields=["organization", "id"], name="invoice_line_of_organization"),
        ]


class CreditNoteProposal(models.Model):
    """What an invoice would have been at prices that were corrected after it: an operator decides, nothing is changed by it.

    Amounts are what the customer would pay more; below zero is what a credit note would give back. `lines` names what changed,
    with both unit prices: {model, token_class, service_month, quantity, applied_rate, unit_price, new_unit_price, …}, all text.
    """

    class Status(models.TextChoices):
        PROPOSED = "proposed", _("Proposed")
        SUPERSEDED = "superseded", _("Superseded")
        ACCEPTED = "accepted", _("Accepted")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_note_proposals")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PROPOSED)
    reason = models.CharField(max_length=300)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    subtotal_change = minor_unit_field()
    tax_change = minor_unit_field()
    total_change = minor_unit_field()
    exact_change = money_field()
    event_count = models.PositiveIntegerField()
    unpriced_count = models.PositiveIntegerField(default=0)
    """Requests of the period that have no price any more; they are left as they were charged."""
    lines = models.JSONField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()

    objects = TenantQuerySet["CreditNoteProposal"].as_manager()

    class Meta:
        verbose_name = _("credit note proposal")
        verbose_name_plural = _("credit note proposals")
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"], condition=Q(status="proposed"), name="one_open_proposal_per_invoice"
            ),
            models.CheckConstraint(
                condition=Q(total_change=models.F("subtotal_change") + models.F("tax_change")),
                name="proposal_total_is_subtotal_and_tax",
            ),
        ]


class OutboxMail(models.Model):
    """A mail that must go out, at least once, under one Message-ID. Written in the transaction of what it tells."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        BOUNCED = "bounced", _("Refused by the recipient's server")

    class Kind(models.TextChoices):
        INVOICE = "invoice", _("Invoice")
        RECEIPT = "receipt", pgettext_lazy("mail", "Receipt")
        PAYMENT_FAILED = "payment_failed", _("Payment failed")
        INVITATION = "invitation", _("Invitation")
        NOTICE = "notice", _("Notice")
        DUE_SOON = "due_soon", _("Due soon")
        OVERDUE = "overdue", _("Overdue reminder")
        TOP_UP = "top_up", _("Top-up receipt")
        TOP_UP_FAILED = "top_up_failed", _("Automatic top-up failed")
        CREDIT_NOTE = "credit_note", _("Credit note")
        REFUND = "refund", _("Refund")
        PAYMENT_REVERSED = "payment_reversed", _("Payment taken back")
        TAX_INVOICE = "tax_invoice", pgettext_lazy("mail", "Tax invoice issued")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    key = models.CharField(max_length=150)
    recipient = models.EmailField()
    language = models.CharField(max_length=2)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="mails")
    context = models.JSONField(default=dict)
    about: Any = None
    """Of a sample (`mail_samples`): the row that `context` would name, which is in no table then."""
    message_id = models.CharField(max_length=150, unique=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    report_digest = models.CharField(max_length=64, blank=True, default="")
    """Of the mail server's report that was noted last (`mail/reading_reports.py`)."""
    reported_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["OutboxMail"].as_manager()

    class Meta:
        verbose_name = _("mail")
        verbose_name_plural = _("mails")
        constraints = [models.UniqueConstraint(fields=["organization", "key"], name="one_mail_per_key")]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="waiting"), name="mail_waiting"),
        ]


class Payment(models.Model):
    """One attempt to collect an invoice or, without one, to buy prepaid credit (a top-up).

    Its row and idempotency key are committed before the processor is called.
    `unknown` means that no answer came (yet): it blocks another attempt until it is looked up. An attempt with a `method` charges
    that; one without sends the customer to a hosted page. `checked_at` is when the processor was last asked about it.
    A transfer that was somebody else's money is `reversed`, with the match of its deposit (`bank/undoing.py`).
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        REQUIRES_ACTION = "requires_action", _("Waiting for the customer")
        UNKNOWN = "unknown", _("Unknown")
        SUCCEEDED = "succeeded", _("Paid")
        FAILED = "failed", _("Failed")
        CANCELED = "canceled", _("Canceled")
        REVERSED = "reversed", _("Taken back")

    OPEN_STATUSES = (Status.PENDING, Status.REQUIRES_ACTION, Status.UNKNOWN)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="payments")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="payments")
    processor = models.CharField(max_length=20)
    amount = minor_unit_field()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=16, choices=Status.choices)
    idempotency_key = models.CharField(max_length=100, unique=True)
    reference = models.CharField(max_length=255, blank=True)
    action_url = models.CharField(max_length=2000, blank=True)
    failure = models.CharField(max_length=200, blank=True)
    method = models.ForeignKey(PaymentMethod, on_delete=models.PROTECT, null=True, related_name="+")
    payer_name = models.CharField(_("payer"), max_length=100, blank=True)
    started_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Payment"].as_manager()

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(status__in=["pending", "requires_action", "unknown"]),
                name="one_open_attempt_per_invoice",
            ),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(invoice=None, status__in=["pending", "requires_action", "unknown"]),
                name="one_open_top_up_per_organization",
            ),
            models.UniqueConstraint(
                fields=["processor", "reference"], condition=~Q(reference=""), name="one_payment_per_reference"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_positive"),
        ]
        indexes = [models.Index(fields=["organization", "-created_at"], name="payment_by_organization")]

    @property
    def purpose(self) -> str:
        """What the audit log says is paid: the invoice's number, or a top-up."""
        return self.invoice.number if self.invoice else "top-up"

    @property
    def paid_at(self) -> datetime | None:
        """When its money came: a transfer at the bank, however late it was entered here; a card's when the processor had it."""
        return self.created_at if self.processor == bank_transfer.NAME else self.settled_at


class ProcessorEvent(models.Model):
    """The inbox of webhooks: unique per (processor, event), its effect in the same transaction as `processed_at`."""

    processor = models.CharField(max_length=20)
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100)
    payload = models.JSONField()
    received_at = models.DateTimeField()
    processed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = _("processor event")
        verbose_name_plural = _("processor events")
        constraints = [models.UniqueConstraint(fields=["processor", "event_id"], name="one_row_per_processor_event")]


class AuditRun(models.Model):
    """One run through all invariants and what it found. A month is closed only after a fresh one that found nothing of it."""

    started_at = models.DateTimeField(_("started"), db_index=True)
    finished_at = models.DateTimeField(_("finished"))
    is_clean = models.BooleanField(_("clean"))
    invariants = models.PositiveSmallIntegerField(_("invariants checked"))
    violations = models.JSONField(default=dict)
    """Of each violated invariant's number: the first violations, a line each, at most `accounts.invariants.LIMIT`."""
    organizations = models.JSONField(default=dict)
    """Of each violated invariant's number: all organizations that it concerns. Without an entry it concerns everybody."""

    class Meta:
        verbose_name = _("audit")
        verbose_name_plural = _("audits")
