"""A bank's statement becomes rows: each deposit once, however often a file is sent and however files overlap."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from accounts.audit_log import write_audit_entry
from accounts.models import Currency, User
from accounts.storable_text import storable_text
from billing.bank.bank_statements import Statement, StatementLine, read_statement
from billing.bank.taken_back import note_taken_back
from billing.models.deposits import BankDeposit, BankStatement, DepositTakenBack


class FormDiffers(Exception):
    """What is known of these days came from a statement that tells more or less of each line: the same one could count twice."""

    def __init__(self) -> None:
        super().__init__("a statement in another form was imported for these days: export this one in the same form")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A statement, and which of its deposits are not known yet."""

    statement: Statement
    new: list[StatementLine]
    new_taken_back: list[StatementLine]

    @property
    def known(self) -> int:
        return len(self.statement.deposits) - len(self.new)


def bare_account(number: str) -> str:
    """An account's number without its signs, as deposits keep it."""
    return re.sub(r"[^0-9A-Za-z]", "", number)[:40]


def compare_statement(content: bytes, *, account: str, currency: str = Currency.KRW, now: datetime) -> Compared:
    """What an import would add. Raises StatementRefused, FormDiffers."""
    statement = read_statement(content, currency=currency, now=now)
    lines = [*statement.deposits, *statement.taken_back]
    if not lines:
        return Compared(statement=statement, new=[], new_taken_back=[])
    times = [line.at for line in lines]
    known = BankDeposit.objects.using("system").filter(account=account)
    backs = DepositTakenBack.objects.using("system").filter(account=account)
    for rows in (known, backs):
        on_these_days = rows.filter(at__date__gte=min(times).date(), at__date__lte=max(times).date())
        if on_these_days.exclude(statement__form=statement.form).exists():
            raise FormDiffers
    return Compared(
        statement=statement, new=_new(statement.deposits, known), new_taken_back=_new(statement.taken_back, backs)
    )


def _new(lines: list[StatementLine], known: QuerySet[BankDeposit] | QuerySet[DepositTakenBack]) -> list[StatementLine]:
    """Those that are not among the known rows."""
    if not lines:
        return []
    times = [line.at for line in lines]
    rows = known.filter(at__gte=min(times), at__lte=max(times))
    identities = set(rows.values_list("at", "amount", "payer", "balance", "sequence"))
    return [line for line in lines if (line.at, line.amount, line.payer, line.balance, line.sequence) not in identities]


def import_statement(
    content: bytes, *, file_name: str, account: str, currency: str = Currency.KRW, now: datetime, actor: User | None
) -> tuple[BankStatement, Compared]:
    """Store the deposits that are new, as the `system` role. Raises StatementRefused, FormDiffers."""
    compared = compare_statement(content, account=account, currency=currency, now=now)
    with transaction.atomic(using="system"):
        row = BankStatement.objects.using("system").create(
            account=account,
            currency=currency,
            file_name=storable_text(file_name)[:200],
            sha256=hashlib.sha256(content).hexdigest(),
            form=compared.statement.form,
            deposits=len(compared.statement.deposits),
            imported_at=now,
            imported_by=actor,
        )
        BankDeposit.objects.using("system").bulk_create(
            [
                BankDeposit(
                    statement=row,
                    line=line.line,
                    account=account,
                    currency=currency,
                    at=line.at,
                    amount=line.amount,
                    payer=line.payer,
                    balance=line.balance,
                    sequence=line.sequence,
                    memo=line.memo,
                    branch=line.branch,
                )
                for line in compared.new
            ],
            ignore_conflicts=True,  # another import of the same lines at this moment
        )
        note_taken_back(row, compared.new_taken_back)
        write_audit_entry(
            action="bank_statement.imported",
            target=row.file_name,
            actor=actor,
            now=now,
            detail={
                "account": account,
                "sha256": row.sha256,
                "deposits": row.deposits,
                "new": BankDeposit.objects.using("system").filter(statement=row).count(),
                "taken_back": len(compared.new_taken_back),
            },
            using="system",
        )
    return row, compared
