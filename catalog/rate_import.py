"""Ask the sources of exchange rates what they published, and note what is new and can be believed.

Asking again is harmless: what is known is not written again, another value for a known day is a new revision, and neither
changes what was charged. Network calls stand outside transactions, and the clock is asked after them: a rate counts as known from
when it is written, not from when it was asked for.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction

from accounts.alarms import clear_alarm, raise_alarm
from accounts.models import ExchangePolicy
from catalog.exchange_rates import four_decimals, publish_exchange_rate, wait_for_other_publishers
from catalog.models import ExchangeRate
from catalog.rate_history import boundary_of, load_rate_history
from catalog.rate_sources.interface import Publication, RateSource, SourceFailed
from catalog.rate_sources.selection import SOURCES, configured_sources

logger = logging.getLogger(__name__)
SEOUL = ZoneInfo("Asia/Seoul")
ALARM = "exchange_rate"
FAILURE, DOUBT = "source {}", "doubt {}"
"""Subjects of the alarms on one source."""
BEFORE_THE_MONTH = timedelta(days=10)
"""Long enough to reach the last working day before it, whatever the holidays."""
PLAUSIBLE = (Decimal(500), Decimal(5000))
"""Won for a dollar. Outside, it is another pair or the inverse: an operator may enter it."""


@dataclass(slots=True)
class ImportReport:
    """What an import from one source did, day by day. `failure` says why the source gave nothing."""

    source: str
    first: date
    last: date
    stored: list[ExchangeRate] = field(default_factory=list)
    known: list[date] = field(default_factory=list)
    not_believed: list[tuple[Publication, str]] = field(default_factory=list)
    failure: str = ""


def import_configured(*, clock: Callable[[], datetime]) -> list[ImportReport]:
    """What beat does: ask the preferred source, and the next one only while that is late. What goes wrong is an alarm."""
    reports: list[ImportReport] = []
    for source in configured_sources():
        reports.append(import_from(source, clock=clock))
        _tell(reports[-1], now=clock())
        if not is_late(source.name, now=clock()):
            break
    for name in set(SOURCES) - {report.source for report in reports}:
        for subject in (FAILURE, DOUBT):
            clear_alarm(kind=ALARM, subject=subject.format(name), now=clock())
    return reports


def import_from(
    source: RateSource, *, clock: Callable[[], datetime], first: date | None = None, last: date | None = None
) -> ImportReport:
    """Import what `source` published from `first` to `last`: by default since its last one, or what this month needs."""
    today = _today(clock())
    report = ImportReport(source.name, first or _default_start(source.name, today), last or today)
    try:
        note_publications(report, source.fetch(report.first, report.last), clock=clock)
    except SourceFailed as failure:
        report.failure = str(failure)
        logger.warning("exchange rates of %s could not be had: %s", source.name, failure)
    return report


def note_publications(
    report: ImportReport, publications: Sequence[Publication], *, clock: Callable[[], datetime]
) -> None:
    """Store what is new and can be believed. Raises SourceFailed, before anything is written, for a day that has not come."""
    today = _today(clock())
    ahead = [one.published_on for one in publications if one.published_on > today]
    if ahead:
        raise SourceFailed(f"it published a rate of {min(ahead).isoformat()}, which has not come yet")
    for publication in sorted(publications, key=lambda one: one.published_on):
        _note(report, publication, clock=clock)


def _note(report: ImportReport, publication: Publication, *, clock: Callable[[], datetime]) -> None:
    rate = four_decimals(publication.rate)
    doubt = _doubt(rate, publication.published_on)
    if doubt:
        report.not_believed.append((publication, doubt))
        return
    with transaction.atomic(using="system"):
        wait_for_other_publishers()
        row = publish_exchange_rate(
            rate=rate,
            published_on=publication.published_on,
            source=report.source,
            now=clock(),
            detail={"published": publication.text},
        )
    if row is None:
        report.known.append(publication.published_on)
    else:
        report.stored.append(row)


def _doubt(rate: Decimal, day: date) -> str:
    """Why the rate cannot be believed; empty if it can."""
    lowest, highest = PLAUSIBLE
    if not lowest <= rate <= highest:
        return f"it is not between {lowest} and {highest} won"
    last = load_rate_history().last_before(day + timedelta(days=1))
    if last is None or abs(rate - last.rate) <= last.rate * settings.EXCHANGE_RATE_MAX_JUMP:
        return ""
    limit = f"{settings.EXCHANGE_RATE_MAX_JUMP * 100:f}".rstrip("0").rstrip(".")
    return f"it differs by more than {limit} % from {last.rate} of {last.published_on.isoformat()}"


def _tell(report: ImportReport, *, now: datetime) -> None:
    """Raise the alarms that the report asks for, and clear the others of its source."""
    failure = report.failure and f"Exchange rates of {report.source} could not be had: {report.failure}."
    doubt = _newest_doubt(report, today=_today(now))
    for subject, summary in ((FAILURE, failure), (DOUBT, doubt)):
        if summary:
            raise_alarm(kind=ALARM, subject=subject.format(report.source), summary=summary, now=now)
        elif summary is not None:
            clear_alarm(kind=ALARM, subject=subject.format(report.source), now=now)


def _newest_doubt(report: ImportReport, *, today: date) -> str | None:
    """What an operator must decide about: a rate that is not believed and that no later one, and nobody, has settled.

    None where nothing is known, because the source failed.
    """
    if report.failure:
        return None
    if not report.not_believed:
        return ""
    publication, why = report.not_believed[-1]
    day, known = publication.published_on, last_day_of(None, until=today)
    if known and day <= known and day != last_day_of(report.source, until=today):
        return ""
    return (
        f"{report.source} published {publication.text} won on {day.isoformat()}: {why}. "
        "It is not used; if it is right, enter it by hand."
    )


def is_late(source: str | None = None, *, now: datetime) -> bool:
    """Whether `source` (None: anybody) published nothing on the last EXCHANGE_RATE_LATE_DAYS weekdays and longer."""
    today = _today(now)
    last = last_day_of(source, until=today)
    return last is None or weekdays_between(last, today) > settings.EXCHANGE_RATE_LATE_DAYS


def last_day_of(source: str | None, *, until: date) -> date | None:
    """The last day on which `source` (None: anybody) published."""
    rows = ExchangeRate.objects.using("system").filter(base="USD", quote="KRW", published_on__lte=until)
    if source is not None:
        rows = rows.filter(source=source)
    return rows.order_by("-published_on").values_list("published_on", flat=True).first()


def weekdays_between(day: date, later: date) -> int:
    """Days from Monday to Friday after `day` and before `later`."""
    days = (day + timedelta(days=number) for number in range(1, (later - day).days))
    return sum(one.weekday() < 5 for one in days)


def _default_start(source: str, today: date) -> date:
    """The last day that `source` published, in case it corrects it – or, where this month has no rate, some days before it."""
    boundary = boundary_of(today, policy=ExchangePolicy.MONTHLY, zone=SEOUL.key)
    before_the_month = boundary.day - BEFORE_THE_MONTH
    if load_rate_history().at(boundary) is None:
        return before_the_month
    last = last_day_of(source, until=today)
    return max(last or before_the_month, today - timedelta(days=settings.EXCHANGE_RATE_MAX_AGE_DAYS))


def _today(now: datetime) -> date:
    return now.astimezone(SEOUL).date()
