"""The oldest of the demo's months becomes invoices, as it would have: closed a day after its end, one of them paid (`aftermath`).

The month before the running one stays open, so that a visitor can close it: its time of grace outlasts the demo's next month.
Every step looks for what it would make, so an interrupted seeding goes on where it stopped.
"""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from django.conf import settings

from accounts.models import BillingProfile, Organization
from accounts.tenancy import tenant_scope
from billing.invoicing import close_period
from billing.models import BillingTerms, Invoice, OutboxMail, Seller
from billing.sellers import set_seller
from billing.terms import set_terms
from demo import aftermath, own_words
from demo.cast import ACME, GLOBEX, ZONE
from ledger.models import BillingPeriod

GRACE_HOURS = 800
"""More than a month has: beat leaves the month before the running one to the visitor."""
CLOSED_AFTER = timedelta(days=1, hours=9)
WELCOME = Decimal("0.05")
"""What Globex's first month is cheaper by: later ones are at list prices again."""


def seller() -> dict[str, str]:
    """Who the demo's invoices are from: whom the foot of every page names (`settings.SELLER`), with what only documents say.

    Made up; the registration number is a public example that passes the check sum. Payment is due after the product's usual days.
    """
    shown: Mapping[str, str] = settings.SELLER
    return {
        "legal_name": shown["name"],
        "legal_name_en": "InvoiceDream Inc. (fictional)",
        "registration_number": shown["registration_number"],
        "representative": shown["representative"],
        "address": shown["address"],
        "address_en": "1 Yesi-ro, Yesi-gu, Seoul (fictional)",
        "business_type": "정보통신업",
        "business_item": "LLM API 제공",
        "mail_order_number": shown["mail_order_number"],
        "email": shown["email"],
        "phone": shown["phone"],
        "bank_name": "예시은행",
        "bank_account": "000-000000-00-000",
        "bank_holder": shown["name"],
    }


def close_first_month(*, first_day: date, now: datetime) -> int:
    """Invoice the month that begins with `first_day`: Globex's is discounted, paid, corrected; Acme's is open. Returns how many.

    Only the mails go out `now`, when the system starts: none has been waiting since the month that it tells of.
    """
    start = datetime.combine(first_day, time(), tzinfo=ZONE)
    if not Seller.objects.using("system").exists():
        set_seller(now=start, **seller())
    _welcome(first_day, now=start)
    invoices = [_close(slug, start) for slug in (ACME.slug, GLOBEX.slug)]
    for_globex = invoices[-1]
    if for_globex is not None:
        aftermath.pay_in_parts(for_globex)
        aftermath.give_a_tenth_of_a_line_back(for_globex)
    aftermath.quote(now=now)
    OutboxMail.objects.using("system").filter(status=OutboxMail.Status.WAITING).update(next_attempt_at=now)
    return sum(invoice is not None for invoice in invoices)


def _close(slug: str, start: datetime) -> Invoice | None:
    organization = Organization.objects.using("system").get(slug=slug)
    with tenant_scope([organization.pk]):
        BillingProfile.objects.for_organization(organization).update(grace_hours=GRACE_HOURS)
        period = BillingPeriod.objects.for_organization(organization).filter(starts_at=start).first()
    if period is None:
        return None
    return close_period(organization_id=organization.pk, period_id=period.pk, now=period.ends_at + CLOSED_AFTER)


def _welcome(first_day: date, *, now: datetime) -> None:
    """Terms for the first month, and others from the next one on."""
    organization = Organization.objects.using("system").get(slug=GLOBEX.slug)
    offers = ((first_day, WELCOME), (first_day + timedelta(days=31), Decimal(0)))
    agreed = BillingTerms.objects.using("system").filter(organization=organization).count()
    for month, discount in offers[agreed:]:
        set_terms(
            organization=organization,
            month=month,
            minimum_fee=Decimal(0),
            discount=discount,
            zero_invoices=BillingTerms.ZeroInvoices.WITH_USAGE,
            reviewed=False,
            reason=own_words.WELCOME,
            actor=None,
            now=now,
        )
