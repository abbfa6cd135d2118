"""`manage.py rebuild_rollups`: compare the hourly sums with their events, and make anew those that differ."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Organization
from metering import rebuilding
from metering.rebuilding import Day


class Command(BaseCommand):
    help = (
        "Prove the hourly rollups by their events (count, digest, every sum) and make anew those that differ. Usage may be "
        "recorded meanwhile. Days are those of the usage, in each organization's time zone. Running it again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="only this customer")
        parser.add_argument("--period", metavar="YYYY-MM", help="only usage of this month, whenever it was billed")
        parser.add_argument("--from", dest="first", type=_day, metavar="YYYY-MM-DD", help="the first day")
        parser.add_argument("--to", dest="last", type=_day, metavar="YYYY-MM-DD", help="the last day, itself included")
        parser.add_argument("--dry-run", action="store_true", help="compare only: exit code 1 if anything differs")

    def handle(self, *args: Any, **options: Any) -> None:
        first, last = _range(options)
        dry_run, days = options["dry_run"], 0
        different: list[Day] = []
        for number, of, found in rebuilding.rebuild_all(
            organizations=_organizations(options["organization"]),
            first=first,
            last=last,
            now=timezone.now(),
            dry_run=dry_run,
        ):
            days = of
            self._show(number, of, found)
            if found.different:
                different.append(found)
        self._report(days, different, dry_run=dry_run)

    def _show(self, number: int, of: int, found: Day) -> None:
        """One line that changes on a terminal; elsewhere one whenever the organization's last day is done or a day differs."""
        text = f"{number} of {of}  {found.organization.slug} {found.day}"
        if self.stdout.isatty():
            self.stdout.write(f"\r\033[K{text}", ending="")
            self.stdout.flush()
        elif number == of or number % 100 == 0:
            self.stdout.write(text)
        if found.different:
            start = "\r\033[K" if self.stdout.isatty() else ""
            self.stdout.write(f"{start}{_told(found)}")

    def _report(self, days: int, different: list[Day], *, dry_run: bool) -> None:
        if self.stdout.isatty():
            self.stdout.write("")
        if not different:
            self.stdout.write(self.style.SUCCESS(f"{days} day(s) compared: every rollup is what its events make it."))
        elif dry_run:
            raise CommandError(f"{len(different)} of {days} day(s) differ; nothing was written.")
        else:
            self.stdout.write(f"{len(different)} of {days} day(s) differed and were made anew from their events.")


def _told(found: Day) -> str:
    return (
        f"{found.organization.slug} {found.day}: {found.different} rollup(s) differ, with {found.kept_events} event(s) "
        f"for {found.events}, amount {found.kept_amount.normalize():f} for {found.amount.normalize():f}"
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day: write it as 2026-10-31") from None


def _range(options: dict[str, Any]) -> tuple[date | None, date | None]:
    first, last = options["first"], options["last"]
    if options["period"] is None:
        if first and last and last < first:
            raise CommandError("--to is before --from.")
        return first, last
    if first or last:
        raise CommandError("Say either --period or --from and --to.")
    try:
        month = date.fromisoformat(f"{options['period']}-01")
    except ValueError:
        raise CommandError(f"{options['period']!r} is not a month: write it as 2026-10") from None
    return month, (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _organizations(slug: str | None) -> list[Organization]:
    organizations = Organization.objects.using("system").order_by("slug")
    if slug is None:
        return list(organizations)
    found = list(organizations.filter(slug=slug))
    if not found:
        raise CommandError(f"There is no organization {slug!r}.")
    return found
