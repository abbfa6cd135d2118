"""What a caller reads when no money may be held for a call: what stands in the way, what is left of it, and who can change that."""

from datetime import datetime
from decimal import Decimal
from math import ceil
from zoneinfo import ZoneInfo

from django.conf import settings

from gateway.errors import GatewayError, NotPermitted, QuotaExceeded
from gateway.keys import Caller
from ledger.holds import Refusal
from ledger.limits import LimitReached
from ledger.models import LimitWindow
from ledger.velocity import KeyIsStopped
from pricing.exact import ZERO

WINDOWS = {LimitWindow.DAY: "daily", LimitWindow.MONTH: "monthly"}


def refused(
    refusal: Refusal, amount: Decimal, *, caller: Caller, prompt_bytes: int, cap: int, now: datetime
) -> GatewayError:
    """The error for a call whose worst case is `amount`, tax included."""
    if isinstance(refusal, KeyIsStopped):
        return _stopped(refusal, caller=caller)
    call = (
        f"this call, which may cost up to {_shown(amount, caller.identity.currency)} with tax ({prompt_bytes} bytes of prompt, "
        f"up to {cap} output tokens). Lower 'max_tokens', or"
    )
    if isinstance(refusal, LimitReached):
        return _limit_reached(refusal, call, caller=caller, now=now)
    asking = f"ask {settings.SELLER['email']}" if settings.SELLER["email"] else "ask us"
    return QuotaExceeded(
        f"Your remaining credit does not cover {call} top up your credit at {_pages(caller)}credit; without a card, {asking}."
    )


def _limit_reached(limit: LimitReached, call: str, *, caller: Caller, now: datetime) -> QuotaExceeded:
    identity = caller.identity
    whose = "your organization"
    if limit.member_id is not None:
        whose = "the member who made this API key"
    elif limit.api_key_id is not None:
        whose = "this API key"
    headers = {}
    if limit.window == LimitWindow.DAY:
        headers["retry-after"] = str(max(ceil((limit.resets_at - now).total_seconds()), 1))
    return QuotaExceeded(
        f"The {WINDOWS[LimitWindow(limit.window)]} spend limit of {whose} ({_shown(limit.amount, identity.currency)} with tax, of "
        f"which {_shown(max(limit.left, ZERO), identity.currency)} is left) does not leave room for {call} have an owner or admin "
        f"raise the limit at {_pages(caller)}limits. It begins anew at "
        f"{limit.resets_at.astimezone(ZoneInfo(identity.zone)):%Y-%m-%d %H:%M} ({identity.zone}).",
        headers=headers,
    )


def _stopped(stop: KeyIsStopped, *, caller: Caller) -> NotPermitted:
    identity = caller.identity
    return NotPermitted(
        f"This API key was stopped at {stop.stopped_at.astimezone(ZoneInfo(identity.zone)):%Y-%m-%d %H:%M} ({identity.zone}), "
        f"because it spent {_shown(stop.spent, identity.currency)} with tax within {stop.seconds // 60} minutes. Other keys "
        f"are not concerned. An owner or admin can look at it and lift the stop at {_pages(caller)}limits.",
        code="api_key_stopped",
    )


def _pages(caller: Caller) -> str:
    return f"{settings.SITE_URL}/o/{caller.identity.organization_slug}/"


def _shown(amount: Decimal, currency: str) -> str:
    return f"₩{amount:,.0f}" if currency == "KRW" and (amount >= 1 or not amount) else f"{amount:.4f} {currency}"
