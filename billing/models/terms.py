"""What was agreed with an organization beside its prices: dated rows that are never changed; the successor ends its predecessor."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantQuerySet


class BillingTerms(models.Model):
    """Commercial terms, in force for the billing periods that start from `effective_from` on. Who has none has the defaults.

    Of two from the same moment the one with the higher `revision` corrects the other.
    """

    class ZeroInvoices(models.TextChoices):
        """Whether a month whose total is 0 is invoiced."""

        WITH_USAGE = "with_usage", _("Only for a month with usage")
        ALWAYS = "always", _("Always")
        NEVER = "never", _("Never")

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="billing_terms")
    effective_from = models.DateTimeField()
    revision = models.PositiveSmallIntegerField(default=1)
    minimum_fee = models.DecimalField(_("minimum monthly fee"), max_digits=18, decimal_places=2, default=0)
    """What a whole month costs at least, before tax, in whole minor units of the billing currency."""
    discount = models.DecimalField(_("discount on usage"), max_digits=5, decimal_places=4, default=0)
    """As a fraction: 0.1250 is 12.5 %."""
    zero_invoices = models.CharField(
        _("invoices of 0"), max_length=10, choices=ZeroInvoices.choices, default=ZeroInvoices.WITH_USAGE
    )
    reviewed = models.BooleanField(_("reviewed before it is issued"), default=False)
    reason = models.CharField(max_length=200)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()

    objects = TenantQuerySet["BillingTerms"].as_manager()

    class Meta:
        verbose_name = _("commercial terms")
        verbose_name_plural = _("commercial terms")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "effective_from", "revision"], name="one_version_of_terms_per_moment"
            ),
            models.UniqueConstraint(fields=["organization", "id"], name="terms_of_organization"),
            models.CheckConstraint(condition=Q(minimum_fee__gte=0), name="minimum_fee_not_negative"),
            models.CheckConstraint(condition=Q(discount__gte=0, discount__lte=1), name="discount_is_a_fraction"),
        ]

    @property
    def invoices_quiet_months(self) -> bool:
        """Whether a month is invoiced in which nothing was used."""
        return self.minimum_fee > 0 or self.zero_invoices == self.ZeroInvoices.ALWAYS
