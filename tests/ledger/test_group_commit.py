"""Whoever waits shares the next commit; a poisoned submission fails alone."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from ledger.group_commit import GroupCommit, WriterStopped


def test_what_waits_while_a_commit_runs_shares_the_next_one() -> None:
    commits: list[list[int]] = []
    first_runs, go_on = threading.Event(), threading.Event()

    def write(items: Sequence[int]) -> list[int]:
        commits.append(list(items))
        first_runs.set()
        go_on.wait(10)
        return [item * 2 for item in items]

    writer = GroupCommit(write, name="test")
    first = writer.submit([1])
    first_runs.wait(10)
    rest = [writer.submit([number]) for number in range(2, 8)]
    go_on.set()

    assert first.result(10) == [2]
    assert [future.result(10) for future in rest] == [[4], [6], [8], [10], [12], [14]]
    assert commits == [[1], [2, 3, 4, 5, 6, 7]]
    writer.stop()


def test_a_poisoned_submission_fails_alone() -> None:
    runs, go_on = threading.Event(), threading.Event()

    def write(items: Sequence[int]) -> list[int]:
        runs.set()
        go_on.wait(10)
        if 13 in items:
            raise ValueError("poison")
        return list(items)

    writer = GroupCommit(write, name="test")
    futures = [writer.submit([0])]
    runs.wait(10)
    futures += [writer.submit([number]) for number in (12, 13, 14)]
    go_on.set()

    assert [futures[position].result(10) for position in (0, 1, 3)] == [[0], [12], [14]]
    with pytest.raises(ValueError, match="poison"):
        futures[2].result(10)
    writer.stop()


def test_stopping_writes_what_waits_and_refuses_what_comes() -> None:
    writer = GroupCommit(lambda items: list(items), name="test")
    waiting = [writer.submit([number]) for number in range(20)]
    writer.stop()
    assert [future.result(0) for future in waiting] == [[number] for number in range(20)]
    with pytest.raises(WriterStopped):
        writer.submit([1])


def test_a_cancelled_submission_is_not_written() -> None:
    written: list[int] = []
    runs, go_on = threading.Event(), threading.Event()

    def write(items: Sequence[int]) -> list[int]:
        runs.set()
        go_on.wait(10)
        written.extend(items)
        return list(items)

    writer = GroupCommit(write, name="test")
    writer.submit([1])
    runs.wait(10)
    cancelled = writer.submit([2])
    assert cancelled.cancel()
    kept = writer.submit([3])
    go_on.set()
    assert kept.result(10) == [3]
    writer.stop()
    assert written == [1, 3]


def test_who_comes_alone_never_waits_and_many_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[list[int]] = []
    late: list[Future[list[int]]] = []

    def write(items: Sequence[int]) -> list[int]:
        commits.append(list(items))
        return list(items)

    def others_come(_seconds: float) -> None:
        late.append(writer.submit([9]))

    writer = GroupCommit(write, name="test", seconds_to_gather=1.0, gathers_after=3)
    monkeypatch.setattr("ledger.group_commit.time.sleep", others_come)
    for items in ([1], [2], [3, 4, 5], [6], [7]):
        assert writer.submit(items).result(10) == items
    assert commits == [[1], [2], [3, 4, 5], [6, 9], [7]]
    writer.stop()
    assert [future.result(0) for future in late] == [[9]]


def test_an_event_loop_gets_its_results_and_its_errors() -> None:
    def write(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise ValueError("poison")
        return [item * 2 for item in items]

    writer = GroupCommit(write, name="test")

    async def ask() -> list[object]:
        return await asyncio.gather(*(writer.ask([number]) for number in (12, 13, 14)), return_exceptions=True)

    twelve, poisoned, fourteen = asyncio.run(ask())
    assert (twelve, fourteen) == ([24], [28])
    assert isinstance(poisoned, ValueError)
    writer.stop()
