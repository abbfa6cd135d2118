"""The bank takes a deposit back (입금취소): it never pays then, or its match is to be undone; each line counts once."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import DatabaseError

from accounts.models import Alarm
from billing.bank import undoing
from billing.bank.statement_import import FormDiffers
from billing.bank.taken_back import settle_taken_back, still_matched
from billing.bank.transfer_matching import match_waiting, undecided
from billing.models import BankDeposit, DepositDecision, DepositTakenBack
from tests.billing.depositing import DUE, NOW, Debtors, meet_debtors_of_transfers, statement, take

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def owing(db: None) -> Debtors:
    return meet_debtors_of_transfers()


def alarms() -> list[str]:
    found = Alarm.objects.using("system").filter(kind="deposit_taken_back", cleared_at=None)
    return list(found.values_list("summary", flat=True))


def decisions() -> list[tuple[str, list[str]]]:
    standing = DepositDecision.objects.using("system").filter(undone_at=None).order_by("deposit__at")
    return [(decision.kind, decision.because) for decision in standing]


def test_what_comes_and_goes_in_one_statement_pays_nothing(owing: Debtors) -> None:
    assert take(statement(("2026-11-05 14:03", "에이크미", DUE), ("2026-11-05 15:00", "에이크미", -DUE))) == []
    assert (owing.left(owing.acme), undecided(), alarms()) == (DUE, [], [])
    assert decisions() == [("set_aside", ["taken_back"])]
    call_command("audit")


def test_what_had_paid_is_an_alarm_until_its_match_is_undone(owing: Debtors) -> None:
    there, gone = ("2026-11-05 14:03", "에이크미", DUE), ("2026-11-06 15:00", "(주)에이크미", -DUE)
    take(statement(there))
    assert owing.left(owing.acme) == 0
    for _again in range(2):
        take(statement(there, gone))
        [told] = alarms()
        assert told == "The bank took back 2260 KRW of 2026-11-05 (에이크미), which had been matched."
    assert (DepositTakenBack.objects.using("system").count(), owing.left(owing.acme)) == (1, 0)
    [decision] = still_matched()
    undoing.undo_decision(decision_id=decision.pk, reason="The bank took it back", now=LATER, actor=None)
    [aside] = settle_taken_back(now=LATER)
    assert (aside.kind, owing.left(owing.acme), undecided(), alarms()) == ("set_aside", DUE, [], [])
    assert match_waiting(now=LATER) == []
    call_command("audit")


def test_of_two_alike_the_newest_goes_first_and_each_once(owing: Debtors) -> None:
    twice = [("2026-11-05 10:00", "누군가", 500), ("2026-11-05 11:00", "누군가", 500)]
    take(statement(*twice, ("2026-11-05 12:00", "누군가", -500)))
    assert [deposit.at.hour for deposit in undecided()] == [1]
    take(statement(("2026-11-06 12:00", "누군가", -500)))
    assert undecided() == []


def test_one_whose_deposit_nobody_knows_takes_nothing_along(owing: Debtors) -> None:
    take(statement(("2026-11-04 10:00", "글로벡스", DUE)))
    take(statement(("2026-11-05 10:00", "에이크미", -DUE), ("2026-11-06 10:00", "에이크미", DUE)))
    [line] = DepositTakenBack.objects.using("system").all()
    assert (line.deposit, line.payer, owing.left(owing.acme), owing.left(owing.globex)) == (None, "에이크미", 0, 0)


def test_a_line_in_another_form_takes_no_second_deposit_along(owing: Debtors) -> None:
    """A later export without time and balance, of the day of the taking back alone: it would name the rightful deposit before."""
    take(statement(("2026-11-03 10:00", "에이크미", DUE)))
    take(statement(("2026-11-05 10:00", "에이크미", DUE), ("2026-11-06 12:00", "에이크미", -DUE), start=5_000_000))
    with pytest.raises(FormDiffers):
        take(f"거래일자,적요,입금액\n2026-11-06,에이크미,-{DUE}\n".encode())
    assert (DepositTakenBack.objects.using("system").count(), alarms(), owing.left(owing.acme)) == (1, [], 0)


def test_what_the_bank_took_back_is_history_that_the_site_cannot_read(owing: Debtors) -> None:
    take(statement(("2026-11-05 10:00", "에이크미", -DUE)))
    with pytest.raises(DatabaseError, match="is refused"):
        DepositTakenBack.objects.using("system").update(amount=1)
    with pytest.raises(DatabaseError, match="permission denied"):
        DepositTakenBack.objects.using("default").count()


def test_the_command_says_what_the_bank_took_back(
    owing: Debtors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "statement.csv"
    file.write_bytes(statement(("2026-11-05 14:03", "에이크미", DUE), ("2026-11-06 09:00", "에이크미", -DUE)))
    call_command("import_bank_statement", str(file))
    assert "Line 3: the bank took back 2260 KRW (에이크미), 2026-11-06 09:00." in capsys.readouterr().out
    assert BankDeposit.objects.using("system").count() == 1
