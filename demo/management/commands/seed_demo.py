"""`manage.py seed_demo`: fill the embedded system with two customers and three months of their usage."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from demo.progress import Progress
from demo.seeding import seed_demo


class Command(BaseCommand):
    help = "Make the demo's data, or what is missing of it, and write its logins and keys to a file. Safe to repeat."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--write",
            type=Path,
            default=settings.VAR_DIR / "demo.json",
            help="where the secrets go (default: %(default)s)",
        )

    def handle(self, *args: Any, write: Path, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("Demo logins do not belong into a real system. Set DEMO=1 if this is not one.")
        progress = Progress(self._say, on_terminal=self.stdout.isatty())
        seed_demo(now=timezone.now(), write=write, progress=progress)

    def _say(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()
