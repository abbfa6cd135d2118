"""The monthly run takes due periods in chunks: what happens to one, or meanwhile, is nobody else's trouble."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from billing import auditing, cycle, invoicing, tasks
from billing.models import Invoice, InvoiceSeries
from billing.sellers import set_seller
from ledger.models import BillingPeriod
from tests import stories
from tests.billing.test_audit import break_books
from tests.billing.test_guards import closing_connections
from tests.stories import NOON, SELLER, Company, use

OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
HOUSES = 5


@pytest.fixture
def houses(db: None) -> Iterator[list[Company]]:
    with time_machine.travel(NOON, tick=False):
        stories.make_catalog(now=OCTOBER)
        set_seller(now=OCTOBER, **SELLER)
        houses = [stories.make_company(f"house{number}", now=OCTOBER) for number in range(HOUSES)]
        for house in houses:
            use(house.organization, at=OCTOBER)
        auditing.run_audit(now=NOON)
        yield houses


def due() -> list[cycle.PeriodKey]:
    return [(period.organization_id, period.period_id) for period in cycle.periods_of_month("2026-10", now=NOON)]


def invoiced() -> list[int]:
    return list(Invoice.objects.using("system").order_by("sequence").values_list("organization_id", flat=True))


def ids(houses: list[Company]) -> list[int]:
    return [house.organization.pk for house in houses]


def after(name: str, count: int, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Let `then` happen when `invoicing.name` was called so often."""
    real, calls = getattr(invoicing, name), iter(range(1, 100))

    def told(**options: Any) -> object:
        found = real(**options)
        if next(calls) == count:
            then()
        return found

    monkeypatch.setattr(invoicing, name, told)


def test_messages_carry_chunks_of_what_is_due(houses: list[Company], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycle, "CHUNK", 2)
    sent: list[list[cycle.PeriodKey]] = []
    monkeypatch.setattr(tasks.close_periods, "delay", lambda periods: sent.append(periods))
    tasks.close_due_periods()
    assert [len(chunk) for chunk in sent] == [2, 2, 1]
    assert [key for chunk in sent for key in chunk] == due()


def test_a_chunk_is_closed_and_told_of_once(houses: list[Company], monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []
    monkeypatch.setattr(tasks, "ring", lambda task, **_ids: rung.append(task.name.rpartition(".")[2]))
    chunk = due()
    tasks.close_periods(periods=chunk)
    assert invoiced() == ids(houses)
    tasks.close_periods(periods=chunk)
    assert invoiced() == ids(houses) and rung == ["render_documents", "write_evidence", "charge_due_invoices"]


def test_whose_usage_drifted_and_whose_close_fails_stop_no_other(
    houses: list[Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_books(f"UPDATE metering_usagerollup SET amount = amount + 1 WHERE organization_id = {ids(houses)[0]}")
    real = invoicing.close_period

    def poisoned(**options: Any) -> Invoice | None:
        if options["organization_id"] == ids(houses)[2]:
            raise ZeroDivisionError
        return real(**options)

    monkeypatch.setattr(invoicing, "close_period", poisoned)
    tasks.close_periods(periods=due())
    assert invoiced() == [ids(houses)[number] for number in (1, 3, 4)]
    monkeypatch.setattr(invoicing, "close_period", real)
    break_books(f"UPDATE metering_usagerollup SET amount = amount - 1 WHERE organization_id = {ids(houses)[0]}")
    tasks.close_periods(periods=due())
    assert sorted(invoiced()) == ids(houses), "they were left for the sweep"


def test_an_audit_that_finds_something_meanwhile_stops_the_rest(
    houses: list[Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage() -> None:
        break_books("UPDATE ledger_balance SET unbilled = unbilled + 1")
        auditing.run_audit(now=NOON)

    after("close_period", 2, monkeypatch, damage)
    tasks.close_periods(periods=due())
    assert invoiced() == ids(houses)[:2]
    break_books("UPDATE ledger_balance SET unbilled = unbilled - 1")
    auditing.run_audit(now=NOON)
    tasks.close_periods(periods=due())
    assert invoiced() == ids(houses)


def test_a_clean_audit_meanwhile_stops_nothing(houses: list[Company], monkeypatch: pytest.MonkeyPatch) -> None:
    after("close_period", 2, monkeypatch, lambda: auditing.run_audit(now=NOON))
    tasks.close_periods(periods=due())
    assert invoiced() == ids(houses)


def test_workers_with_the_same_chunk_make_one_invoice_each_without_a_gap(houses: list[Company]) -> None:
    chunk = due()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(closing_connections(lambda _worker: cycle.close_all(chunk, now=NOON)), range(4)))
    assert {invoice.organization_id for invoices in found for invoice in invoices} == set(ids(houses))
    assert sorted(invoiced()) == ids(houses)
    assert not BillingPeriod.objects.using("system").filter(status="open").exists()
    sequences = Invoice.objects.using("system").order_by("sequence").values_list("sequence", flat=True)
    assert list(sequences) == list(range(1, HOUSES + 1))


def test_the_millionth_number_has_all_its_digits(houses: list[Company]) -> None:
    InvoiceSeries.objects.using("system").update(next_number=999_999)
    numbers = [invoice.number for invoice in cycle.close_all(due()[:2], now=NOON)]
    assert numbers == ["INV-999999", "INV-1000000"]
