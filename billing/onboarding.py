"""Open an account: organization, owner, balance, trial credit – what must stand before the first key works."""

from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from accounts.models import Currency, Organization, TaxTreatment, User
from accounts.organizations import create_organization, memberships_of
from ledger.balances import open_balance
from ledger.credits import grant_credit
from ledger.models import CreditGrant

TRIAL_KEY = "trial"


def open_account(
    *,
    name: str,
    owner: User | None,
    now: datetime,
    slug: str = "",
    zone: str = "Asia/Seoul",
    currency: str = Currency.KRW,
    language: str = "ko",
    credit_line: Decimal = Decimal(0),
    trial_credit: Decimal | None = None,
) -> Organization:
    """Make an organization that can spend its trial credit (`settings.TRIAL_CREDIT_KRW` unless given; won accounts only)."""
    with transaction.atomic(using="system"):
        organization = create_organization(
            name=name, owner=owner, now=now, slug=slug, zone=zone, currency=currency, language=language
        )
        open_balance(organization, tax_rate=tax_rate_of(TaxTreatment.STANDARD), credit_line=credit_line)
        credit = settings.TRIAL_CREDIT_KRW if trial_credit is None else trial_credit
        if credit and currency == Currency.KRW:
            grant_credit(
                organization=organization,
                amount=credit,
                currency=currency,
                kind=CreditGrant.Kind.PROMOTIONAL,
                reason="Trial credit",
                key=TRIAL_KEY,
                now=now,
                using="system",
            )
    return organization


def open_first_account(*, owner: User, now: datetime) -> Organization:
    """The organization that a newcomer asked for at sign-up, opened once however often and at the same time this is called.

    Whoever has a place already, by invitation say, gets that one. Rivals queue at the user's row; the weaker lock lets the
    membership, written as another role, refer to it meanwhile.
    """
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=owner.pk)
        places = memberships_of(owner)
        if places:
            return places[0].organization
        name = owner.organization_name or owner.get_full_name()
        return open_account(name=name, owner=owner, now=now, language=owner.language)


def tax_rate_of(treatment: str) -> Decimal:
    """The VAT rate of a tax treatment, as a fraction."""
    rate: Decimal = settings.VAT_RATE
    return rate if treatment == TaxTreatment.STANDARD else Decimal(0)
