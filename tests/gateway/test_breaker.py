"""An upstream that takes no connection is left alone for a while, then asked by one call at a time."""

import pytest

from gateway.upstreams import breaker
from gateway.upstreams.breaker import FAILURES, LONGEST_REST, SHORTEST_REST, Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(breaker, "time", clock)
    return clock


def fail(one: Breaker, times: int = FAILURES) -> None:
    for _failure in range(times):
        one.failed()


def test_a_few_failures_close_nothing(clock: Clock) -> None:
    one = Breaker()
    fail(one, FAILURES - 1)
    assert one.lets_through()
    one.reached()
    fail(one, FAILURES - 1)
    assert one.lets_through()


def test_after_a_rest_one_call_asks_and_the_others_wait_for_it(clock: Clock) -> None:
    one = Breaker()
    fail(one)
    assert not one.lets_through()
    clock.now += SHORTEST_REST
    assert [one.lets_through() for _call in range(3)] == [True, False, False]
    one.reached()
    assert all(one.lets_through() for _call in range(3))


def test_rests_grow_to_a_minute(clock: Clock) -> None:
    one = Breaker()
    fail(one, FAILURES + 10)
    clock.now += LONGEST_REST - 1
    assert not one.lets_through()
    clock.now += 1
    assert one.lets_through()
