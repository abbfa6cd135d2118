"""Raise the alarm before exchange rates run out, and while they have; take it back when one is there again.

A rate that is missing is never 1: the usage of its month or day waits, unpriced. Nobody shall learn that from a customer.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from accounts.alarms import clear_alarm, raise_alarm
from accounts.models import Currency, Organization
from catalog.price_book import PUBLIC_TERMS
from catalog.rate_history import Boundary, RateHistory, boundary_of, load_rate_history
from catalog.rate_import import ALARM, is_late

SUBJECT = "USD/KRW"
AHEAD = timedelta(days=7)
"""How long before a month or day that would have no rate."""


def watch_exchange_rates(*, now: datetime) -> str:
    """Raise or clear the alarm; returns what is wrong, the worst first, or nothing."""
    history = load_rate_history()
    problems = [*_missing(history, now), *_running_out(history, now), *_late(now)]
    if not problems:
        clear_alarm(kind=ALARM, subject=SUBJECT, now=now)
        return ""
    raise_alarm(kind=ALARM, subject=SUBJECT, summary=" ".join(problems), now=now)
    return " ".join(problems)


def _missing(history: RateHistory, now: datetime) -> Iterator[str]:
    for boundary, zone in _boundaries_at(now):
        if history.at(boundary) is None:
            yield f"No exchange rate holds since {boundary.day.isoformat()} ({zone}): usage waits without a price."


def _running_out(history: RateHistory, now: datetime) -> Iterator[str]:
    for boundary, zone in _boundaries_at(now + AHEAD):
        if boundary.begins > now and history.at(boundary) is None:
            last = history.last_before(boundary.day)
            known = f"the last one is of {last.published_on.isoformat()}" if last else "there is none"
            yield f"From {boundary.day.isoformat()} ({zone}) no exchange rate will hold: {known}. Publish one before."


def _late(now: datetime) -> Iterator[str]:
    if settings.EXCHANGE_RATE_SOURCES and is_late(now=now):
        sources = ", ".join(settings.EXCHANGE_RATE_SOURCES)
        yield f"No exchange rate was published for more than {settings.EXCHANGE_RATE_LATE_DAYS} weekdays ({sources})."


def _boundaries_at(moment: datetime) -> list[tuple[Boundary, str]]:
    """The boundaries of all customers who pay in won, and of visitors, with one of their zones each."""
    customers = Organization.objects.using("system").filter(billing_currency=Currency.KRW)
    terms = {*customers.values_list("exchange_policy", "zone"), (PUBLIC_TERMS.exchange_policy, PUBLIC_TERMS.zone)}
    found = (
        (boundary_of(moment.astimezone(ZoneInfo(zone)).date(), policy=policy, zone=zone), zone)
        for policy, zone in terms
    )
    return sorted(found, key=lambda one: (one[0].begins, one[1]))
