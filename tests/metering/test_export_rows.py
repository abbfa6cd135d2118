"""An export of many rows takes no more memory than one of few, and opens no long transaction."""

import io
import tracemalloc
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connections

from metering import export_formats, export_rows
from metering.event_filters import EventFilter
from metering.export_formats import FORMATS
from metering.export_rows import HEADER
from metering.recording import record
from pricing import verify_receipts
from tests import stories
from tests.stories import NOON, usage_report

WHOLE_MONTH = EventFilter(start=NOON - timedelta(days=21), end=NOON + timedelta(days=1))
MANY, FEW = 4000, 400


@pytest.fixture
def acme(db: None) -> stories.Company:
    """Some thousand calls of acme's, a second apart."""
    company = stories.meet_the_cast(now=NOON).acme
    reports = [
        usage_report(company.organization, at=NOON - timedelta(seconds=number), tags={"run": str(number)})
        for number in range(MANY)
    ]
    record(reports, now=NOON)
    return company


def peak(work: Callable[[], None]) -> int:
    """Bytes that Python held at most while it worked."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_stays_flat(acme: stories.Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_formats, "ROWS_A_GROUP", 200)
    monkeypatch.setattr(export_rows, "BATCH", 100)
    few = EventFilter(start=NOON - timedelta(seconds=FEW - 1), end=NOON + timedelta(seconds=1))

    def written(format_name: str, wanted: EventFilter) -> tuple[int, int]:
        sizes: list[int] = []

        def write() -> None:
            rows = export_rows.export_rows(organization=acme.organization, wanted=wanted)
            sizes.extend(len(part) for part in FORMATS[format_name].write(HEADER, rows))

        return peak(write), sum(sizes)

    for format_name in FORMATS:
        written(format_name, few)  # what is imported and remembered only once
        small, large = written(format_name, few), written(format_name, WHOLE_MONTH)
        assert large[1] > 5 * small[1], "ten times the rows"
        assert large[0] < 1.5 * small[0], f"{format_name}: {small[0]} → {large[0]} bytes"


def test_a_long_export_is_complete_and_opens_no_long_transaction(
    acme: stories.Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_rows, "BATCH", 700)
    parts = []
    for part in FORMATS["csv"].write(
        HEADER, export_rows.export_rows(organization=acme.organization, wanted=WHOLE_MONTH)
    ):
        assert not connections["default"].in_atomic_block
        parts.append(part.decode())
    assert len(parts) == 1 + 6, "the header and six batches"
    found = verify_receipts.verify(verify_receipts.read_rows(io.StringIO("".join(parts), newline="")))
    assert (found.rows, found.differences) == (MANY, 0)
    assert verify_receipts.plain(found.sums["KRW"]) == "396"
