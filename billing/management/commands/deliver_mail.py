"""`manage.py deliver_mail`: send every mail of the outbox that is due, now, and say what became of them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing import delivery
from billing.mail import outbox


class Command(BaseCommand):
    help = "Send the mails that are due. Running it again sends nothing twice."

    def handle(self, *args: Any, **options: Any) -> None:
        total = delivery.Sweep()
        while outbox.due_mails(now=timezone.now()):
            try:
                swept = delivery.deliver_waiting(now=timezone.now(), progress=self._progress)
            except delivery.MailServerUnreachable as error:
                raise CommandError(f"{error}. The mails wait; nothing is lost.") from None
            total.add(swept)
            self.stdout.write("")
            if not swept.attempted:
                break  # others have them
        self.stdout.write(f"{total.sent} sent, {total.put_off} will be tried again, {total.failed} failed.")
        if incomplete := outbox.count_without_document():
            self.stdout.write(f"{incomplete} wait for their PDF: run `manage.py render_documents`.")

    def _progress(self, swept: delivery.Sweep, due: int) -> None:
        self.stdout.write(f"\r{swept.attempted} of {due}", ending="")
        self.stdout.flush()
