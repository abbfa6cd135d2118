"""Owners, admins and the billing contact hear of each step of a closure by mail, the organization's programs by a webhook."""

from datetime import datetime

from accounts.models import BillingProfile
from billing.models import Closure, Notice
from billing.notifications.notices import announce, moment_text


def tell_asked(closure: Closure, *, now: datetime) -> None:
    _tell(Notice.Kind.CLOSURE_ASKED, closure, now=now)


def tell_withdrawn(closure: Closure, *, now: datetime) -> None:
    _tell(Notice.Kind.CLOSURE_WITHDRAWN, closure, now=now)


def tell_ended(closure: Closure, *, now: datetime) -> None:
    """Usage is over; the last invoice comes by a mail of its own."""
    _tell(Notice.Kind.CLOSING, closure, now=now)


def tell_closed(closure: Closure, *, readable_until: datetime, now: datetime) -> None:
    """Nothing is owed any more. The last that endpoints hear."""
    _tell(Notice.Kind.CLOSED, closure, now=now, readable_until=moment_text(readable_until))


def _tell(kind: str, closure: Closure, *, now: datetime, **more: str) -> None:
    organization = closure.organization
    profile = BillingProfile.objects.for_organization(organization).first()
    announce(
        organization=organization,
        kind=kind,
        key=f"{kind}:{closure.pk}",
        data={
            "closes_at": moment_text(closure.closes_at),
            "at_once": closure.at_once,
            "asked_by": _name(closure),
            **more,
        },
        also_to=profile.contact_email if profile else "",
        now=now,
    )


def _name(closure: Closure) -> str:
    """Operators are not named to customers."""
    if closure.by_operator or closure.asked_by is None:
        return ""
    return closure.asked_by.get_full_name()
