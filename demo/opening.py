"""Before the first call: what the demo's offer consists of, and its companies with their people, keys and credit line.

Every step looks for what it would make, so an interrupted opening goes on where it stopped.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from allauth.account.models import EmailAddress
from django.db import transaction

from accounts.api_keys import issue_api_key
from accounts.invitations import accept, invite, token_of
from accounts.models import ApiKey, BillingProfile, Membership, Organization, Source, User
from accounts.organizations import membership_in
from accounts.profiles import update_profile
from accounts.service_keys import add_source
from accounts.tenancy import tenant_scope
from billing.onboarding import open_account
from catalog.exchange_rates import publish_exchange_rate
from catalog.markups import set_markup
from catalog.models import ExchangeRate, MarkupRule
from demo.cast import COMPANIES, FOREIGN_GATEWAY, OPERATOR, QUICKSTART, ZONE, Company, Person
from ledger.partitions import following_months

MARKUP = Decimal("0.10")
EXCHANGE_RATE, RATE_SOURCE = Decimal(1500), "demo"
CREDIT_LINE = Decimal(5_000_000)
"""Won, tax included: both companies pay after the month, and most of the three months is not paid yet."""
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
MONTHS_AHEAD = 2
"""A demo that is left running must go on converting dollars when the month turns."""


def set_terms(*, first_month: date, now: datetime) -> None:
    """Markup for all, and an exchange rate on the eve of every month from `first_month` to some ahead of `now`."""
    rules = MarkupRule.objects.using("system")
    if not rules.filter(organization=None, language_model=None, provider_slug="").exists():
        set_markup(markup=MARKUP, effective_from=LONG_AGO, now=now, reason="Demo: 10 % on everything")
    month = now.astimezone(ZONE).date()
    months = (month.year - first_month.year) * 12 + month.month - first_month.month + 1 + MONTHS_AHEAD
    eves = {first - timedelta(days=1) for first in following_months(first_month, months)}
    rates = ExchangeRate.objects.using("system").filter(source=RATE_SOURCE, published_on__in=eves)
    for eve in sorted(eves - set(rates.values_list("published_on", flat=True))):
        publish_exchange_rate(rate=EXCHANGE_RATE, published_on=eve, source=RATE_SOURCE, now=now)


def open_companies(*, now: datetime) -> None:
    """The companies as they were opened at `now`, an operator, and the foreign gateway that may report for them."""
    organizations = [_open_company(company, now=now) for company in COMPANIES]
    for company, organization in zip(COMPANIES, organizations, strict=True):
        _furnish(company, organization, now=now)
    with transaction.atomic(using="system"):
        operator = _user(OPERATOR, now=now)
        operator.is_staff = operator.is_superuser = True
        operator.save(using="system", update_fields=["is_staff", "is_superuser"])
        _allow_foreign_gateway(organizations, now=now)


def _open_company(company: Company, *, now: datetime) -> Organization:
    with transaction.atomic(using="system"):
        found = Organization.objects.using("system").filter(slug=company.slug).first()
        if found is not None:
            return found
        owner = _user(company.owner, now=now)
        organization = open_account(
            name=company.name,
            slug=company.slug,
            owner=owner,
            now=now,
            credit_line=CREDIT_LINE,
            trial_credit=Decimal(0),
        )
        for name in company.keys:
            if name != QUICKSTART:
                issue_api_key(organization=organization, name=name, now=now, created_by=owner, using="system")
    return organization


def _furnish(company: Company, organization: Organization, *, now: datetime) -> None:
    """Billing details as the owner would enter them, unless somebody did; colleagues who were invited and came."""
    owner = membership_in(_user(company.owner, now=now), company.slug)
    assert owner is not None
    if not BillingProfile.objects.using("system").get(organization=organization).legal_name:
        details = {
            "legal_name": company.name,
            "registration_number": company.registration_number,
            "representative": company.representative,
            "address": company.address,
            "business_type": company.business_type,
            "business_item": company.business_item,
            "contact_name": company.owner.name,
            "contact_email": company.owner.email,
            "pays_by": company.pays_by,
        }
        update_profile(organization=organization, changes=details, actor=owner.user, now=now)
    known = Membership.objects.using("system").filter(organization=organization).values_list("user__email", flat=True)
    for person in company.people[1:]:
        if person.email not in known:
            _join(person, owner, now=now)


def _join(person: Person, inviter: Membership, *, now: datetime) -> None:
    user, organization = _user(person, now=now), inviter.organization
    with tenant_scope([organization.pk]):
        invitation = invite(organization=organization, email=person.email, role=person.role, inviter=inviter, now=now)
        token = token_of(invitation_id=invitation.pk, nonce=invitation.nonce)
    accept(token=token, user=user, now=now)


def _user(person: Person, *, now: datetime) -> User:
    """Somebody with a verified address and no password yet (`demo.access` gives it)."""
    users = User.objects.db_manager("system")
    found = users.filter(email=person.email).first()
    if found is not None:
        return found
    user = users.create_user(person.email, None, name=person.name, date_joined=now)
    EmailAddress.objects.using("system").create(user=user, email=user.email, verified=True, primary=True)
    return user


def _allow_foreign_gateway(organizations: list[Organization], *, now: datetime) -> None:
    slug, name = FOREIGN_GATEWAY
    if not Source.objects.using("system").filter(slug=slug).exists():
        add_source(slug=slug, name=name, organizations=organizations, now=now)


def key_ids() -> dict[tuple[str, str], int]:
    """The demo's API keys by company and name; of several with one name the newest."""
    rows = ApiKey.objects.using("system").filter(organization__slug__in=[company.slug for company in COMPANIES])
    return {(slug, name): pk for slug, name, pk in rows.order_by("pk").values_list("organization__slug", "name", "pk")}
