"""Whose invoices these are. Without a seller nothing is invoiced: `setup_production` asks a real company for its details."""

from datetime import datetime

from billing.models import InvoiceSeries, Seller

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
DEFAULT_PREFIX = "INV"


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


def set_seller(*, now: datetime, series_prefix: str = DEFAULT_PREFIX, **details: str | int) -> Seller:
    """Put new details in force from `now` on, and make the invoice series if there is none."""
    seller = Seller.objects.using("system").create(since=now, **details)
    if not InvoiceSeries.objects.using("system").exists():
        InvoiceSeries.objects.using("system").create(prefix=series_prefix)
    return seller


def snapshot(seller: Seller) -> dict[str, str]:
    """What an invoice keeps of its seller for ever."""
    return {name: getattr(seller, name) for name in SNAPSHOT}
