"""On whose terms a reader of the public pages sees prices: list prices, or those of one of their organizations.

The address may say so, `?for=<slug>`; otherwise it is the organization of a reader who has just one, as the API has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control

from accounts.models import BillingProfile, Organization, User
from accounts.organizations import memberships_of
from accounts.tenancy import tenant_scope
from billing.buyers import billing_profile
from billing.estimates import Buyer, buyer_of, public_buyer

LIST_PRICES = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whose prices are shown (None: list prices), and whose could be: `choices` are the reader's own organizations."""

    buyer: Buyer
    organization: Organization | None
    choices: Sequence[Organization]
    chosen: str
    """What the address said, if it was one of the choices."""
    inclusive: bool
    """Whether prices are shown with VAT in the first place."""

    @property
    def zone(self) -> tzinfo:
        return ZoneInfo(self.buyer.terms.zone)


def reader_of(request: HttpRequest, *, now: datetime) -> Reader:
    """The reader as the address and their memberships have it. What is no place of theirs is as if it were not asked for."""
    places = memberships_of(request.user) if isinstance(request.user, User) else []
    choices = [place.organization for place in places]
    by_slug = {organization.slug: organization for organization in choices}
    asked = request.GET.get("for", "")
    chosen = asked if asked in by_slug or (asked == LIST_PRICES and choices) else ""
    organization = by_slug.get(chosen) if chosen else choices[0] if len(choices) == 1 else None
    if organization is None:
        return Reader(
            buyer=public_buyer(),
            organization=None,
            choices=choices,
            chosen=chosen,
            inclusive=settings.PRICES_INCLUDE_VAT,
        )
    with tenant_scope([organization.pk]):
        return Reader(
            buyer=buyer_of(organization, at=now),
            organization=organization,
            choices=choices,
            chosen=chosen,
            inclusive=_inclusive(billing_profile(organization).prices),
        )


def _inclusive(prices: str) -> bool:
    if prices == BillingProfile.Prices.SITE:
        return bool(settings.PRICES_INCLUDE_VAT)
    return prices == BillingProfile.Prices.INCLUSIVE


def keep_private(response: HttpResponse, reader: Reader) -> HttpResponse:
    """What shows an organization's own prices is kept by no cache."""
    if reader.organization is not None:
        patch_cache_control(response, private=True, no_store=True)
    return response
