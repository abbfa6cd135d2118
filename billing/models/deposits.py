"""What arrived on our bank account, as the bank's statement says it, and what became of each deposit."""

from typing import Self

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Currency, Organization, User
from accounts.tenancy import TenantQuerySet


class BankStatement(models.Model):
    """A statement that somebody imported. `form` is what its lines tell beside the amount: a time, a balance, both or neither."""

    account = models.CharField(_("account number"), max_length=40)
    currency = models.CharField(max_length=3, choices=Currency.choices, default=Currency.KRW)
    file_name = models.CharField(_("file"), max_length=200)
    sha256 = models.CharField(max_length=64)
    form = models.CharField(max_length=20)
    deposits = models.PositiveIntegerField(_("deposits"))
    imported_at = models.DateTimeField()
    imported_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        verbose_name = _("bank statement")
        verbose_name_plural = _("bank statements")


class BankDepositQuerySet(models.QuerySet["BankDeposit"]):
    def undecided(self) -> Self:
        """Those that wait: never decided upon, or by a decision that was undone."""
        return self.filter(~Exists(DepositDecision.objects.filter(deposit=OuterRef("pk"), undone_at=None)))


class LineOfStatement(models.Model):
    """What a line says, and where it stands. `payer` is the text by which the bank names the payer; `sequence` tells lines apart
    that are alike in all that identifies them.
    """

    IDENTITY = ("account", "at", "amount", "payer", "balance", "sequence")

    statement = models.ForeignKey(BankStatement, on_delete=models.PROTECT, related_name="+")
    line = models.PositiveIntegerField()
    account = models.CharField(_("account number"), max_length=40)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    at = models.DateTimeField()
    amount = models.DecimalField(max_digits=18, decimal_places=2)
    payer = models.CharField(_("payer"), max_length=100, blank=True)
    balance = models.DecimalField(max_digits=18, decimal_places=2, null=True)
    sequence = models.PositiveSmallIntegerField(default=1)
    memo = models.CharField(_("memo"), max_length=200, blank=True)
    branch = models.CharField(_("branch"), max_length=60, blank=True)

    class Meta:
        abstract = True


class BankDeposit(LineOfStatement):
    """A line by which money came in, once, however often it stands in the files. Never changed."""

    objects = BankDepositQuerySet.as_manager()

    class Meta:
        verbose_name = _("deposit")
        verbose_name_plural = _("deposits")
        constraints = [
            models.UniqueConstraint(fields=LineOfStatement.IDENTITY, name="one_deposit_per_line", nulls_distinct=False),
            models.CheckConstraint(condition=Q(amount__gt=0), name="deposit_positive"),
        ]
        indexes = [models.Index(fields=["-at"], name="deposit_by_time")]


class DepositTakenBack(LineOfStatement):
    """A line by which the bank took a deposit back (입금취소), once, as deposits are. Never changed.

    `deposit` is the one that it takes back; none where no deposit of that payer and amount was known.
    """

    deposit = models.OneToOneField(BankDeposit, on_delete=models.PROTECT, null=True, related_name="taken_back")

    class Meta:
        verbose_name = _("deposit that the bank took back")
        verbose_name_plural = _("deposits that the bank took back")
        constraints = [
            models.UniqueConstraint(
                fields=LineOfStatement.IDENTITY, name="one_taking_back_per_line", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="taken_back_positive"),
        ]


class DepositDecision(models.Model):
    """What became of a deposit, decided once: it paid an organization's invoices, or it concerns none and was set aside.

    `because` holds the reasons of a match (`transfer_matching.Evidence`), `reason` what an operator wrote. An operator may undo it
    (`undoing.py`), which is all that ever changes; the deposit waits again then, for another decision.
    """

    class Kind(models.TextChoices):
        AUTOMATIC = "automatic", _("Matched automatically")
        CONFIRMED = "confirmed", _("Matched by an operator")
        SET_ASIDE = "set_aside", _("Set aside")

    deposit = models.ForeignKey(BankDeposit, on_delete=models.PROTECT, related_name="decisions")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    because = models.JSONField(default=list)
    reason = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField()
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    undone_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    undo_reason = models.CharField(max_length=200, blank=True)

    objects = TenantQuerySet["DepositDecision"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "id"], name="decision_of_organization"),
            models.UniqueConstraint(fields=["deposit"], condition=Q(undone_at=None), name="one_decision_per_deposit"),
            models.CheckConstraint(
                condition=Q(kind="set_aside", organization=None) | ~Q(kind="set_aside") & Q(organization__isnull=False),
                name="matched_deposits_have_an_organization",
            ),
        ]


class DepositPart(models.Model):
    """A payment that a deposit became. The parts of a deposit add up to it (invariant 46)."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    decision = models.ForeignKey(DepositDecision, on_delete=models.PROTECT, related_name="parts")
    payment = models.OneToOneField("billing.Payment", on_delete=models.PROTECT, related_name="deposit_part")

    objects = TenantQuerySet["DepositPart"].as_manager()


class PayerAlias(models.Model):
    """A name under which an organization has paid, from a match that an operator confirmed; bare (`payer_names.py`)."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    objects = TenantQuerySet["PayerAlias"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="one_alias_per_name")]
