"""Give an organization credit before invoicing: a trial, a promotion, a top-up. Each grant counts once, by its key."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Least

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import set_visible_organizations
from ledger.journal import Posting, post
from ledger.models import Account, Balance, CreditGrant, TransactionKind
from pricing.exact import EXACT

SOURCE = {CreditGrant.Kind.PROMOTIONAL: Account.PROMOTION, CreditGrant.Kind.PAID: Account.BANK}


class WrongCurrency(ValueError):
    """Credit is given in the organization's billing currency only."""


def grant_credit(
    *,
    organization: Organization,
    amount: Decimal,
    currency: str,
    kind: str,
    reason: str,
    key: str,
    now: datetime,
    expires_at: datetime | None = None,
    actor: User | None = None,
    priority: int = 100,
    source: Account | None = None,
    using: str = "default",
) -> CreditGrant | None:
    """Add `amount` (tax included) to the prepaid balance; None if a grant with this `key` exists. Raises WrongCurrency.

    `source` is the account that it comes from; unless said otherwise our promotions, or the bank account for what was paid.
    `using="system"` joins the transaction that opens an account, which no tenant scope can see yet.
    """
    if currency != organization.billing_currency:
        raise WrongCurrency(f"{organization.slug} is billed in {organization.billing_currency}, not {currency}")
    with transaction.atomic(using=using):
        set_visible_organizations([organization.pk], using=using)
        grants = CreditGrant.objects.using(using).for_organization(organization)
        balance = Balance.objects.using(using).for_organization(organization)
        balance.select_for_update().get()
        if grants.filter(key=key).exists():
            return None
        grant = grants.create(
            organization_id=organization.pk,
            kind=kind,
            amount=amount,
            currency=currency,
            reason=reason,
            key=key,
            priority=priority,
            granted_at=now,
            expires_at=expires_at,
            granted_by=actor,
        )
        posting = Posting(
            TransactionKind.CREDIT_GRANTED,
            str(grant.pk),
            {source or SOURCE[CreditGrant.Kind(kind)]: amount, Account.PREPAID: EXACT.minus(amount)},
        )
        post(organization_id=organization.pk, postings=[posting], now=now, using=using)
        if expires_at is not None:
            balance.update(credit_expires_at=Least("credit_expires_at", Value(expires_at)))
        write_audit_entry(
            action="credit.granted",
            target=key,
            organization=organization,
            actor=actor,
            now=now,
            detail={"amount": format(amount, "f"), "currency": currency, "kind": kind},
            using=using,
        )
    return grant
