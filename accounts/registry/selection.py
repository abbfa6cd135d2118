"""Which register this installation asks: the tax office's where `NTS_SERVICE_KEY` is set, else none, and numbers stay unchecked."""

from django.conf import settings

from accounts.registry.interface import BusinessRegistry
from accounts.registry.nts import TaxOffice


def business_registry() -> BusinessRegistry | None:
    if not settings.NTS_SERVICE_KEY:
        return None
    return TaxOffice(service_key=settings.NTS_SERVICE_KEY, base_url=settings.NTS_BASE_URL)
