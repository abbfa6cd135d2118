"""The bank took a deposit back (입금취소): the money is gone, whatever the deposit has become.

The line names the deposit that it takes back: the newest before it of the same payer and amount that no other line takes back. One
that waits is set aside at once, so that it never pays anything. One that has paid is an alarm until an operator undoes its match.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import QuerySet

from accounts.alarms import clear_alarm, raise_alarm
from accounts.models import Alarm
from billing.bank.bank_statements import ZONE, StatementLine
from billing.bank.deposit_decisions import AlreadyDecided, set_aside
from billing.bank.payer_names import bare
from billing.models.deposits import BankDeposit, BankStatement, DepositDecision, DepositTakenBack
from pricing.plain_text import plain

ALARM = "deposit_taken_back"
BECAUSE = "taken_back"
"""Why such a deposit is set aside, among the reasons of decisions."""


def note_taken_back(statement: BankStatement, lines: Iterable[StatementLine]) -> None:
    """A row of each new line, its deposit found. As the `system` role, in the transaction that stored the deposits."""
    for line in sorted(lines, key=lambda line: (line.at, line.line)):
        DepositTakenBack.objects.using("system").get_or_create(
            account=statement.account,
            at=line.at,
            amount=line.amount,
            payer=line.payer,
            balance=line.balance,
            sequence=line.sequence,
            defaults={
                "statement": statement,
                "line": line.line,
                "currency": statement.currency,
                "memo": line.memo,
                "branch": line.branch,
                "deposit": _deposit_of(statement, line),
            },
        )


def _deposit_of(statement: BankStatement, line: StatementLine) -> BankDeposit | None:
    deposits = BankDeposit.objects.using("system").filter(
        account=statement.account, amount=line.amount, at__lte=line.at, taken_back=None
    )
    same = (deposit for deposit in deposits.order_by("-at", "-line", "-pk") if bare(deposit.payer) == bare(line.payer))
    return next(same, None)


def settle_taken_back(*, now: datetime) -> Sequence[DepositDecision]:
    """Set aside what the bank took back and nobody has decided upon; alarms about what has paid begin and end."""
    made = []
    for deposit in BankDeposit.objects.using("system").undecided().exclude(taken_back=None).order_by("at", "pk"):
        try:
            made.append(set_aside(deposit=deposit, reason="", because=[BECAUSE], now=now, actor=None))
        except AlreadyDecided:
            continue  # by somebody at this moment: if it pays, the alarm says so
    paid = {str(decision.deposit_id): decision for decision in still_matched()}
    for subject, decision in paid.items():
        deposit = decision.deposit
        amount, day = f"{plain(deposit.amount)} {deposit.currency}", deposit.at.astimezone(ZONE).date()
        summary = f"The bank took back {amount} of {day} ({deposit.payer or '–'}), which had been matched."
        raise_alarm(kind=ALARM, subject=subject, summary=summary, now=now)
    for alarm in Alarm.objects.using("system").filter(kind=ALARM, cleared_at=None).exclude(subject__in=paid):
        clear_alarm(kind=ALARM, subject=alarm.subject, now=now)
    return made


def still_matched() -> QuerySet[DepositDecision]:
    """The matches of deposits that the bank took back, to be undone."""
    matched = DepositDecision.objects.using("system").filter(undone_at=None).exclude(deposit__taken_back=None)
    return matched.exclude(kind=DepositDecision.Kind.SET_ASIDE).select_related("deposit").order_by("deposit__at", "pk")
