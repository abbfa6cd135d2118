"""What banks export is read whole or refused with the line: names of columns, encodings, times, amounts, totals."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.bank.bank_statement_table import LARGEST_FILE, MOST_LINES, Fault, StatementRefused
from billing.bank.bank_statements import Statement, read_statement

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
PLAIN = "거래일시,적요,입금액,출금액,잔액,거래점\n"


def read(text: str, *, encoding: str = "utf-8", currency: str = "KRW") -> Statement:
    return read_statement(text.encode(encoding), currency=currency, now=NOW)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
def test_a_statement_reads_the_same_in_every_encoding(encoding: str) -> None:
    text = (
        PLAIN
        + '2026-11-05 14:03:22,㈜에이크미,"2,260",0,"1,002,260",강남\n2026-11-05 15:00:00,월세,,"500,000","502,260",\n'
    )
    statement = read(text, encoding=encoding)
    [line] = statement.deposits
    assert (line.payer, line.amount, line.balance, line.branch) == ("㈜에이크미", 2260, 1_002_260, "강남")
    assert line.at == datetime(2026, 11, 5, 5, 3, 22, tzinfo=UTC)
    assert (statement.withdrawals, statement.form, line.line) == (1, "time balance", 2)


@pytest.mark.parametrize(
    ("text", "payer", "amount"),
    [
        (
            "거래일자,거래시간,적요,보낸분/받는분,출금액(원),입금액(원),잔액(원),거래점명\n"
            "2026.11.05,14:03,인터넷,에이크미,0,2260,5000,본점\n",
            "에이크미",
            2260,
        ),
        ("No,거래일,시각,찾으신금액,맡기신금액,거래내용,거래 후 잔액\n1,20261105,140300,,₩2\u00a0260,에이크미,\n", None, None),
        (
            "거래일시\t구분\t거래금액\t거래 후 잔액\t거래구분\t내용\t메모\n"
            "2026.11.05 14:03:00\t입금\t2,260\t9,000\t일반입금\t에이크미\t11월\n",
            "에이크미",
            2260,
        ),
        ("날짜;입금자명;금액\n2026년 11월 5일;에이크미;2,260원\n", "에이크미", 2260),
        ("Date,Description,Deposit,Withdrawal,Balance\n2026/11/05,Acme Inc,2260,,9000\n", "Acme Inc", 2260),
        (
            '계좌번호:,123-456\n조회기간,2026.11.01 ~ 2026.11.30\n\n거래일시,의뢰인,입금금액\n'
            '="20261105140300",="에이크미",2260\n',
            "에이크미",
            2260,
        ),
    ],
    ids=["two columns of time", "odd blanks", "direction", "semicolons", "english", "preamble"],
)  # fmt: skip
def test_banks_call_things_differently(text: str, payer: str | None, amount: int | None) -> None:
    if payer is None:
        with pytest.raises(StatementRefused) as refusal:
            read(text)
        assert (refusal.value.fault, refusal.value.line) == (Fault.BAD_AMOUNT, 2)
        return
    [line] = read(text).deposits
    assert (line.payer, line.amount, line.at.date().isoformat()) == (payer, Decimal(amount or 0), "2026-11-05")


def test_withdrawals_totals_and_notes_are_counted_and_money_taken_back_is_named() -> None:
    statement = read(
        PLAIN
        + "2026-11-05 10:00,에이크미,2260,,1\n2026-11-05 11:00,에이크미,-2260,,1\n2026-11-05 12:00,월세,0,100,1\n"
        + "합계,,2260,100,\n,합 계,2260,100,\n※ 이 자료는 참고용입니다\n\n"
    )
    assert ([line.line for line in statement.deposits], [line.line for line in statement.taken_back]) == ([2], [3])
    [back] = statement.taken_back
    assert (back.payer, back.amount, back.at.hour) == ("에이크미", 2260, 11)
    assert (statement.withdrawals, statement.remarks) == (1, 3)


@pytest.mark.parametrize("direction", ["입금취소", "입금-취소", "입금 취소", "Deposit cancelled"])
def test_a_bank_may_say_by_the_direction_that_it_took_a_deposit_back(direction: str) -> None:
    table = f"거래일시,구분,내용,거래금액\n2026-11-05 10:00,입금,에이크미,2260\n2026-11-05 11:00,{direction},에이크미,2260\n"
    statement = read(table + "2026-11-05 12:00,출금취소,월세,500\n")
    assert [(line.line, line.amount) for line in statement.deposits] == [(2, 2260)]
    assert [(line.line, line.amount) for line in statement.taken_back] == [(3, 2260)]
    assert statement.withdrawals == 1


def test_alike_lines_are_two_deposits() -> None:
    statement = read(
        "거래일,입금자,입금액\n2026-11-05,에이크미,1000\n2026-11-05,에이크미,1000\n2026-11-05,글로벡스,1000\n"
    )
    assert [(line.payer, line.sequence) for line in statement.deposits] == [
        ("에이크미", 1),
        ("에이크미", 2),
        ("글로벡스", 1),
    ]
    assert statement.form == ""


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("2026-02-30 10:00,에이크미,1000,,", Fault.BAD_DAY),
        ("5.11.2026,에이크미,1000,,", Fault.BAD_DAY),
        ("2026-11-05 25:00,에이크미,1000,,", Fault.BAD_DAY),
        ("2026-11-05 noon,에이크미,1000,,", Fault.BAD_DAY),
        ("2027-11-05,에이크미,1000,,", Fault.NOT_YET),
        ("2026-11-05,에이크미,1.000,,", Fault.BAD_AMOUNT),
        ('2026-11-05,에이크미,"1,0",,', Fault.BAD_AMOUNT),
        ("2026-11-05,에이크미,1000.5,,", Fault.BAD_AMOUNT),
        ("2026-11-05,에이크미,1e3,,", Fault.BAD_AMOUNT),
        ("2026-11-05,에이크미,NaN,,", Fault.BAD_AMOUNT),
        ("2026-11-05,에이크미,99999999999999,,", Fault.BAD_AMOUNT),
        ("2026-11-05,에이크미,천원,,", Fault.BAD_AMOUNT),
        ("2026-11-05,에이크미,1000,,잔액없음", Fault.BAD_AMOUNT),
        (f"2026-11-05,{'에' * 1001},1000,,", Fault.BAD_LINE),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_refuses_the_whole_file(line: str, fault: Fault) -> None:
    with pytest.raises(StatementRefused) as refusal:
        read(PLAIN + "2026-11-04 10:00,글로벡스,500,,\n" + line + "\n")
    assert (refusal.value.fault, refusal.value.line) == (fault, 3)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", Fault.NO_TABLE),
        (b"\xff\x00\x81\x00", Fault.NO_TEXT),
        (b"PK\x03\x04\x00\x00 an Excel file", Fault.NO_TEXT),
        ("거래일,입금자\n2026-11-05,에이크미\n".encode(), Fault.NO_TABLE),
        ("거래일,입금자,입금액,입금액\n2026-11-05,에이크미,1,2\n".encode(), Fault.TWO_COLUMNS),
        ("거래일,구분,내용,거래금액\n2026-11-05,이체,에이크미,1000\n".encode(), Fault.NO_DIRECTION),
        (b"a" * (LARGEST_FILE + 1), Fault.TOO_LARGE),
        ("거래일,입금자,입금액\n".encode() + b"2026-11-05,x,1\n" * MOST_LINES, Fault.TOO_MANY_LINES),
    ],
    ids=["empty", "bytes", "excel", "no amounts", "two amounts", "no direction", "too large", "too long"],
)
def test_files_that_are_no_statement(content: bytes, fault: Fault) -> None:
    with pytest.raises(StatementRefused) as refusal:
        read_statement(content, now=NOW)
    assert refusal.value.fault == fault


def test_dollars_have_cents_and_withdrawals_of_one_column_are_left_out() -> None:
    statement = read("date,payer,amount\n2026-11-05,Acme,12.34\n2026-11-05,Rent,-5\n", currency="USD")
    assert [line.amount for line in statement.deposits] == [Decimal("12.34")]
    assert statement.withdrawals == 1
