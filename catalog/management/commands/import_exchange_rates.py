"""`manage.py import_exchange_rates`: what beat does every two hours, or a backfill, or the replay of a recorded answer."""

from datetime import date
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from catalog.rate_import import ImportReport, import_configured, import_from
from catalog.rate_sources.recorded import Recorded
from catalog.rate_sources.selection import SOURCES, source_named

MOST_DAYS = 10 * 366


class Command(BaseCommand):
    help = (
        "Ask the sources of EXCHANGE_RATE_SOURCES, or one, what they published, and store what is new. "
        "Exits 1 if a source gave nothing or something that is not believed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--source", choices=sorted(SOURCES), help="ask this one, whatever the settings say")
        parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DATE", help="first day")
        parser.add_argument("--to", dest="last", type=date.fromisoformat, metavar="DATE", help="last day (today)")
        parser.add_argument("--file", type=Path, help="read a recorded answer of --source instead of asking it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            reports = self._import(**{name: options[name] for name in ("source", "first", "last", "file")})
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        for report in reports:
            self._print(report)
        if not reports:
            self.stdout.write("No source is configured (EXCHANGE_RATE_SOURCES): rates are entered by hand.")
        if any(report.failure or report.not_believed for report in reports):
            raise CommandError("Not all exchange rates could be stored.")

    def _import(
        self, *, source: str | None, first: date | None, last: date | None, file: Path | None
    ) -> list[ImportReport]:
        if source is None:
            if first or last or file:
                raise CommandError("Name the --source that --from, --to and --file are about.")
            return import_configured(clock=timezone.now)
        if file is not None:
            first, last = first or last, last or first
        _check_range(first, last or timezone.localdate())
        chosen = source_named(source)
        asked = chosen if file is None else Recorded(chosen, _read(file))
        return [import_from(asked, clock=timezone.now, first=first, last=last)]

    def _print(self, report: ImportReport) -> None:
        self.stdout.write(f"{report.source}, {report.first.isoformat()} to {report.last.isoformat()}")
        for row in report.stored:
            again = f" (revision {row.revision})" if row.revision > 1 else ""
            self.stdout.write(f"  {row.published_on.isoformat()}  {row.rate:f}  stored{again}")
        for publication, doubt in report.not_believed:
            line = f"  {publication.published_on.isoformat()}  {publication.text}  not believed: {doubt}"
            self.stdout.write(self.style.WARNING(line))
        if report.failure:
            self.stdout.write(self.style.ERROR(f"  nothing: {report.failure}"))
        self.stdout.write(f"  {len(report.stored)} new, {len(report.known)} known before")


def _check_range(first: date | None, last: date) -> None:
    if first is not None and first > last:
        raise CommandError("--from is after --to.")
    if first is not None and (last - first).days > MOST_DAYS:
        raise CommandError(f"At most {MOST_DAYS} days at once.")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
