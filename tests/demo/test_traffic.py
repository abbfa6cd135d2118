"""Plausible calls: the same for the same seed, within what the models can take, and of models that we describe."""

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest

from catalog.seed import our_table
from demo.cast import COMPANIES, ZONE
from demo.progress import Progress
from demo.traffic import HOURS, Call, Workload, calls_of_day
from demo.workloads import DATA_TEAM, ROUTER, STAGING, SUPPORT_CHAT, WORKLOADS

MONDAY, SUNDAY = date(2026, 11, 16), date(2026, 11, 22)
EVERY = [(slug, workload) for slug, workloads in WORKLOADS.items() for workload in workloads]


def calls(workload: Workload, *, day: date = MONDAY, elapsed: float = 1.0, limit: int | None = None) -> list[Call]:
    sold = {shape.model: limit for shape in workload.shapes}
    return list(calls_of_day(workload, day=day, zone=ZONE, elapsed=elapsed, scale=1.0, sold=sold, seed="test"))


@pytest.mark.parametrize(("slug", "workload"), EVERY)
def test_a_workload_names_models_that_we_describe_and_a_key_of_its_company(slug: str, workload: Workload) -> None:
    company = next(company for company in COMPANIES if company.slug == slug)
    assert workload.key in company.keys
    ours = our_table.our_models()
    for shape in workload.shapes:
        assert shape.model in ours
        assert shape.asked_for in (None, ROUTER)
        longest = max(shape.prompt, shape.long_prompt)
        assert longest + shape.answer < ours[shape.model].facts["context_length"]
        assert not shape.images or "image" in ours[shape.model].facts["input_modalities"]
    assert len(HOURS[workload.rhythm]) == 24


def test_over_thirty_models_are_used() -> None:
    assert len({shape.model for _slug, workload in EVERY for shape in workload.shapes}) > 30


def test_the_same_day_has_the_same_calls_in_order_of_time() -> None:
    first = calls(SUPPORT_CHAT)
    assert first == calls(SUPPORT_CHAT)
    assert first != calls(SUPPORT_CHAT, day=date(2026, 11, 17))
    assert all(before.at <= after.at for before, after in pairwise(first))
    assert {call.at.date() for call in first} == {MONDAY}


def test_weekends_are_quiet_and_traffic_grows() -> None:
    assert len(calls(STAGING, day=SUNDAY)) < len(calls(STAGING)) / 5
    assert len(calls(SUPPORT_CHAT, elapsed=0.0)) < 0.7 * len(calls(SUPPORT_CHAT, elapsed=1.0))


def test_a_model_that_is_not_sold_is_not_called() -> None:
    sold: dict[str, int | None] = {"openai/gpt-5-mini": None}
    only = calls_of_day(SUPPORT_CHAT, day=MONDAY, zone=ZONE, elapsed=1.0, scale=1.0, sold=sold, seed="test")
    assert {call.model for call in only} == {"openai/gpt-5-mini"}
    assert not list(calls_of_day(SUPPORT_CHAT, day=MONDAY, zone=ZONE, elapsed=1.0, scale=1.0, sold={}, seed="test"))


def test_counts_are_those_of_a_source() -> None:
    """Disjoint, within the context, and unknown where the model has no such class."""
    for call in calls(replace(DATA_TEAM, calls=500), limit=120_000):
        usage = call.usage
        shapes = [shape for shape in DATA_TEAM.shapes if shape.model == call.model]
        assert 0 < usage.total_tokens <= 120_000
        assert (usage.cache_read_tokens is None) == (not any(shape.cached for shape in shapes))
        assert (usage.cache_write_tokens is None) == (not any(shape.cache_writes for shape in shapes))
        assert (usage.reasoning_tokens is None) == (not any(shape.reasoning for shape in shapes))
        assert call.latency_ms >= call.first_token_ms > 0


def test_progress_on_a_terminal_and_elsewhere() -> None:
    said: list[str] = []
    progress = Progress(said.append, on_terminal=True)
    with progress.step("Work"):
        progress.advance(1, of=2, note="one")
    assert said[0].startswith("\r  Work ...")
    assert "[############............]  50%  one" in said[1]
    assert said[2].startswith("\r  Work") and said[2].endswith("\n")
    said.clear()
    progress = Progress(said.append)
    with progress.step("Work"):
        for number in range(1, 9):
            progress.advance(number, of=8, note=f"{number} parts")
    assert [line.split(",")[0].strip() for line in said[:-1]] == ["Work: 25%", "Work: 50%", "Work: 75%"]
    assert said[-1].rstrip().endswith("8 parts")
