"""Waiting is bounded; who cancels the task meanwhile is heard."""

import asyncio

import pytest

from gateway.time_limits import time_limit


async def test_what_takes_too_long_is_ended_and_the_task_goes_on() -> None:
    with pytest.raises(TimeoutError), time_limit(0.01):
        await asyncio.sleep(60)
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_what_ends_in_time_is_left_alone() -> None:
    with time_limit(0.01):
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)


async def test_a_time_that_is_over_already_ends_the_first_wait() -> None:
    with pytest.raises(TimeoutError), time_limit(-1.0):
        await asyncio.sleep(60)


async def test_errors_from_inside_stay_what_they_are() -> None:
    with pytest.raises(KeyError), time_limit(1.0):
        raise KeyError


async def test_a_cancellation_from_elsewhere_is_no_timeout() -> None:
    async def wait() -> None:
        with time_limit(60.0):
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_a_timeout_is_heard() -> None:
    async def wait() -> None:
        with time_limit(0.01):
            try:
                await asyncio.sleep(60)
            finally:
                asyncio.current_task().cancel()  # type: ignore[union-attr]

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(wait())
