"""What meets a closure at the worst moment: calls, reports, money, the monthly run. Each is over once, and nothing is lost."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from accounts.models import AuditEntry
from accounts.organizations import HasEnded, NotPossible
from billing import cycle
from billing.closures import asking, ending, finishing, remaining, resuming
from billing.payments import top_ups
from metering import recording
from tests import stories
from tests.billing.collecting import House, moment, type_card
from tests.billing.correcting import refunds
from tests.billing.test_bank_transfers import transfer
from tests.billing.test_closure import (
    MANY,
    MONTH_END,
    SOON,
    USED,
    ask,
    cast,
    hold_of,
    invoices,
    organization,
    pay_all,
    sweep,
)
from tests.billing.test_top_ups import AMOUNT, look, top_up
from tests.stories import use

__all__ = ["cast"]
PATIENCE = 20.0


class Meeting:
    """A place in our code where the first thread that comes by waits for another one."""

    def __init__(self) -> None:
        self.arrived, self.go_on = threading.Event(), threading.Event()

    def after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, after which is waited."""

        def called(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if not self.arrived.is_set():
                self.arrived.set()
                assert self.go_on.wait(PATIENCE)
            return result

        return called


@contextmanager
def beside(work: Callable[[], Any]) -> Iterator["Future[Any]"]:
    """`work` in a thread of its own, which leaves no connection open."""

    def run() -> Any:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(run)


def all_at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each returns, or raises, when they begin together."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        barrier.wait(PATIENCE)
        try:
            return work()
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))


def test_a_call_that_was_admitted_at_the_last_moment_reserves_after_it_and_is_on_the_final_invoice(
    cast: stories.Cast,
) -> None:
    closure = ask(cast.acme)
    admitted = closure.closes_at - timedelta(milliseconds=1)
    assert sweep(closure.closes_at + timedelta(seconds=30)) == []
    assert organization(cast.acme).status == "closing", "its body may still be on the way"
    hold = hold_of(cast.acme, at=admitted)
    assert sweep(SOON) == []
    use(cast.acme.organization, at=admitted, now=SOON, usage=MANY, hold_id=hold.id)
    [final] = sweep(SOON + timedelta(seconds=1))
    assert (final.kind, final.total) == ("final", 7260)
    call_command("audit")


def test_a_report_that_the_closing_overtakes_is_invoiced_all_the_same(
    cast: stories.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction saw that usage is still taken; the closing, which saw no usage, commits before it does."""
    use(cast.acme.organization, at=USED, usage=MANY)
    ask(cast.acme)
    sweep(SOON)
    pay_all(cast.acme, now=SOON)
    meeting = Meeting()
    monkeypatch.setattr(recording, "terms_in", meeting.after(recording.terms_in))
    with beside(lambda: use(cast.acme.organization, at=USED, now=SOON, usage=MANY)) as reporting:
        assert meeting.arrived.wait(PATIENCE)
        sweep(SOON)
        overtaken = organization(cast.acme).status
        meeting.go_on.set()
        assert reporting.result(PATIENCE).status == "accepted"
    assert overtaken == "closed"
    [resumed] = resuming.resume_all(now=SOON)
    assert (resumed.status, organization(cast.acme).readable_until) == ("settling", None)
    [second] = sweep(SOON + timedelta(seconds=1))
    assert (second.kind, second.total) == ("final", 7260)
    pay_all(cast.acme, now=SOON)
    sweep(SOON + timedelta(minutes=1))
    assert organization(cast.acme).status == "closed"
    assert resuming.resume_all(now=SOON) == []
    call_command("audit")


def test_money_that_arrives_while_the_organization_closes_does_not_lapse(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks what is left sees the open payment or its credit, never neither."""
    transfer(house)
    page = top_up(house)
    asking.ask_for_closure(
        organization_id=house.organization_id, at_once=True, now=moment() - timedelta(minutes=5), actor=None
    )
    finishing.make_last_invoices(organization_id=house.organization_id, now=moment())
    type_card(page.action_url)
    meeting = Meeting()
    monkeypatch.setattr(remaining, "credit_to_return", meeting.after(remaining.credit_to_return))
    with (
        beside(lambda: finishing.close_if_settled(organization_id=house.organization_id, now=moment())) as closing,
        beside(lambda: meeting.arrived.wait(PATIENCE) and look(house)) as settling,
    ):
        with suppress(TimeoutError):
            settling.result(3)
        meeting.go_on.set()
        assert closing.result(PATIENCE) is None
        settling.result(PATIENCE)
    finishing.finish_all(now=moment())
    finishing.finish_all(now=moment())
    assert [refund.amount for refund in refunds(house)] == [AMOUNT]
    assert (house.taken(), organization(house.cast.acme).status) == (0, "closed")
    call_command("audit")


def test_a_top_up_that_begins_while_the_closure_is_carried_out_is_refused_or_goes_back(house: House) -> None:
    transfer(house)
    [asked, begun] = all_at_once(
        lambda: asking.ask_for_closure(
            organization_id=house.organization_id, at_once=True, now=moment() - timedelta(minutes=5), actor=None
        ),
        lambda: top_up(house),
    )
    assert not isinstance(asked, Exception)
    if isinstance(begun, Exception):
        assert isinstance(begun, HasEnded)
    else:
        type_card(begun.action_url)
        top_ups.look_again(organization_id=house.organization_id, now=moment())
    for _sweep in range(2):
        finishing.finish_all(now=moment())
    assert (house.taken(), organization(house.cast.acme).status) == (0, "closed")
    call_command("audit")


def test_taking_back_and_carrying_out_at_once_is_one_of_both(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=USED, usage=MANY)
    closure = ask(cast.acme, at_once=False)
    [taken, _ended] = all_at_once(
        lambda: asking.take_back(
            organization_id=closure.organization_id,
            now=MONTH_END - timedelta(milliseconds=1),
            actor=cast.acme.owner,
        ),
        lambda: ending.end_due(now=MONTH_END),
    )
    status = organization(cast.acme).status
    assert status == ("closing" if isinstance(taken, NotPossible) else "active")
    call_command("audit")


def test_two_sweeps_the_monthly_run_and_a_late_call_make_one_final_invoice(cast: stories.Cast) -> None:
    hold = hold_of(cast.acme, at=MONTH_END - timedelta(minutes=1))
    use(cast.acme.organization, at=USED, usage=MANY)
    ask(cast.acme, at_once=False)
    later = MONTH_END + timedelta(hours=25)
    call_command("audit")

    def monthly() -> None:
        due = cycle.due_periods(now=later)
        cycle.close_all([(one.organization_id, one.period_id) for one in due], now=later)

    all_at_once(
        lambda: sweep(later),
        lambda: sweep(later),
        monthly,
        lambda: use(cast.acme.organization, at=hold.created_at, now=later, usage=MANY, hold_id=hold.id),
    )
    for _sweep in range(2):
        sweep(later + timedelta(minutes=1))
    made = invoices(cast.acme)
    assert {one.kind for one in made} == {"final"}
    assert sum(one.total for one in made) == 2 * 7260, "on one, or on a further one if it came too late"
    pay_all(cast.acme, now=later)
    for _sweep in range(2):
        sweep(later + timedelta(minutes=2))
    assert organization(cast.acme).status == "closed"
    entries = AuditEntry.objects.using("system").filter(organization=cast.acme.organization)
    assert entries.filter(action="closure.carried_out").count() == 1
    assert entries.filter(action="closure.settled").count() == 1
    call_command("audit")
