"""What every page knows: the seller, the addresses, whether this is a demo, and where the reader stands."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.organizations import memberships_of
from billing.seller_on_site import seller_on_site
from dashboard.dues import dues_of


def site(request: HttpRequest) -> Mapping[str, Any]:
    """Variables of all templates. `organization` and `membership` are those that `access.organization_page` let in."""
    return {
        "site_name": _("InvoiceDream"),
        "site_url": settings.SITE_URL,
        "gateway_url": settings.GATEWAY_URL,
        "mailbox_url": settings.MAILBOX_URL,
        "seller": SimpleLazyObject(lambda: seller_on_site(now=timezone.now())),
        "demo": settings.DEMO,
        "trial_credit": settings.TRIAL_CREDIT_KRW,
        "organization": getattr(request, "organization", None),
        "dues": SimpleLazyObject(lambda: dues_of(getattr(request, "organization", None), now=timezone.now())),
        "membership": getattr(request, "membership", None),
        "organizations": SimpleLazyObject(lambda: organizations_of(getattr(request, "user", None))),
    }


def organizations_of(user: object) -> list[Organization]:
    """The organizations that a reader may switch between; asked only by pages that show the menu."""
    if not isinstance(user, User):
        return []
    return [membership.organization for membership in memberships_of(user)]
