"""The oldest of the demo's months becomes invoices, as it would have: closed a day after its end, one of them paid by transfer.

The month before the running one stays open, so that a visitor can close it: its time of grace outlasts the demo's next month.
Every step looks for what it would make, so an interrupted seeding goes on where it stopped.
"""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from django.conf import settings

from accounts.models import BillingProfile, Organization
from accounts.tenancy import tenant_scope
from billing.bank.bank_transfers import record_transfer
from billing.invoicing import close_period
from billing.models import Invoice, OutboxMail, Seller
from billing.sellers import set_seller
from demo.cast import ACME, GLOBEX, ZONE
from ledger.models import BillingPeriod

GRACE_HOURS = 800
"""More than a month has: beat leaves the month before the running one to the visitor."""
CLOSED_AFTER, PAID_AFTER = timedelta(days=1, hours=9), timedelta(days=9)


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
    """Invoice the month that begins with `first_day`; Globex's invoice is paid, Acme's is not. Returns how many invoices.

    Only the mails go out `now`, when the system starts: none has been waiting since the month that it tells of.
    """
    start = datetime.combine(first_day, time(), tzinfo=ZONE)
    if not Seller.objects.using("system").exists():
        set_seller(now=start, **seller())
    invoices = [_close(slug, start) for slug in (ACME.slug, GLOBEX.slug)]
    for_globex = invoices[-1]
    if for_globex is not None and for_globex.status == Invoice.Status.OPEN:
        _pay(for_globex)
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


def _pay(invoice: Invoice) -> None:
    at = invoice.finalized_at + PAID_AFTER
    record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=invoice.amount_due,
        payer_name=GLOBEX.name,
        key="demo",
        received_at=at,
        actor=None,
        now=at,
    )
