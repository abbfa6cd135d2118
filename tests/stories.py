"""The cast of the tests, brought on stage by the real functions: acme (ours), globex (who must see nothing), an operator.

`meet_the_cast(now=…)` is where most stories begin. Catalog rows: `mistralai/devstral-small` at $0.04 + $0.04 per 1M tokens, a
markup of 10 %, 1,500 won a dollar, published before this month and the three before it; so 0.5M + 0.5M cost ₩66 + ₩6 VAT.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone

from accounts import business_standing
from accounts.api_keys import issue_api_key
from accounts.models import ApiKey, Membership, Organization, Role, Scope, Source, User
from accounts.service_keys import add_source, issue_service_key
from accounts.tenancy import tenant_scope
from billing import seller_on_site
from billing.onboarding import open_account
from catalog import price_book
from catalog.exchange_rates import publish_exchange_rate
from catalog.markups import set_markup
from catalog.models import CostTable, LanguageModel
from catalog.publishing import publish_cost_price
from ledger import partitions
from ledger.models import BillingPeriod
from ledger.periods import lock_periods_for_charges
from metering import recording_at_once, reporters, tag_room
from metering.correction_rows import Recharge, replacement_id, reversal_id
from metering.models import EventKind, UsageEvent
from metering.recording import record
from metering.reports import Outcome, UsageReport
from metering.reversing import Correction, reverse, reversed_among
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenUsage

SEOUL = ZoneInfo("Asia/Seoul")
NOON = datetime(2026, 11, 22, 3, tzinfo=UTC)
"""A Sunday noon in Seoul, for stories that stop the clock (`time_machine.travel(stories.NOON)`)."""

PASSWORD = "a long and boring password"
DEVSTRAL = "mistralai/devstral-small"
DEVSTRAL_PRICE = {"prompt": "0.00000004", "completion": "0.00000004"}
MARKUP, EXCHANGE_RATE = Decimal("0.10"), Decimal(1500)
GATEWAY_SOURCE, API_SOURCE = "gateway", "api"

SELLER = {
    "legal_name": "주식회사 인보이스랩",
    "registration_number": "220-81-62517",
    "representative": "김대표",
    "address": "서울특별시 중구 세종대로 110",
    "email": "billing@invoicedream.example",
    "bank_name": "한빛은행",
    "bank_account": "123-456-789012",
    "bank_holder": "주식회사 인보이스랩",
}

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """An organization with its owner (who signs in with PASSWORD) and an API key of all scopes with its secret."""

    organization: Organization
    owner: User
    key: ApiKey
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        """What its programs send along."""
        return bearer(self.secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Everybody. The service key belongs to a foreign gateway that may report for acme and globex."""

    acme: Company
    globex: Company
    operator: User
    source: Source
    service_secret: str


def meet_the_cast(*, now: datetime) -> Cast:
    """The catalog, acme, globex, an operator and a foreign gateway with its key."""
    make_catalog(now=now)
    acme, globex = make_company("acme", now=now), make_company("globex", now=now)
    source, service_secret = make_service_source(now=now, organizations=[acme.organization, globex.organization])
    return Cast(acme=acme, globex=globex, operator=make_operator(now=now), source=source, service_secret=service_secret)


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {secret}"}


def make_catalog(*, now: datetime) -> LanguageModel:
    """Devstral with its price, the markup for all and the exchange rates of this month and the three before it."""
    forget_what_processes_remember()
    long_ago = now - timedelta(days=150)
    set_markup(markup=MARKUP, effective_from=long_ago, now=now)
    month = now.astimezone(SEOUL).date().replace(day=1)
    for _month in range(4):
        eve = month - timedelta(days=1)
        publish_exchange_rate(rate=EXCHANGE_RATE, published_on=eve, source="demo", now=now)
        month = eve.replace(day=1)
    return make_model(now=now)


def make_model(
    slug: str = DEVSTRAL,
    *,
    now: datetime,
    pricing: Mapping[str, object] = DEVSTRAL_PRICE,
    since: datetime | None = None,
    **facts: object,
) -> LanguageModel:
    """Sell a model at an OpenRouter-like `pricing` (USD per token, as text), by default for 150 days already.

    `facts` are further fields of LanguageModel. A router (prices of -1) gets no price.
    """
    since = since or now - timedelta(days=150)
    cost_table, _made = CostTable.objects.using("system").get_or_create(
        slug="openrouter", defaults={"name": "OpenRouter"}
    )
    provider_slug, _, name = slug.partition("/")
    sheet = parse_openrouter_pricing(pricing)
    known: dict[str, object] = {
        "name": name.replace("-", " ").title(),
        "provider": provider_slug.title(),
        "context_length": 131_072,
        "input_modalities": ["text"],
        "output_modalities": ["text"],
        "supported_parameters": ["max_tokens", "temperature", "tools"],
    }
    model = LanguageModel.objects.using("system").create(
        slug=slug,
        page_slug=slug.replace("/", "-"),
        cost_table=cost_table,
        provider_slug=provider_slug,
        is_router=sheet is None,
        created_at=since,
        **(known | facts),
    )
    if sheet is not None:
        publish_cost_price(
            cost_table=cost_table,
            language_model=model,
            sheet=sheet,
            effective_from=since,
            raw=pricing,
            origin="test",
            now=now,
        )
    price_book.forget()
    return model


def make_company(slug: str, *, now: datetime, credit_line: Decimal = Decimal(0), **account: object) -> Company:
    """An account with an owner `owner@<slug>.example` and a key; `account` goes to `open_account`."""
    owner = make_user(f"owner@{slug}.example")
    organization = open_account(
        name=slug.title(),
        slug=slug,
        owner=owner,
        now=now,
        credit_line=credit_line,
        **account,  # type: ignore[arg-type]
    )
    key, secret = make_key(organization, now=now)
    return Company(organization=organization, owner=owner, key=key, secret=secret)


def make_user(email: str, **fields: object) -> User:
    """A person with a verified address."""
    from allauth.account.models import EmailAddress

    user = User.objects.create_user(email, PASSWORD, **fields)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def give_second_factor(user: User) -> str:
    """An authenticator app for `user`; its secret."""
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    secret: str = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def code_of(secret: str) -> str:
    """What the app shows now."""
    from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

    return str(format_hotp_value(hotp_value(secret, int(timezone.now().timestamp()) // 30)))


def make_operator(*, now: datetime) -> User:
    """Somebody of ours, who may enter the console (after setting up a second factor)."""
    user = make_user("operator@invoicedream.example")
    user.is_staff = user.is_superuser = True
    user.save(using="system", update_fields=["is_staff", "is_superuser"])
    return user


def make_member(organization: Organization, role: Role, *, now: datetime) -> User:
    """A colleague with that role."""
    user = make_user(f"{role.value}@{organization.slug}.example")
    Membership.objects.using("system").create(organization=organization, user=user, role=role, created_at=now)
    return user


def period_of(organization: Organization, at: datetime) -> BillingPeriod:
    """The period that takes a charge of `at`, made if there is none yet. Needs the organization's tenant scope."""
    chosen = lock_periods_for_charges({organization.pk: [at]}, zones={organization.pk: organization.zone}, now=at)
    return BillingPeriod.objects.for_organization(organization).get(pk=chosen[organization.pk, at].id)


def make_key(
    organization: Organization,
    *,
    now: datetime,
    name: str = "Test",
    scopes: Sequence[str] = tuple(Scope),
    **options: object,
) -> tuple[ApiKey, str]:
    """An API key and its secret; `options` go to `issue_api_key`."""
    with tenant_scope([organization.pk]):
        return issue_api_key(organization=organization, name=name, now=now, scopes=scopes, **options)  # type: ignore[arg-type]


def make_service_source(
    *, now: datetime, slug: str = "litellm", organizations: Sequence[Organization] | None = None
) -> tuple[Source, str]:
    """A foreign gateway that may report for these organizations (None: for all), and the secret of its key."""
    source = add_source(slug=slug, name=slug.title(), organizations=organizations, now=now)
    _key, secret = issue_service_key(source=source, name="Test", now=now)
    return source, secret


def usage_report(organization: Organization, *, at: datetime, **fields: object) -> UsageReport:
    """A report of the built-in gateway; unless said otherwise 1,000 tokens in and 500 out of devstral under a fresh key."""
    given: dict[str, object] = {
        "source_id": Source.objects.using("system").get(slug=GATEWAY_SOURCE).pk,
        "key": f"call-{next(_numbers)}",
        "model": DEVSTRAL,
        "usage": TokenUsage(input_tokens=1000, output_tokens=500),
    }
    return UsageReport(organization_id=organization.pk, occurred_at=at, **(given | fields))  # type: ignore[arg-type]


def use(organization: Organization, *, at: datetime, now: datetime | None = None, **fields: object) -> Outcome:
    """One recorded call of `organization`."""
    [outcome] = record([usage_report(organization, at=at, **fields)], now=now or at)
    return outcome


def forget_what_processes_remember() -> None:
    """Memories of another test's database."""
    price_book.forget()
    partitions.forget()
    reporters.forget()
    tag_room.forget()
    recording_at_once.forget()
    seller_on_site.forget()
    business_standing.forget()


def correct_usage(
    organization: Organization, *, now: datetime, recharge: bool = True, before: datetime | None = None
) -> tuple[UUID, UUID, UUID]:
    """The newest charge that stands is taken back and made anew as it was; ids of it, its reversal and its replacement.

    With `before`, the newest of what was used until then.
    """
    with tenant_scope([organization.pk]):
        charges = UsageEvent.objects.for_organization(organization).filter(kind=EventKind.USAGE)
        if before is not None:
            charges = charges.filter(occurred_at__lt=before)
        charges = charges.order_by("-id")[:10]
        taken_back = reversed_among(charges, organization_id=organization.pk)
        event = next(charge for charge in charges if charge.id not in taken_back)
        again = Recharge(applied_rate_id=event.applied_rate_id, cost=event.cost, amount=event.amount)
        correction = Correction(event=event, recharge=again if recharge else None)
        reverse([correction], reason="The upstream had lowered its price.", actor=None, now=now)
    return event.id, reversal_id(event.id), replacement_id(event.id)
