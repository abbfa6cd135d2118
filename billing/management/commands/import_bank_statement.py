"""`manage.py import_bank_statement FILE`: take the deposits of a bank's statement and match what is certain."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Currency
from billing import sellers
from billing.bank import statement_import, transfer_matching
from billing.bank.bank_statement_table import LARGEST_FILE, StatementRefused
from pricing.plain_text import plain


class Command(BaseCommand):
    help = (
        "Take the deposits of a bank's statement (CSV) and match what is certain. The same file again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--account", default="", help="the account's number; the seller's, if not given")
        parser.add_argument("--currency", default=Currency.KRW, choices=Currency.values)

    def handle(self, *args: Any, file: Path, account: str, currency: str, **options: Any) -> None:
        now = timezone.now()
        try:
            with file.open("rb") as opened:
                content = opened.read(LARGEST_FILE + 1)
            row, compared = statement_import.import_statement(
                content,
                file_name=file.name,
                account=statement_import.bare_account(account or sellers.current_seller(now=now).bank_account),
                currency=currency,
                now=now,
                actor=None,
            )
        except (OSError, StatementRefused, sellers.NoSeller, statement_import.FormDiffers) as error:
            raise CommandError(f"Nothing was taken: {error}") from None
        matched = transfer_matching.match_waiting(now=now)
        waiting = len(transfer_matching.undecided())
        self.stdout.write(
            f"{row.deposits} deposits, {len(compared.new)} of them new; {len(matched)} matched, {waiting} waits for an operator."
        )
        for line in compared.statement.taken_back:
            self.stdout.write(
                f"Line {line.line}: the bank took back {plain(line.amount)} {currency} ({line.payer or '–'}), "
                f"{line.at:%Y-%m-%d %H:%M}. If it has paid an invoice, undo its match on the console (Deposits, Taken back)."
            )
