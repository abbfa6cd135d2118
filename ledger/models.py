"""Billing periods, the balance of each organization, money given and money held.

Amounts are exact, in the organization's billing currency. Balances, holds and credits count tax in; `unbilled` is the one
figure before tax, because that is what charges are.
"""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Currency, Organization, User
from accounts.tenancy import TenantQuerySet


def money_field(**options: Any) -> Any:
    """An exact amount: NUMERIC(38,20), wide enough that tokens × unit price is never rounded."""
    return models.DecimalField(max_digits=38, decimal_places=20, **options)


class BillingPeriod(models.Model):
    """A month of one organization, half-open [starts_at, ends_at) in its zone.

    Recording holds the row under a share lock, closing takes it exclusively, so no charge slips into a closed period.
    """

    class Status(models.TextChoices):
        OPEN = "open", _("Open for charges")
        CLOSING = "closing", _("Closing")
        CLOSED = "closed", _("Closed")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    zone = models.CharField(max_length=50)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["BillingPeriod"].as_manager()

    class Meta:
        verbose_name = _("billing period")
        verbose_name_plural = _("billing periods")
        constraints = [
            models.UniqueConstraint(fields=["organization", "starts_at"], name="one_period_per_start"),
            models.UniqueConstraint(fields=["organization", "id"], name="period_of_organization"),
            models.CheckConstraint(condition=Q(starts_at__lt=F("ends_at")), name="period_not_empty"),
            models.CheckConstraint(
                condition=Q(status="closed", closed_at__isnull=False) | ~Q(status="closed"),
                name="closed_period_has_moment",
            ),
        ]


class Balance(models.Model):
    """What an organization has and owes: one row, changed only by conditional or locked updates.

    available = prepaid + credit_line − unbilled × (1 + tax_rate) − receivable − held
    `prepaid`, `unbilled` and `receivable` are what their accounts in the journal add up to (`CACHED`), counted along.
    """

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="balance"
    )
    currency = models.CharField(max_length=3, choices=Currency.choices)
    tax_rate = models.DecimalField(max_digits=5, decimal_places=4)
    prepaid = money_field(default=0)
    credit_line = money_field(default=0)
    unbilled = money_field(default=0)
    receivable = money_field(default=0)
    held = money_field(default=0)
    limited = models.BooleanField(default=False)
    """Whether there are spend limits: read off this row, which is locked anyway, so that those without pay no query for them."""
    credit_expires_at = models.DateTimeField(null=True)
    """When the next of its credits with something left expires, or did: whoever holds this row then looks (`credit_expiry.py`)."""
    stopped = models.BooleanField(default=False)
    """Whether the velocity breaker stopped a key and nobody has lifted that yet; read like `limited`."""

    objects = TenantQuerySet["Balance"].as_manager()

    class Meta:
        verbose_name = _("balance")
        verbose_name_plural = _("balances")
        constraints = [
            models.CheckConstraint(condition=Q(held__gte=0), name="held_not_negative"),
            models.CheckConstraint(condition=Q(prepaid__gte=0), name="prepaid_not_negative"),
            models.CheckConstraint(condition=Q(credit_line__gte=0), name="credit_line_not_negative"),
        ]


class LimitWindow(models.TextChoices):
    """How long a spend limit counts before it begins anew."""

    DAY = "day", _("Day")
    MONTH = "month", _("Month")


class SpendLimit(models.Model):
    """What an organization, a member or a key may spend in a window [window_start, window_end) of the organization's zone.

    A member's limit counts all keys that the member made. `hard` refuses calls that might pass it; a soft one only warns; there
    may be one of each. `refused_at` is when a hard one refused a call for the first time in the window. `amount` and `held` count
    tax in; `spent` is before tax, as `Balance.unbilled` is, because that is what charges are. `spent_ahead` is usage of the window
    to come, reported before it began. The counters are exact sums of rollups and unresolved holds of the window, changed only by
    those who hold the balance's lock.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="spend_limits")
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, null=True, blank=True, related_name="spend_limits")
    member = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    window = models.CharField(max_length=10, choices=LimitWindow.choices, default=LimitWindow.MONTH)
    amount = money_field()
    hard = models.BooleanField(default=True)
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    spent = money_field(default=0)
    spent_ahead = money_field(default=0)
    held = money_field(default=0)
    refused_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    keys_of_member: frozenset[int] = frozenset()
    """Of a member's limit: those of the batch's keys that the member made (`limits.lock_limits`). Not stored."""

    objects = TenantQuerySet["SpendLimit"].as_manager()

    class Meta:
        verbose_name = _("spend limit")
        verbose_name_plural = _("spend limits")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "api_key", "member", "window", "hard"],
                nulls_distinct=False,
                name="one_limit_per_window",
            ),
            models.CheckConstraint(
                condition=Q(api_key=None) | Q(member=None), name="limit_of_a_key_or_a_member_or_the_whole"
            ),
            models.CheckConstraint(condition=Q(amount__gte=0), name="limit_not_negative"),
            models.CheckConstraint(condition=Q(held__gte=0), name="limit_held_not_negative"),
            models.CheckConstraint(condition=Q(window_start__lt=F("window_end")), name="limit_window_not_empty"),
        ]


class VelocityCap(models.Model):
    """What a key may spend within VELOCITY_SECONDS before it is stopped, tax included: set for one key, or for all keys.

    Without a row the default holds; an `amount` of NULL switches the breaker off.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    amount = money_field(null=True, blank=True)

    objects = TenantQuerySet["VelocityCap"].as_manager()

    class Meta:
        verbose_name = _("velocity cap")
        verbose_name_plural = _("velocity caps")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "api_key"], nulls_distinct=False, name="one_velocity_cap_per_key"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="velocity_cap_positive"),
        ]


class KeyStop(models.Model):
    """That the velocity breaker stopped a key, on what grounds, and who lifted it. Amounts count tax in."""

    class Cause(models.TextChoices):
        CAP = "cap", _("Above its cap")
        UNUSUAL = "unusual", _("Far above its usual spend")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+")
    cause = models.CharField(max_length=10, choices=Cause.choices)
    seconds = models.PositiveIntegerField()
    spent = money_field()
    allowed = money_field()
    stopped_at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    objects = TenantQuerySet["KeyStop"].as_manager()

    class Meta:
        verbose_name = _("stopped key")
        verbose_name_plural = _("stopped keys")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "api_key"], condition=Q(lifted_at=None), name="one_open_stop_per_key"
            ),
        ]


class CreditGrant(models.Model):
    """Money given before invoicing: trial credit, a promotion, a top-up. Never changed; what is used of it is posted elsewhere."""

    class Kind(models.TextChoices):
        PROMOTIONAL = "promotional", _("Promotional")
        PAID = "paid", _("Top-up")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="credit_grants")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    amount = money_field()
    currency = models.CharField(max_length=3, choices=Currency.choices)
    reason = models.CharField(max_length=200)
    key = models.CharField(max_length=100)
    priority = models.PositiveSmallIntegerField(default=100)
    granted_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    granted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    objects = TenantQuerySet["CreditGrant"].as_manager()

    class Meta:
        verbose_name = _("credit")
        verbose_name_plural = _("credits")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="credit_positive"),
            models.UniqueConstraint(fields=["organization", "id"], name="credit_of_organization"),
            models.UniqueConstraint(fields=["organization", "key"], name="one_credit_per_key"),
        ]


class CreditUse(models.Model):
    """What went out of a credit: an invoice took it (above zero) or, voided, gave it back (below); without an invoice it expired or
    was taken out to be sent back, or went with its payment, which was taken back.

    Never changed.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="credit_uses")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, related_name="uses")
    invoice_id = models.UUIDField(null=True)
    amount = money_field()
    at = models.DateTimeField()

    objects = TenantQuerySet["CreditUse"].as_manager()

    class Meta:
        verbose_name = _("credit use")
        verbose_name_plural = _("credit uses")
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="credit_use_not_zero"),
            models.UniqueConstraint(fields=["organization", "id"], name="credit_use_of_organization"),
            models.CheckConstraint(condition=Q(amount__gt=0) | Q(invoice_id__isnull=False), name="expiry_takes_credit"),
            models.UniqueConstraint(
                fields=["invoice_id", "grant"], condition=Q(amount__gt=0), name="one_use_per_invoice_and_credit"
            ),
            models.UniqueConstraint(
                fields=["invoice_id", "grant"], condition=Q(amount__lt=0), name="one_return_per_invoice_and_credit"
            ),
        ]


class Account(models.TextChoices):
    """The accounts of an organization's books. Debits are above zero; which movement posts what: README."""

    UNBILLED = "unbilled", _("Usage not invoiced")
    RECEIVABLE = "receivable", _("Receivable")
    PREPAID = "prepaid", _("Credit")
    REVENUE = "revenue", _("Revenue")
    DISCOUNT = "discount", _("Discounts")
    TAX_PAYABLE = "tax_payable", _("Tax payable")
    ROUNDING = "rounding", _("Rounding")
    WITHDRAWN = "withdrawn", _("Usage of void invoices")
    CLEARING = "clearing", _("Payment processor")
    BANK = "bank", _("Bank account")
    PROMOTION = "promotion", _("Promotions")
    BREAKAGE = "breakage", _("Expired credit")
    OPENING = "opening", _("Opening balance")
    REFUNDABLE = "refundable", _("To be refunded")
    BAD_DEBT = "bad_debt", _("Written off")
    OVERREFUNDED = "overrefunded", _("Refunded twice")


CACHED = {Account.UNBILLED: 1, Account.RECEIVABLE: 1, Account.PREPAID: -1}
"""The accounts whose sums are on the balance, under the account's name; with this sign, for what we owe counts as credit."""


class TransactionKind(models.TextChoices):
    """What a ledger transaction is the posting of, and so what its key is the name of."""

    USAGE = "usage", _("Usage")
    CORRECTION = "correction", _("Correction of usage")
    INVOICE = "invoice", _("Invoice")
    NOT_INVOICED = "not_invoiced", _("Month without an invoice")
    VOID = "void", _("Invoice voided")
    CREDIT_APPLIED = "credit_applied", _("Credit used")
    CREDIT_RETURNED = "credit_returned", _("Credit returned")
    CREDIT_GRANTED = "credit_granted", _("Credit given")
    CREDIT_EXPIRED = "credit_expired", _("Credit expired")
    CREDIT_TAKEN_OUT = "credit_taken_out", _("Credit to be refunded")
    PAYMENT = "payment", _("Payment received")
    PAYMENT_REVERSED = "payment_reversed", _("Payment taken back")
    OPENING = "opening", _("Opening balance")
    CREDIT_NOTE = "credit_note", _("Credit note")
    REFUND = "refund", _("Refund")
    REFUND_RETURNED = "refund_returned", _("Refund that came back")
    WRITE_OFF = "write_off", _("Written off")
    RECOVERY = "recovery", _("Written off, paid after all")


class LedgerTransaction(models.Model):
    """One movement of money of one organization: entries that add up to zero, checked when its transaction commits.

    `key` names what it posts – the first event of a batch, the invoice, the payment, the credit – and is posted once. `id` is a
    UUIDv7 of `at`. `entry_count` is part of what entries refer to, so that none can be added later. Made by SQL (migration 0005).
    """

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.BigIntegerField()
    id = models.UUIDField()
    at = models.DateTimeField()
    entry_count = models.SmallIntegerField()
    kind = models.TextField(choices=TransactionKind.choices)
    key = models.TextField()
    currency = models.TextField(choices=Currency.choices)

    objects = TenantQuerySet["LedgerTransaction"].as_manager()

    class Meta:
        managed = False
        db_table = "ledger_ledgertransaction"


class LedgerEntry(models.Model):
    """What a transaction does to one account: `amount` above zero is a debit. Exact, in the transaction's currency."""

    pk = models.CompositePrimaryKey("organization_id", "transaction_id", "position")
    organization_id = models.BigIntegerField()
    transaction_id = models.UUIDField()
    position = models.SmallIntegerField()
    entry_count = models.SmallIntegerField()
    account = models.TextField(choices=Account.choices)
    amount = money_field()

    objects = TenantQuerySet["LedgerEntry"].as_manager()

    class Meta:
        managed = False
        db_table = "ledger_ledgerentry"


class HoldStatus(models.IntegerChoices):
    """`open`: the call runs. `captured`: its usage was recorded. `released`: it cost nothing. `questioned`: its time is
    over and nobody knows what it cost – the money stays held until the upstream is asked."""

    OPEN = 1, _("Running")
    CAPTURED = 2, _("Captured")
    RELEASED = 3, _("Released")
    QUESTIONED = 4, _("Questioned")


class Hold(models.Model):
    """The worst case of a running call, tax included, reserved before the upstream is called. Partitioned by month of `id`.

    A hot table: made by SQL (migration 0002), no foreign keys, `organization_id` in its key. `id` is a UUIDv7 of `created_at`.
    """

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.BigIntegerField()
    id = models.UUIDField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    status = models.SmallIntegerField(choices=HoldStatus.choices, default=HoldStatus.OPEN)
    api_key_id = models.BigIntegerField(null=True)
    model_id = models.IntegerField()
    amount = money_field()
    captured = money_field(null=True)
    request_id = models.TextField()
    upstream = models.TextField()
    generation_id = models.TextField(null=True)
    attempt = models.SmallIntegerField(default=1)
    """Which try of its request this is: what a try may have cost has a hold of its own."""
    asked = models.SmallIntegerField(default=0)
    ask_after = models.DateTimeField(null=True)
    """Of a question: how often the upstream was asked, and when it may be asked again; NULL is at once."""
    end_user = models.TextField(null=True)
    tags = models.JSONField(null=True)

    objects = TenantQuerySet["Hold"].as_manager()

    class Meta:
        managed = False
        db_table = "ledger_hold"


class CallKey(models.Model):
    """A caller's own name for a call (`Idempotency-Key`), as a digest, for a day. Made by SQL (migration 0008)."""

    pk = models.CompositePrimaryKey("organization_id", "digest")
    organization_id = models.BigIntegerField()
    created_at = models.DateTimeField()
    digest = models.UUIDField()
    hold_id = models.UUIDField()

    objects = TenantQuerySet["CallKey"].as_manager()

    class Meta:
        managed = False
        db_table = "ledger_callkey"
