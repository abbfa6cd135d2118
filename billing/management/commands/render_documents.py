"""`manage.py render_documents`: make the PDFs and evidence that are missing; `--verify` also mends damaged files."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing import documents
from billing.papers import evidence_files
from billing.papers.typesetting import FontsMissing, check_fonts


class Command(BaseCommand):
    help = "Render the PDFs and write the evidence of invoices that have none. Running it again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--verify",
            action="store_true",
            help="also check every stored file by its hash, and render damaged ones again",
        )

    def handle(self, *args: Any, verify: bool, **options: Any) -> None:
        try:
            check_fonts()
        except FontsMissing as error:
            raise CommandError(str(error)) from None
        now = timezone.now()
        wanted = documents.missing(now=now, grace=timedelta(0)) + (documents.damaged() if verify else [])
        done = documents.render_all(wanted, now=now, progress=self._progress)
        unwritten = evidence_files.missing(now=now, grace=timedelta(0)) + (evidence_files.damaged() if verify else [])
        written = evidence_files.write_all(unwritten, now=now, progress=self._progress)
        failures = done.failures + written.failures
        for line in failures:
            self.stderr.write(line)
        self.stdout.write(
            f"{done.rendered} rendered, {written.rendered} files of evidence written, {len(failures)} failed."
        )
        if failures:
            raise CommandError("Nothing is lost; run this again when the reason is gone.")

    def _progress(self, done: int, of: int) -> None:
        self.stdout.write(f"\r{done} of {of}", ending="\n" if done == of else "")
        self.stdout.flush()
