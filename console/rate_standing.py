"""How exchange rates stand: the last one and its age, what holds this month, and what the next month will be charged by."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.conf import settings
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Currency, ExchangePolicy, Organization
from catalog.rate_history import PublishedRate, boundary_of, load_rate_history, next_boundary
from catalog.rate_import import is_late
from console.dates import SEOUL
from console.figures import figure
from console.own_words import in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStanding:
    """Of customers in Korean time. `next_month` and `tomorrow` as it stands: a later publication takes their place."""

    last: PublishedRate | None
    days: int | None
    month: PublishedRate | None
    next_month: PublishedRate | None
    today: PublishedRate | None
    tomorrow: PublishedRate | None
    is_late: bool
    sources: list[str]

    @property
    def tone(self) -> str:
        if self.month is None or self.last is None:
            return "danger"
        return "warning" if self.next_month is None or self.is_late else "good"

    @property
    def age(self) -> str:
        return ngettext("%(count)d day old", "%(count)d days old", self.days or 0) % {"count": self.days or 0}


def rate_standing(*, now: datetime) -> RateStanding:
    """Read from the tables, because the operator may just have changed them."""
    history, today = load_rate_history(), now.astimezone(SEOUL).date()
    last = history.last_before(next_boundary(today, policy=ExchangePolicy.DAILY, zone=SEOUL.key).day)

    def at(policy: str) -> tuple[PublishedRate | None, PublishedRate | None]:
        return (
            history.at(boundary_of(today, policy=policy, zone=SEOUL.key)),
            history.at(next_boundary(today, policy=policy, zone=SEOUL.key)),
        )

    month, next_month = at(ExchangePolicy.MONTHLY)
    day, tomorrow = at(ExchangePolicy.DAILY)
    return RateStanding(
        last=last,
        days=(today - last.published_on).days if last else None,
        month=month,
        next_month=next_month,
        today=day,
        tomorrow=tomorrow,
        is_late=bool(settings.EXCHANGE_RATE_SOURCES) and is_late(now=now),
        sources=[in_words("source", source) for source in settings.EXCHANGE_RATE_SOURCES],
    )


def holds_for(*, rate: Decimal, published_on: date, source: str, now: datetime) -> list[str]:
    """What a rate that is entered now would be charged for; it changes no month or day that has begun with a rate."""
    entered = PublishedRate(0, rate, source, published_on, now)
    history, today = load_rate_history().with_rate(entered), now.astimezone(SEOUL).date()
    policies = (
        (ExchangePolicy.MONTHLY, _("this month")),
        (ExchangePolicy.DAILY, _("today, for customers with a daily rate")),
    )
    coming = (
        (ExchangePolicy.MONTHLY, _("next month, if no later one follows")),
        (ExchangePolicy.DAILY, _("tomorrow, for customers with a daily rate")),
    )
    held = [
        f"{words} · {customers_by(policy)}"
        for policy, words in policies
        if history.at(boundary_of(today, policy=policy, zone=SEOUL.key)) is entered
    ]
    ahead = [
        f"{words} · {customers_by(policy)}"
        for policy, words in coming
        if history.at(next_boundary(today, policy=policy, zone=SEOUL.key)) is entered
    ]
    return held + ahead


def customers_by(policy: str) -> str:
    """How many pay in won by such a rate."""
    customers = Organization.objects.using("system").filter(billing_currency=Currency.KRW, exchange_policy=policy)
    count = customers.exclude(status=Organization.Status.CLOSED).count()
    return ngettext("%(count)d customer", "%(count)d customers", count) % {"count": count}


def in_one_line(rate: PublishedRate | None) -> str:
    """`₩1,393.5, entered by the operator, 2026-10-30`"""
    if rate is None:
        return gettext("none: usage waits without a price")
    facts = (figure("price_text")(rate.rate, "KRW"), in_words("source", rate.source))
    return ", ".join((*facts, figure("table_date")(rate.published_on)))
