"""`manage.py verify_receipts export.csv`: recompute an export of usage, as customers do with the script they download."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pricing import verify_receipts


class Command(BaseCommand):
    help = "Recompute an export of usage, or the requests behind an invoice: csv or ndjson. Exit code 1 if anything differs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        verify_receipts.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code, lines = verify_receipts.run(options["file"], options["sum"])
        except (verify_receipts.Unreadable, OSError) as error:
            raise CommandError(f"{options['file']}: {error}", returncode=2) from None
        for line in lines:
            self.stdout.write(line)
        if code:
            raise CommandError("The file does not recompute.", returncode=code)
