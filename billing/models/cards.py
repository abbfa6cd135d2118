"""Cards on file: who pays at the processor, the cards that were left there, what may be charged to them while nobody is there."""

import uuid
from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet
from ledger.models import money_field


class ProcessorCustomer(models.Model):
    """The processor's name of an organization, which all its cards belong to there."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    processor = models.CharField(max_length=20)
    reference = models.CharField(max_length=255)
    created_at = models.DateTimeField()

    objects = TenantQuerySet["ProcessorCustomer"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "processor"], name="one_customer_per_processor"),
            models.UniqueConstraint(fields=["processor", "reference"], name="one_organization_per_customer"),
        ]


class PaymentMethod(models.Model):
    """A stored way to pay: the processor's reference, never a card number.

    `expires_on` is the last day of the month that the card names. One that was removed is never charged again, and `detached_at`
    is when the processor forgot it.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="payment_methods")
    processor = models.CharField(max_length=20)
    customer_reference = models.CharField(max_length=255)
    reference = models.CharField(max_length=255)
    label = models.CharField(_("card"), max_length=50)
    expires_on = models.DateField(_("valid until"), null=True, blank=True)
    added_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("added by")
    )
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)
    detached_at = models.DateTimeField(_("forgotten by the processor"), null=True, blank=True)

    objects = TenantQuerySet["PaymentMethod"].as_manager()

    class Meta:
        verbose_name = _("payment method")
        verbose_name_plural = _("payment methods")
        constraints = [
            models.UniqueConstraint(fields=["processor", "reference"], name="one_method_per_reference"),
            models.UniqueConstraint(fields=["organization", "id"], name="payment_method_of_organization"),
        ]

    def __str__(self) -> str:
        return self.label


class CardSetup(models.Model):
    """An attempt to leave a card on the processor's page; its row is committed before the page is asked for.

    `unknown`: the processor has not answered. One that succeeded names the card that came of it.
    """

    class Status(models.TextChoices):
        UNKNOWN = "unknown", _("Unknown")
        OPEN = "open", _("Waiting for the customer")
        SUCCEEDED = "succeeded", _("Card added")
        ENDED = "ended", _("Ended without a card")

    OPEN_STATUSES: ClassVar = (Status.UNKNOWN, Status.OPEN)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    processor = models.CharField(max_length=20)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.UNKNOWN)
    reference = models.CharField(max_length=255, blank=True)
    action_url = models.CharField(max_length=2000, blank=True)
    method = models.ForeignKey(PaymentMethod, on_delete=models.PROTECT, null=True, related_name="+")
    started_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()
    checked_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["CardSetup"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(status__in=["unknown", "open"]), name="one_open_setup"
            ),
            models.CheckConstraint(
                condition=~Q(status="succeeded") | Q(method__isnull=False), name="setup_succeeds_with_a_card"
            ),
        ]


class CollectionSetting(models.Model):
    """Which card an organization pays with, and whether invoices are charged to it by themselves. Without a row: none, no.

    With `automatic_from`, invoices that were final before are left to be paid by hand.
    """

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="collection_setting"
    )
    default_method = models.ForeignKey(PaymentMethod, on_delete=models.PROTECT, null=True, related_name="+")
    is_automatic = models.BooleanField(default=False)
    automatic_from = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["CollectionSetting"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(is_automatic=False) | Q(default_method__isnull=False), name="automatic_payment_has_a_card"
            ),
        ]

    def charges(self, finalized_at: datetime) -> bool:
        """Whether an invoice that became final then is charged by itself."""
        return self.is_automatic and (self.automatic_from is None or finalized_at >= self.automatic_from)


class AutomaticTopUp(models.Model):
    """Buy `amount` of credit whenever less than `threshold` may still be spent, at most `monthly_cap` a month, tax included.

    One that the card declined has `stopped_at` and why (`failure`); it is not tried again until somebody switches it on.
    """

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="automatic_top_up"
    )
    is_on = models.BooleanField(_("on"), default=False)
    threshold = money_field()
    amount = money_field()
    monthly_cap = money_field()
    stopped_at = models.DateTimeField(_("stopped"), null=True, blank=True)
    failure = models.CharField(max_length=200, blank=True)

    objects = TenantQuerySet["AutomaticTopUp"].as_manager()

    class Meta:
        verbose_name = _("automatic top-up")
        verbose_name_plural = _("automatic top-ups")
        constraints = [
            models.CheckConstraint(
                condition=Q(threshold__gt=0) & Q(amount__gt=0) & Q(monthly_cap__gte=models.F("amount")),
                name="automatic_top_up_can_be_made",
            ),
        ]

    def __str__(self) -> str:
        return self.organization.name

    @property
    def runs(self) -> bool:
        """Whether it would buy credit."""
        return self.is_on and self.stopped_at is None

    def stop(self, *, failure: str, now: datetime) -> None:
        self.stopped_at, self.failure = now, failure[:200]
