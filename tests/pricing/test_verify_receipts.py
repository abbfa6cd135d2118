"""The script that customers run finds every figure that does not follow from the others, and nothing else."""

import csv
import io
import json
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing import verify_receipts
from pricing.plain_text import plain
from pricing.rating import rate, unit_prices
from pricing.tokens import FIELD_OF, TokenClass, TokenUsage
from pricing.verify_receipts import COUNT_OF, NEEDED, Unreadable, Verification, read_rows, verify

Change = dict[str, Any]
COSTS = {token_class: Decimal("0.00000004") * number for number, token_class in enumerate(TokenClass, start=1)}
MARKUP, EXCHANGE_RATE = Decimal("0.1"), Decimal("1378.9")
SCRIPT = Path(verify_receipts.__file__)


def row(number: int = 1, usage: TokenUsage | None = None, **changes: Any) -> dict[str, Any]:
    """A row as an export writes it, in figures of `pricing.rating`."""
    used = usage or TokenUsage(input_tokens=1000 + number, output_tokens=500, reasoning_tokens=100)
    prices = unit_prices(COSTS, markup=MARKUP, exchange_rate=EXCHANGE_RATE)
    return {
        "id": f"event-{number}",
        "kind": "usage" if used.requests > 0 else "reversal",
        "applied_rate_id": 7,
        **{name: getattr(used, name) for name in FIELD_OF.values()},
        "currency": "KRW",
        "markup": plain(MARKUP),
        "exchange_rate": plain(EXCHANGE_RATE),
        **{f"unit_cost_usd_{one.value}": plain(COSTS[one]) for one in TokenClass},
        **{f"unit_price_{one.value}": plain(prices[one]) for one in TokenClass},
        "cost_usd": plain(rate(used, COSTS)),
        "amount": plain(rate(used, prices)),
        **changes,
    }


def as_csv(rows: Iterable[dict[str, Any]]) -> str:
    rows = list(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return "\ufeff" + out.getvalue()


def as_ndjson(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def checked(text: str) -> Verification:
    return verify(read_rows(io.StringIO(text, newline="")))


def what(found: Verification) -> list[str]:
    return [difference.what for difference in found.first]


def test_it_counts_what_rating_counts() -> None:
    assert {token_class.value: field for token_class, field in FIELD_OF.items()} == COUNT_OF
    assert set(NEEDED) == row().keys()


@pytest.mark.parametrize("write", [as_csv, as_ndjson])
def test_right_rows_are_right(write: Callable[..., str]) -> None:
    usage = TokenUsage(input_tokens=10, cache_read_tokens=5, output_tokens=7)
    rows = [row(1), row(2, usage), row(3, usage.negated()), row(4, TokenUsage(requests=1))]
    found = checked(write(rows))
    assert (found.rows, found.reversals, found.differences) == (4, 1, 0)
    assert found.sums == {"KRW": sum(Decimal(each["amount"]) for each in rows)}


counts = st.none() | st.integers(0, 2_000_000_000)


@given(
    given_counts=st.fixed_dictionaries({name: counts for name in FIELD_OF.values() if name != "requests"}),
    is_reversal=st.booleans(),
)
def test_it_agrees_with_rating_on_any_usage(given_counts: dict[str, int | None], is_reversal: bool) -> None:
    given_counts["reasoning_tokens"] = min(given_counts["reasoning_tokens"] or 0, given_counts["output_tokens"] or 0)
    usage = TokenUsage(**given_counts)
    assert checked(as_ndjson([row(1, usage.negated() if is_reversal else usage)])).first == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"amount": "0.1"}, ["amount"]),
        ({"input_tokens": 1002}, ["amount", "cost_usd"]),
        ({"cost_usd": "0.0001"}, ["cost_usd"]),
        ({"reasoning_tokens": 101}, ["amount", "cost_usd"]),
        ({"unit_price_searches": "1"}, ["unit_price_searches"]),
        ({"unit_price_searches": ""}, ["unit_price_searches"]),
        ({"unit_price_requests": ""}, ["unit_price_requests", "amount"]),
        ({"kind": "reversal"}, ["the sign"]),
        ({"kind": "gift"}, ["kind"]),
        ({"amount": "a lot"}, ["a figure"]),
        ({"amount": "NaN"}, ["a figure"]),
        ({"input_tokens": "1e3"}, ["a figure"]),
        ({"amount": "1" * 90}, ["a figure"]),
    ],
    ids=str,
)
def test_a_tampered_row_is_found(change: Change, found: list[str]) -> None:
    for write in (as_csv, as_ndjson):
        verification = checked(write([row(1, **change)]))
        assert what(verification) == found
        assert verification.first[0].row == 1


def test_a_rate_stays_as_it_is() -> None:
    assert what(checked(as_csv([row(1), row(2), row(3, markup="0.2")])))[0] == "applied rate 7"
    changed = checked(as_csv([row(1), row(2, unit_price_images="0.5")]))
    assert what(changed) == ["applied rate 7", "unit_price_images"]


def test_a_row_counts_once() -> None:
    assert what(checked(as_csv([row(1), row(2), row(1)]))) == ["id"]


def test_only_the_first_differences_are_told() -> None:
    found = checked(as_csv(row(number, amount="1") for number in range(25)))
    assert (found.differences, len(found.first)) == (25, 10)
    assert "… and 15 more" in verify_receipts.report(found)


def test_free_usage_is_free() -> None:
    free = {f"unit_{kind}_{name}": "0" for kind in ("cost_usd", "price") for name in COUNT_OF}
    assert checked(as_csv([row(1, amount="0", cost_usd="0", **free)])).differences == 0


def test_dollars_have_no_exchange_rate() -> None:
    prices = unit_prices(COSTS, markup=MARKUP, exchange_rate=Decimal(1))
    usage = TokenUsage(input_tokens=3)
    own = {f"unit_price_{one.value}": plain(price) for one, price in prices.items()}
    dollars = row(1, usage, **own, currency="USD", exchange_rate=None, amount=plain(rate(usage, prices)))
    assert checked(as_csv([dollars])).first == []


def test_what_a_request_put_into_an_invoice_line() -> None:
    price = Decimal(row()["unit_price_output"])
    share = {"line_token_class": "output", "line_quantity": 400, "line_unit_price": plain(price)}
    found = checked(as_csv([row(1, **share, line_amount=plain(400 * price))]))
    assert (found.first, found.line_sum) == ([], 400 * price)
    assert what(checked(as_csv([row(1, **share, line_amount=plain(500 * price))]))) == ["line_amount"]
    assert what(checked(as_csv([row(1, **share | {"line_quantity": 500}, line_amount=plain(400 * price))]))) == [
        "line_quantity"
    ]
    dearer = plain(price * 2)
    wrong_price = row(1, **share | {"line_unit_price": dearer}, line_amount=plain(800 * price))
    assert what(checked(as_csv([wrong_price]))) == ["line_unit_price"]


@pytest.mark.parametrize("text", ["", "hello\n", "id,amount\nx,1\n", '{"id": 1}\n', '{"id": \n', "[]\n"])
def test_what_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        checked(text)


def test_an_export_that_broke_off_is_refused() -> None:
    with pytest.raises(Unreadable, match="row 2 says"):
        checked(as_ndjson([row(1), {"error": verify_receipts.BROKEN_OFF}]))


def test_a_line_that_is_no_row_is_refused() -> None:
    with pytest.raises(Unreadable, match="line 3 is not a JSON object"):
        checked(as_ndjson([row(1)]) + "\n[]\n")
    overlong = as_csv([row(1)]) + '"' + "x" * (csv.field_size_limit() + 1) + '"\n'
    with pytest.raises(Unreadable, match="not CSV"):
        checked(overlong)


def test_the_sum_of_an_invoice_line_is_told_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    price = Decimal(row()["unit_price_output"])
    amount = plain(400 * price)
    share = {"line_token_class": "output", "line_quantity": 400, "line_unit_price": plain(price), "line_amount": amount}
    file = tmp_path / "line.csv"
    file.write_text(as_csv([row(1, **share)]), encoding="utf-8")
    assert verify_receipts.main([str(file), "--sum", amount]) == 0
    assert f"sum of the invoice line: {amount}" in capsys.readouterr().out
    assert verify_receipts.main([str(file), "--sum", "1"]) == 1
    calls = [row(1), row(2)]
    file.write_text(as_csv(calls), encoding="utf-8")
    assert verify_receipts.main([str(file), "--sum", plain(sum(Decimal(call["amount"]) for call in calls))]) == 0


def test_standard_input_and_the_module_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(as_ndjson([row(1)])))
    monkeypatch.setattr("sys.argv", ["verify_receipts", "-"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert end.value.code == 0
    assert "rows checked: 1" in capsys.readouterr().out


def test_what_cannot_be_read_ends_in_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "usage.parquet").write_bytes(b"PAR1\xff\xfe\x00")
    assert verify_receipts.main([str(tmp_path / "usage.parquet")]) == 2
    assert "export as csv or ndjson" in capsys.readouterr().err
    assert verify_receipts.main([str(tmp_path / "nothing")]) == 2
    with pytest.raises(SystemExit):
        verify_receipts.main(["-", "--sum", "many"])


def run(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The script as a customer runs it: isolated, in a folder of their own."""
    return subprocess.run(
        [sys.executable, "-I", *arguments], cwd=cwd, input=stdin, capture_output=True, text=True, encoding="utf-8"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing but the script in it."""
    (tmp_path / "verify_receipts.py").write_bytes(SCRIPT.read_bytes())
    return tmp_path


def test_it_runs_alone(folder: Path) -> None:
    rows = [row(1), row(2)]
    total = plain(sum(Decimal(each["amount"]) for each in rows))
    (folder / "usage.csv").write_text(as_csv(rows), encoding="utf-8")
    ran = run("verify_receipts.py", "usage.csv", "--sum", total, cwd=folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "rows checked: 2, of them reversals: 0",
        f"sum of amounts: {total} KRW",
        "all of it recomputes exactly",
    ]
    wrong = run("verify_receipts.py", "usage.csv", "--sum", "1", cwd=folder)
    assert wrong.returncode == 1 and f"the sum is {total}, expected 1" in wrong.stdout
    assert run("verify_receipts.py", "-", cwd=folder, stdin=as_ndjson(rows)).returncode == 0
    assert run("verify_receipts.py", "no such file", cwd=folder).returncode == 2
    (folder / "usage.parquet").write_bytes(b"PAR1\xff\xfe\x00")
    assert "export as csv or ndjson" in run("verify_receipts.py", "usage.parquet", cwd=folder).stderr


def test_a_tampered_file_ends_in_1(folder: Path) -> None:
    (folder / "usage.csv").write_text(as_csv([row(1), row(2, amount="5")]), encoding="utf-8")
    ran = run("verify_receipts.py", "usage.csv", cwd=folder)
    assert ran.returncode == 1
    assert "row 2 (event-2): amount is 5, recomputed" in ran.stdout
    assert "differences: 1" in ran.stdout


def test_twenty_thousand_rows_are_quick(folder: Path) -> None:
    (folder / "usage.csv").write_text(as_csv(row(number) for number in range(20_000)), encoding="utf-8")
    started = time.process_time()
    with (folder / "usage.csv").open(encoding="utf-8-sig", newline="") as file:
        found = verify(read_rows(file))
    assert (found.rows, found.differences) == (20_000, 0)
    assert time.process_time() - started < 10
