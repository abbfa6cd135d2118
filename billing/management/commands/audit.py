"""`manage.py audit`: run every invariant, print a table, exit 1 on a violation."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.invariants import LIMIT, Invariant, Violations, all_invariants


class Command(BaseCommand):
    help = "Check every invariant of the books. Prints a table; exits 1 if one is violated."

    def handle(self, *args: Any, **options: Any) -> None:
        violated = 0
        with transaction.atomic(using="system"):
            for invariant in all_invariants():
                found = invariant.find()
                violated += bool(found)
                self._print(invariant, found)
        if violated:
            raise CommandError(f"{violated} invariant(s) violated")
        self.stdout.write(self.style.SUCCESS("All invariants hold."))

    def _print(self, invariant: Invariant, found: Violations) -> None:
        count = f"{LIMIT} or more" if len(found) >= LIMIT else str(len(found))
        verdict = self.style.ERROR(f"{count} violation(s)") if found else self.style.SUCCESS("ok")
        self.stdout.write(f"{invariant.number:>4}  {invariant.name:<78} {verdict}")
        for line in found:
            self.stdout.write(f"        {line}")
