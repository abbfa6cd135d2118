"""Deposits find their invoices: for certain by themselves, else by an operator's word; each counts once, whatever is sent twice."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.bank.debtor_index import DebtorIndex
from billing.bank.deposit_decisions import AlreadyDecided, OtherCurrency, match_deposit, set_aside
from billing.bank.statement_import import FormDiffers, import_statement
from billing.bank.transfer_matching import Evidence, Suggestion, certain, debtors, match_waiting, suggestions, undecided
from billing.corrections.write_offs import write_off_invoice
from billing.models import BankDeposit, BankStatement, DepositDecision, DepositPart, Invoice, OutboxMail
from ledger.models import CreditGrant
from tests.billing.collecting import at_once
from tests.billing.depositing import (
    ACCOUNT,
    DUE,
    NOW,
    Debtors,
    deposits,
    meet_debtors_of_transfers,
    next_invoice,
    statement,
    take,
)
from tests.stories import Company, make_company

CONFIRMED = DepositDecision.Kind.CONFIRMED


@pytest.fixture
def owing(db: None) -> Debtors:
    return meet_debtors_of_transfers()


def suggested(deposit: BankDeposit) -> list[Suggestion]:
    return suggestions(deposit, DebtorIndex(debtors("KRW")))


def confirm(deposit: BankDeposit, company: Company, owing: Debtors) -> DepositDecision:
    return match_deposit(
        deposit=deposit,
        organization_id=company.organization.pk,
        kind=CONFIRMED,
        now=NOW,
        actor=owing.cast.operator,
    )


@pytest.mark.parametrize("payer", ["(주)에이크미", "㈜ 에이크미", "에이크미", "ACME", "왕대표", "에이크미주식회사"])
def test_the_exact_amount_under_a_known_name_pays_by_itself(owing: Debtors, payer: str) -> None:
    [decision] = take(statement(("2026-11-05 14:03", payer, DUE)))
    assert (decision.kind, decision.organization_id) == ("automatic", owing.acme.organization_id)
    assert (owing.left(owing.acme), owing.left(owing.globex)) == (0, DUE)
    with tenant_scope([owing.acme.organization_id]):
        [payment] = owing.acme.payments.all()
        assert payment.payer_name == payer and payment.created_at == deposits()[0].at
        assert OutboxMail.objects.filter(kind="receipt").count() == 1
        entry = AuditEntry.objects.get(action="deposit.matched")
    assert entry.actor is None and "exact" in entry.detail["because"]
    call_command("audit")


def test_the_same_file_twice_and_files_that_overlap_change_nothing(owing: Debtors) -> None:
    lines = [
        ("2026-11-05 14:03", "에이크미", DUE),
        ("2026-11-06 09:00", "아무개", 500),
        ("2026-11-06 09:00", "아무개", 500),
    ]
    assert len(take(statement(*lines[:2]))) == 1
    assert take(statement(*lines[:2])) == []
    assert take(statement(*lines)) == []
    assert take(statement(*lines[1:], start=1_000_000 + DUE)) == []
    assert [deposit.amount for deposit in deposits()] == [DUE, 500, 500]
    assert owing.paid(owing.cast.acme) == [DUE]
    new = [
        entry.detail["new"]
        for entry in AuditEntry.objects.using("system").filter(action="bank_statement.imported").order_by("pk")
    ]
    assert new == [2, 0, 1, 0]
    call_command("audit")


def test_sent_by_many_at_once_a_statement_counts_once(owing: Debtors) -> None:
    content = statement(("2026-11-05 14:03", "에이크미", DUE), ("2026-11-06 09:00", "아무개", 500))
    results = at_once(lambda: take(content), times=4)
    assert sum(len(result) for result in results) == 1, results
    assert len(deposits()) == 2 and owing.paid(owing.cast.acme) == [DUE]
    call_command("audit")


def test_a_statement_in_another_form_is_refused_for_days_that_are_known(owing: Debtors) -> None:
    take(statement(("2026-11-05 14:03", "에이크미", DUE)))
    bare = f"거래일,적요,입금액\n2026-11-05,에이크미,{DUE}\n".encode()
    with pytest.raises(FormDiffers):
        take(bare)
    assert len(deposits()) == 1 and BankStatement.objects.using("system").count() == 1
    import_statement(bare, file_name="other account", account="999", now=NOW, actor=None)
    assert len(deposits()) == 2


def test_two_customers_who_owe_the_same_are_told_apart_by_name_or_left_to_an_operator(owing: Debtors) -> None:
    [decision] = take(statement(("2026-11-05 14:03", "글로벡스코리아", DUE), ("2026-11-05 15:00", "홍길동", DUE)))
    assert decision.organization_id == owing.globex.organization_id
    [unknown] = undecided()
    [only] = suggested(unknown)
    assert (only.debtor.slug, only.because, only.strength) == ("acme", [Evidence.EXACT], 0)


def test_two_customers_of_one_name_are_left_to_an_operator(owing: Debtors) -> None:
    rival = owing.cast.globex.organization
    rival.name = "에이크미"
    rival.save(using="system")
    assert take(statement(("2026-11-05 14:03", "에이크미", DUE))) == []
    [deposit] = undecided()
    assert [one.debtor.slug for one in suggested(deposit)] == ["acme", "globex"]
    confirm(deposit, owing.cast.globex, owing)
    assert (owing.left(owing.acme), owing.left(owing.globex)) == (DUE, 0)


def test_an_amount_alone_and_a_name_alone_are_suggestions(owing: Debtors) -> None:
    assert take(statement(("2026-11-05 14:03", "홍길동", DUE), ("2026-11-05 15:00", "에이크미", 1000))) == []
    nobody, part = undecided()
    assert {one.debtor.slug for one in suggested(nobody)} == {"acme", "globex"}
    [only] = suggested(part)
    assert only.because == [Evidence.NAME, Evidence.PART]
    assert owing.paid(owing.cast.acme) == owing.paid(owing.cast.globex) == []


def test_money_from_before_the_invoice_is_left_to_an_operator(owing: Debtors) -> None:
    assert take(statement(("2026-10-20 14:03", "에이크미", DUE))) == []
    assert certain(suggested(undecided()[0])) is None


def test_a_part_and_later_the_rest(owing: Debtors) -> None:
    take(statement(("2026-11-05 14:03", "에이크미", 2000)))
    confirm(undecided()[0], owing.cast.acme, owing)
    assert owing.left(owing.acme) == 260
    call_command("audit")
    [rest] = take(statement(("2026-11-06 14:03", "에이크미", 260)))
    assert rest.kind == "automatic" and owing.left(owing.acme) == 0
    call_command("audit")


def test_a_payer_whom_an_operator_confirmed_is_remembered(owing: Debtors) -> None:
    take(statement(("2026-11-05 14:03", "홍길동", 1000)))
    confirm(undecided()[0], owing.cast.acme, owing)
    [decision] = take(statement(("2026-11-06 14:03", "홍 길동", 1260)))
    assert decision.because == ["alias", "exact"] and owing.left(owing.acme) == 0


def test_the_number_of_an_invoice_names_it(owing: Debtors) -> None:
    number = owing.globex.number.replace("-", "")
    [decision] = take(statement(("2026-11-05 14:03", f"{number} 김", DUE)))
    assert decision.because[0] == "invoice_number" and owing.left(owing.globex) == 0
    assert owing.left(owing.acme) == DUE


def test_one_deposit_pays_several_invoices_the_oldest_first(owing: Debtors) -> None:
    second = next_invoice(owing.cast.acme)
    later = NOW + timedelta(days=60)
    [decision] = take(statement(("2026-12-20 14:03", "에이크미", DUE + 7260)), now=later)
    assert decision.because == ["name", "exact_sum"]
    assert (owing.left(owing.acme), owing.left(second), owing.paid(owing.cast.acme)) == (0, 0, [DUE, 7260])
    call_command("audit")


def test_the_exact_amount_of_the_newer_invoice_pays_that_one(owing: Debtors) -> None:
    second = next_invoice(owing.cast.acme)
    take(statement(("2026-12-20 14:03", "에이크미", 7260)), now=NOW + timedelta(days=60))
    assert (owing.left(owing.acme), owing.left(second)) == (DUE, 0)


def test_what_is_too_much_goes_to_the_next_invoice_and_then_becomes_credit(owing: Debtors) -> None:
    second = next_invoice(owing.cast.acme)
    later = NOW + timedelta(days=60)
    assert take(statement(("2026-12-20 14:03", "에이크미", 10_000)), now=later) == []
    [best] = suggested(undecided()[0])
    assert (best.because, best.credit) == ([Evidence.NAME, Evidence.MORE], 480)
    confirm(undecided()[0], owing.cast.acme, owing)
    assert (owing.left(owing.acme), owing.left(second), owing.paid(owing.cast.acme)) == (0, 0, [DUE, 7740])
    with tenant_scope([owing.acme.organization_id]):
        assert CreditGrant.objects.get(kind="paid").amount == 480
    call_command("audit")


def test_money_of_a_customer_who_owes_nothing_is_prepaid(owing: Debtors) -> None:
    take(statement(("2026-11-05 14:03", "에이크미", DUE), ("2026-11-07 14:03", "에이크미", 3000)))
    [deposit] = undecided()
    assert suggested(deposit) == []
    confirm(deposit, owing.cast.acme, owing)
    initech = make_company("initech", now=NOW)
    take(statement(("2026-11-08 14:03", "이니텍", 1000)))
    confirm(undecided()[0], initech, owing)
    for company, amount in ((owing.cast.acme, 3000), (initech, 1000)):
        with tenant_scope([company.organization.pk]):
            assert CreditGrant.objects.get(kind="paid").amount == amount
            assert OutboxMail.objects.filter(kind="top_up").count() == 1
    call_command("audit")


def test_who_is_billed_in_another_currency_has_nothing_to_pay(owing: Debtors) -> None:
    initech = make_company("initech", now=NOW, currency="USD")
    take(statement(("2026-11-05 14:03", "이니텍", 1000)))
    with pytest.raises(OtherCurrency):
        confirm(undecided()[0], initech, owing)
    assert len(undecided()) == 1


def test_money_for_an_invoice_that_was_written_off_recovers_it(owing: Debtors) -> None:
    write_off_invoice(
        organization_id=owing.acme.organization_id,
        invoice_id=owing.acme.pk,
        reason="x",
        now=NOW,
        actor=owing.cast.operator,
    )
    assert take(statement(("2026-11-05 14:03", "에이크미", DUE))) == []
    [deposit] = undecided()
    match_deposit(
        deposit=deposit,
        organization_id=owing.acme.organization_id,
        first=owing.acme.pk,
        kind=CONFIRMED,
        now=NOW,
        actor=owing.cast.operator,
    )
    with tenant_scope([owing.acme.organization_id]):
        assert Invoice.objects.get(pk=owing.acme.pk).status == "paid"
    call_command("audit")


def test_a_deposit_is_decided_once_whoever_decides(owing: Debtors) -> None:
    take(statement(("2026-11-05 14:03", "홍길동", DUE)))
    [deposit] = undecided()
    companies = [owing.cast.acme, owing.cast.globex] * 3
    results = at_once(lambda: confirm(deposit, companies.pop(), owing), times=6)
    assert [type(result) for result in results].count(AlreadyDecided) == 5, results
    assert len(owing.paid(owing.cast.acme)) + len(owing.paid(owing.cast.globex)) == 1
    with pytest.raises(AlreadyDecided):
        set_aside(deposit=deposit, reason="interest", now=NOW, actor=owing.cast.operator)
    call_command("audit")


def test_what_concerns_nobody_is_set_aside_and_stays_so(owing: Debtors) -> None:
    take(statement(("2026-11-05 14:03", "이자", 12)))
    [deposit] = undecided()
    set_aside(deposit=deposit, reason="Interest", now=NOW, actor=owing.cast.operator)
    with pytest.raises(AlreadyDecided):
        confirm(deposit, owing.cast.acme, owing)
    assert undecided() == [] and owing.paid(owing.cast.acme) == []
    call_command("audit")


def test_a_match_that_does_not_fit_any_more_is_not_made(owing: Debtors, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = debtors("KRW")
    take(statement(("2026-11-05 14:03", "에이크미", 2000)))
    confirm(undecided()[0], owing.cast.acme, owing)
    monkeypatch.setattr("billing.bank.transfer_matching.debtors", lambda currency, only=None: stale)
    assert take(statement(("2026-11-06 14:03", "에이크미", DUE))) == []
    assert owing.paid(owing.cast.acme) == [2000]


def test_void_invoices_wait_for_no_money(owing: Debtors) -> None:
    invoicing.void_invoice(
        organization_id=owing.acme.organization_id, invoice_id=owing.acme.pk, reason="x", now=NOW, actor=None
    )
    assert take(statement(("2026-11-05 14:03", "에이크미", DUE))) == []


def test_what_the_bank_said_and_what_was_decided_is_history(owing: Debtors) -> None:
    take(statement(("2026-11-05 14:03", "에이크미", DUE)))
    for rows in (BankDeposit.objects.all(), DepositDecision.objects.all(), DepositPart.objects.all()):
        with pytest.raises(DatabaseError):
            rows.using("system").delete()
    with pytest.raises(DatabaseError):
        BankDeposit.objects.using("system").update(amount=1)


def test_the_site_cannot_read_the_statement_nor_the_deposits_of_others(owing: Debtors) -> None:
    take(statement(("2026-11-05 14:03", "에이크미", DUE)))
    with pytest.raises(DatabaseError, match="permission denied"):
        BankDeposit.objects.using("default").count()
    with tenant_scope([owing.globex.organization_id]):
        assert DepositDecision.objects.count() == DepositPart.objects.count() == 0


def test_the_command_tells_what_it_took(owing: Debtors, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "statement.csv"
    file.write_bytes(
        statement(("2026-11-05 14:03", "에이크미", DUE), ("2026-11-06 09:00", "아무개", 500)).decode().encode("cp949")
    )
    call_command("import_bank_statement", str(file))
    assert "2 deposits, 2 of them new; 1 matched, 1 waits" in capsys.readouterr().out
    call_command("import_bank_statement", str(file))
    assert "2 deposits, 0 of them new; 0 matched, 1 waits" in capsys.readouterr().out
    assert deposits()[0].account == "123456789012"
    file.write_text("거래일시,적요,입금액\n2026-11-05,에이크미,천원\n")
    with pytest.raises(CommandError, match="line 2"):
        call_command("import_bank_statement", str(file))


def test_matching_runs_twice_without_doing_anything_twice(owing: Debtors) -> None:
    import_statement(
        statement(("2026-11-05 14:03", "에이크미", DUE)), file_name="x", account=ACCOUNT, now=NOW, actor=None
    )
    results = at_once(lambda: match_waiting(now=NOW), times=3)
    assert sum(len(result) for result in results) == 1
    assert Decimal(DUE) == sum(owing.paid(owing.cast.acme))
    connections.close_all()
    with tenant_scope([owing.acme.organization_id]):
        assert Invoice.objects.get(pk=owing.acme.pk).status == "paid"
