"""A sample of every mail that we send, worded by the real functions from rows that are never saved: what operators look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext

from accounts.models import Invitation, Organization, Role, TaxTreatment, User
from billing.mail.mail_texts import Letter, compose
from billing.models import CreditNote, Invoice, Notice, OutboxMail, TaxInvoice
from billing.notifications.notices import moment_text
from billing.sellers import SNAPSHOT, NoSeller, current_seller, snapshot
from billing.site_addresses import invoice_page
from ledger.models import BillingPeriod
from ledger.periods import month_bounds
from pricing.totals import invoice_totals

Kind = OutboxMail.Kind
ZONE = "Asia/Seoul"
ORGANIZATION = "sample"
COMPANY = {"ko": "아크메", "en": "Acme"}
LEGAL_NAME = {"ko": "주식회사 아크메", "en": "Acme Inc."}
PERSON = {"ko": "박지훈", "en": "Jihun Park"}
"""By language."""
INVOICE_ID = UUID(int=0)
USAGE, CREDIT = Decimal(1_234_567), Decimal(50_000)
CONTEXTS: Mapping[Kind, Mapping[str, Any]] = {
    Kind.INVOICE: {},
    Kind.RECEIPT: {"amount": "1308023", "processor": "bank_transfer"},
    Kind.PAYMENT_FAILED: {"amount": "1308023", "failure": "insufficient_funds"},
    Kind.DUE_SOON: {},
    Kind.OVERDUE: {"suspension_on": "2026-12-07"},
    Kind.TOP_UP: {"amount": "55000", "currency": "KRW", "processor": "stripe", "method": "Visa •••• 4242"},
    Kind.TOP_UP_FAILED: {
        "amount": "55000", "currency": "KRW", "processor": "stripe", "method": "Visa •••• 4242", "failure": "expired_card",
    },
    Kind.INVITATION: {},
    Kind.CREDIT_NOTE: {},
    Kind.PAYMENT_REVERSED: {"amount": "1308023", "currency": "KRW"},
    Kind.REFUND: {"amount": "110000", "processor": "stripe"},
    Kind.TAX_INVOICE: {},
}  # fmt: skip
BY_HAND = ":by_hand"
_LIMIT: Mapping[str, Any] = {
    "api_key": None,
    "member": None,
    "window": "month",
    "hard": True,
    "currency": "KRW",
    "amount": "1000000",
    "spent": "812345.6",
    "held": "1200",
    "left": "186454.4",
}
_KEY: Mapping[str, Any] = {"api_key": {"id": "1", "name": "Chatbot", "prefix": "idk_live_aBcD"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`name` is unique and stays the same; `label` says what it is (of a notice, which)."""

    name: str
    label: str
    letter: Letter


def sample_names() -> list[str]:
    """`invoice`, …, `notice:limit.threshold:50`, …: every kind of mail, notices by what they tell."""
    return [kind.value for kind in CONTEXTS] + [f"notice:{name}" for name in _notices(at="", person="")]


def sample(name: str, *, language: str, now: datetime) -> Sample:
    """The sample of that name. Raises KeyError."""
    if name.startswith("notice:"):
        return _notice(name, language=language, now=now)
    try:
        kind = Kind(name)
        context = CONTEXTS[kind]
    except ValueError:
        raise KeyError(name) from None
    invoice = None if kind in (Kind.TOP_UP, Kind.TOP_UP_FAILED, Kind.INVITATION) else _invoice(language, now)
    if invoice is not None and kind == Kind.RECEIPT:
        invoice.status = Invoice.Status.PAID
    about: Invitation | CreditNote | TaxInvoice | None = None
    if kind == Kind.INVITATION:
        about = _invitation(language, now)
    elif kind in (Kind.CREDIT_NOTE, Kind.REFUND) and invoice is not None:
        about = _credit_note(invoice)
    elif kind == Kind.TAX_INVOICE and invoice is not None:
        about = _tax_invoice(invoice)
    mail = _mail(kind, context, invoice, language=language, now=now, about=about)
    return Sample(name=name, label=str(kind.label), letter=compose(mail, without_token=True))


def _notice(name: str, *, language: str, now: datetime) -> Sample:
    kind, data = _notices(at=moment_text(now), person=PERSON[language])[name.removeprefix("notice:")]
    notice = Notice(kind=kind, data=data, created_at=now, organization=_organization(language))
    mail = _mail(Kind.NOTICE, {}, None, language=language, now=now, about=notice)
    label = str(kind.label)
    if "percent" in data:
        label = f"{label} {data['percent']}%"
    elif name.endswith(BY_HAND):
        label = gettext("%(label)s, by an operator") % {"label": label}
    return Sample(name=name, label=label, letter=compose(mail))


def _mail(
    kind: Kind, context: Mapping[str, Any], invoice: Invoice | None, *, language: str, now: datetime, about: Any
) -> OutboxMail:
    mail = OutboxMail(
        organization=_organization(language),
        kind=kind,
        language=language,
        invoice=invoice,
        context=dict(context),
        created_at=now,
    )
    mail.about = about
    return mail


def _notices(*, at: str, person: str) -> dict[str, tuple[Notice.Kind, dict[str, Any]]]:
    """By name, what each tells that people hear of."""
    one = Notice.Kind
    suspended = {"suspended_at": at, "invoice": None}
    owing = {
        "number": "INV-000042",
        "outstanding": "1308023",
        "currency": "KRW",
        "due_on": "2026-11-16",
        "url": invoice_page(organization_slug=ORGANIZATION, invoice_id=INVOICE_ID),
    }
    limit = {**_LIMIT, "resets_at": at}
    closure = {"closes_at": at, "at_once": False, "asked_by": person}
    found: dict[str, tuple[Notice.Kind, dict[str, Any]]] = {
        f"{one.LIMIT_THRESHOLD}:{percent}": (one.LIMIT_THRESHOLD, {**limit, "percent": percent})
        for percent in (50, 80, 100)
    }
    found |= {
        one.LIMIT_REFUSING.value: (one.LIMIT_REFUSING, limit | {"left": "120"}),
        one.CREDIT_LOW.value: (one.CREDIT_LOW, {"currency": "KRW", "left": "830", "threshold": "1000"}),
        one.KEY_CREATED.value: (one.KEY_CREATED, {**_KEY, "created_at": at, "created_by": person}),
        one.KEY_STOPPED.value: (
            one.KEY_STOPPED,
            {**_KEY, "currency": "KRW", "spent": "98000", "allowed": "50000", "seconds": 600, "stopped_at": at},
        ),
        one.SUSPENDED.value: (one.SUSPENDED, suspended | {"invoice": owing}),
        f"{one.SUSPENDED}{BY_HAND}": (one.SUSPENDED, suspended),
        one.RESTORED.value: (one.RESTORED, suspended | {"restored_at": at}),
        one.CLOSURE_ASKED.value: (one.CLOSURE_ASKED, closure),
        one.CLOSURE_WITHDRAWN.value: (one.CLOSURE_WITHDRAWN, closure),
        one.CLOSING.value: (one.CLOSING, closure),
        one.CLOSED.value: (one.CLOSED, closure | {"readable_until": at}),
        one.WEBHOOK_DISABLED.value: (one.WEBHOOK_DISABLED, {"days": 3, "url": "https://hooks.example/invoicedream"}),
    }
    return found


def _organization(language: str) -> Organization:
    return Organization(slug=ORGANIZATION, name=COMPANY[language], language=language, zone=ZONE, billing_currency="KRW")


def _invoice(language: str, now: datetime) -> Invoice:
    """Last month's, a part of it paid with credit."""
    start, _end = month_bounds(now, zone=ZONE)
    starts_at, ends_at = month_bounds(start - timedelta(days=1), zone=ZONE)
    today = now.astimezone(ZoneInfo(ZONE)).date()
    totals = invoice_totals([USAGE], currency="KRW", tax_rate=settings.VAT_RATE)
    return Invoice(
        id=INVOICE_ID,
        organization=_organization(language),
        period=BillingPeriod(starts_at=starts_at, ends_at=ends_at, zone=ZONE),
        number="INV-000042",
        status=Invoice.Status.OPEN,
        language=language,
        currency="KRW",
        tax_treatment=TaxTreatment.STANDARD,
        tax_rate=settings.VAT_RATE,
        subtotal=totals.subtotal,
        tax=totals.tax,
        total=totals.total,
        credit_applied=CREDIT,
        amount_due=totals.total - CREDIT,
        issued_on=today,
        written_on=today,
        due_on=today + timedelta(days=14),
        seller=_seller(now),
        buyer={
            "organization": COMPANY[language],
            "legal_name": LEGAL_NAME[language],
            "contact_name": PERSON[language],
        },
        finalized_at=now,
    )


def _seller(now: datetime) -> dict[str, str]:
    """Ours, if one is set up."""
    try:
        return snapshot(current_seller(now=now))
    except NoSeller:
        return dict.fromkeys(SNAPSHOT, "–")


def _invitation(language: str, now: datetime) -> Invitation:
    return Invitation(
        pk=0,
        organization=_organization(language),
        role=Role.DEVELOPER,
        invited_by=User(name=PERSON[language], email="owner@sample.example"),
        expires_at=now + timedelta(days=7),
        nonce="sample",
    )


def _credit_note(invoice: Invoice) -> CreditNote:
    return CreditNote(
        id=INVOICE_ID,
        number="CN-000007",
        invoice=invoice,
        reason="단가 정정" if invoice.language == "ko" else "A price was corrected",
        subtotal=Decimal(100_000),
        tax=Decimal(10_000),
        total=Decimal(110_000),
        applied=Decimal(0),
        to_credit=Decimal(0),
        to_refund=Decimal(110_000),
        credit_returned=Decimal(0),
    )


def _tax_invoice(invoice: Invoice) -> TaxInvoice:
    return TaxInvoice(
        id=INVOICE_ID,
        invoice=invoice,
        write_date=invoice.written_on,
        approval_number=f"{invoice.issued_on:%Y%m%d}4100020300000042",
        supply=invoice.subtotal,
        tax=invoice.tax,
        total=invoice.total,
        buyer={"name": LEGAL_NAME[invoice.language], "registration_number": "120-81-47521"},
    )
