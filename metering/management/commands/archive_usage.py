"""`manage.py archive_usage`: old months of events leave the database for Parquet files, and stay readable."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from metering.archivable_months import TooYoung
from metering.archive_files import ArchiveDamaged, folder
from metering.archive_proof import NotProven
from metering.archiving import AlreadyArchiving, Archived, StillRead, archive_old_months

USUAL_MONTHS = 13


class Command(BaseCommand):
    help = (
        "Export old months of usage to Parquet, one file a customer and UTC month, prove every file by its rows and the rollups, "
        "and take the month's partition out of the database. Receipts, exports and invoices read the files from then on. Killed "
        "at any point it goes on when it is run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        usual = settings.USAGE_ARCHIVE_MONTHS or USUAL_MONTHS
        parser.add_argument(
            "--older-than-months",
            type=_months,
            default=usual,
            metavar="N",
            help=f"keep this month and the N before it in the database (default: {usual})",
        )
        parser.add_argument("--dry-run", action="store_true", help="say which months would go; nothing is written")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run, found = options["dry_run"], 0
        try:
            for archived in archive_old_months(
                older_than=options["older_than_months"],
                now=timezone.now(),
                dry_run=dry_run,
                progress=self._show,
            ):
                found += not archived.obstacle
                self.stdout.write(_told(archived, dry_run=dry_run))
        except (AlreadyArchiving, StillRead, TooYoung) as error:
            raise CommandError(str(error)) from error
        except (NotProven, ArchiveDamaged) as error:
            raise CommandError(f"Nothing more was taken out of the database: {error}") from error
        done = "would be archived" if dry_run else "archived"
        self.stdout.write(self.style.SUCCESS(f"{found} month(s) {done} below {folder()}"))

    def _show(self, month: date, done: int, of: int) -> None:
        """One line that changes on a terminal; elsewhere one every hundred customers and at the end of a month."""
        text = f"{month:%Y-%m}: {done} of {of} customer(s) exported"
        if self.stdout.isatty():
            self.stdout.write(f"\r\033[K{text}", ending="\n" if done == of else "")
            self.stdout.flush()
        elif done == of or done % 100 == 0:
            self.stdout.write(text)


def _told(archived: Archived, *, dry_run: bool) -> str:
    if archived.obstacle:
        return f"{archived.month:%Y-%m} stays in the database: {archived.obstacle}"
    verb = "would become" if dry_run else "became"
    return f"{archived.month:%Y-%m}: {archived.events} event(s) {verb} {archived.files} file(s)"


def _months(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= 1200:
        raise ArgumentTypeError(f"{text!r} is not a number of months")
    return number
