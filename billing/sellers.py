"""Whose invoices these are. Without a seller nothing is invoiced: `setup_production` asks a real company for its details."""

from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.registration_numbers import normalize_registration_number
from billing.models import InvoiceSeries, Seller
from billing.numbering import DEFAULT_PREFIX as DEFAULT_PREFIX

SNAPSHOT = (
    "legal_name",
    "legal_name_en",
    "registration_number",
    "representative",
    "address",
    "address_en",
    "business_type",
    "business_item",
    "mail_order_number",
    "email",
    "phone",
    "bank_name",
    "bank_account",
    "bank_holder",
)
DETAILS = (*SNAPSHOT, "payment_days")


class NoSeller(Exception):
    """The seller's details are missing; the message says what to do."""

    def __init__(self) -> None:
        super().__init__("No seller is set up. Run `python manage.py setup_production` before invoicing.")


def current_seller(*, now: datetime) -> Seller:
    """The details in force at `now`. Raises NoSeller."""
    seller = Seller.objects.filter(since__lte=now).order_by("-since", "-pk").first()
    if seller is None:
        raise NoSeller
    return seller


def set_seller(
    *,
    now: datetime,
    since: datetime | None = None,
    series_prefix: str = DEFAULT_PREFIX,
    actor: User | None = None,
    **details: Any,
) -> Seller:
    """Put new details in force from `since` on, by default `now`, and make the invoice series if there is none.

    The very same details as are in force then change nothing, and that version is returned. Raises InvalidRegistrationNumber.
    """
    since = since or now
    seller = Seller(since=since, **details)
    seller.registration_number = normalize_registration_number(seller.registration_number)
    with transaction.atomic(using="system"):
        if not InvoiceSeries.objects.using("system").select_for_update().exists():
            InvoiceSeries.objects.using("system").create(prefix=series_prefix)
        before = version_at(since)
        changed = [name for name in DETAILS if before is None or getattr(seller, name) != getattr(before, name)]
        if before is not None and not changed:
            return before
        seller.save(using="system")
        write_audit_entry(
            action="seller.set",
            target=seller.legal_name,
            actor=actor,
            now=now,
            detail={"version": seller.pk, "since": since.isoformat(), "changed": changed},
            using="system",
        )
    return seller


def version_at(moment: datetime) -> Seller | None:
    """The details that hold at `moment`, as far as is known now; of two from the same moment on the later one."""
    return Seller.objects.using("system").filter(since__lte=moment).order_by("-since", "-pk").first()


def snapshot(seller: Seller) -> dict[str, str]:
    """What an invoice keeps of its seller for ever."""
    return {name: getattr(seller, name) for name in SNAPSHOT}
