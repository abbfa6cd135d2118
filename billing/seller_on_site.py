"""What pages and mails without an invoice say of the seller: the details in force, which are those that invoices print.

Every page has them at its foot, so a process remembers the versions for a minute; a new one is chosen at its moment all the same.
"""

from collections.abc import Mapping
from datetime import datetime
from time import monotonic

from django.conf import settings
from django.db import DatabaseError

from billing.models import Seller

REMEMBERED = 60.0
"""Seconds."""
DETAIL_OF = {
    "name": "legal_name",
    "representative": "representative",
    "registration_number": "registration_number",
    "mail_order_number": "mail_order_number",
    "address": "address",
    "phone": "phone",
    "email": "email",
}
"""The names that templates use, and the details that they stand for."""

_remembered: tuple[float, list[Seller]] | None = None


def seller_on_site(*, now: datetime) -> Mapping[str, str]:
    """The details in force at `now` by the names of DETAIL_OF, and `privacy_officer`, whom only the settings SELLER_… name.

    Until details are entered the settings say everything. The foot of a page never fails: without the database, what was known.
    """
    in_force = next((version for version in _versions() if version.since <= now), None)
    if in_force is None:
        shown: Mapping[str, str] = settings.SELLER
        return shown
    return settings.SELLER | {name: getattr(in_force, detail) for name, detail in DETAIL_OF.items()}


def forget() -> None:
    """For tests: the memory of another database."""
    global _remembered
    _remembered = None


def _versions() -> list[Seller]:
    """All versions, the one that began last first."""
    global _remembered
    known = _remembered
    if known is not None and monotonic() - known[0] < REMEMBERED:
        return known[1]
    try:
        _remembered = (monotonic(), list(Seller.objects.using("system").order_by("-since", "-pk")))
    except DatabaseError:
        return known[1] if known else []
    return _remembered[1]
