"""`manage.py read_mail_reports`: note on our mails what mail servers reported about them since."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.mail.reading_reports import read_reports
from billing.mail.report_folders import FolderUnusable


class Command(BaseCommand):
    help = "Read the unread reports in BOUNCE_MAILBOX. Running it again notes nothing twice."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.BOUNCE_MAILBOX:
            raise CommandError("BOUNCE_MAILBOX is not set: .env.example says what it looks like.")
        try:
            done = read_reports(now=timezone.now())
        except FolderUnusable as error:
            raise CommandError(f"The reports cannot be read: {error}") from None
        self.stdout.write(
            f"{done.refused} refused for good, {done.given_up} given up, {done.delayed} delayed, {done.known} with nothing new, "
            f"{done.left} left for a person."
        )
