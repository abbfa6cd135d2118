"""`manage.py audit`: run every invariant, print a table, keep the outcome, exit 1 on a violation."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.invariants import LIMIT, Invariant, Violations
from billing import auditing


class Command(BaseCommand):
    help = (
        "Check every invariant of the books. Prints a table; exits 1 if one is violated. The console shows the outcome."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = auditing.run_audit(now=timezone.now(), tell=self._print)
        except auditing.AuditRunning as error:
            raise CommandError(str(error)) from None
        if not run.is_clean:
            raise CommandError(f"{len(run.violations)} invariant(s) violated. {auditing.who_waits(run)}".rstrip())
        self.stdout.write(self.style.SUCCESS("All invariants hold."))

    def _print(self, invariant: Invariant, found: Violations) -> None:
        count = f"{LIMIT} or more" if len(found) >= LIMIT else str(len(found))
        verdict = self.style.ERROR(f"{count} violation(s)") if found else self.style.SUCCESS("ok")
        self.stdout.write(f"{invariant.number:>4}  {invariant.name:<78} {verdict}")
        for line in found:
            self.stdout.write(f"        {line}")
