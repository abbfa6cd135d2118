"""Calls whose end nobody saw: the upstream is asked, they are charged by what it says, or waived; once, whoever comes first."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from accounts.models import AuditEntry
from gateway import questions as sweeping
from ledger import questions
from ledger.models import HoldStatus
from metering import answering_questions
from metering.models import Evidence
from pricing.tokens import TokenUsage
from tests import stories
from tests.gateway.running import CAPTURED, OPEN, QUESTIONED, House, look_into_database, running_gateway, wait_until
from tests.gateway.sweeping import Sweep, billed, charged, sweeper

LONG: Any = [{"role": "user", "content": "Please review my code"}]
DAY = timedelta(days=1, minutes=1)


@pytest.fixture
def sweep(house: House, settings: Settings) -> Sweep:
    """With nothing left over from the tests before."""
    sweep = sweeper(house, settings)
    sweep(10 * DAY)
    return sweep


@pytest.fixture
def began() -> datetime:
    return timezone.now()


def chat(house: House, **options: Any) -> Any:
    given: dict[str, Any] = {"model": stories.DEVSTRAL, "messages": LONG, "stream": True}
    return house.acme.chat.completions.create(**(given | options))


def broken_off(house: House, fault: str = "drop-mid-stream") -> dict[str, Any]:
    """The hold of a call whose answer ended early."""
    house.llm.order(fault)
    with pytest.raises(openai.APIError):
        list(chat(house))
    hold = house.newest_hold()
    wait_until(lambda: house.hold_of(hold["request_id"])["status"] == QUESTIONED)
    return house.hold_of(hold["request_id"])


def question_of(hold: dict[str, Any]) -> questions.Question:
    found = questions.look_at(organization_id=hold["organization_id"], hold_id=hold["id"])
    assert found is not None
    return found


@pytest.mark.parametrize("fault", ["drop-mid-stream", "no-usage", "garbage"])
def test_a_stream_that_told_no_usage_is_charged_by_what_the_upstream_says(
    house: House, sweep: Sweep, began: datetime, fault: str
) -> None:
    house.llm.order(fault)
    with contextlib.suppress(openai.APIError):
        list(chat(house, user="kim", metadata={"team": "search"}))
    hold = house.newest_hold()
    wait_until(lambda: house.hold_of(hold["request_id"])["status"] == QUESTIONED)
    assert sweep() == 1
    assert charged(house, since=began) == billed(house) != {}
    event = house.event_of(hold["request_id"])
    assert event is not None
    assert (event["evidence"], event["key"], event["attempt"]) == (Evidence.RECOVERED, str(hold["id"]), 1)
    assert (event["end_user"], event["tags"]) == ("kim", {"team": "search"})
    assert (event["streamed"], event["occurred_at"]) == (True, hold["created_at"])
    assert house.hold_of(hold["request_id"])["status"] == CAPTURED
    assert sweep() == 0
    call_command("audit")


@pytest.mark.parametrize("fault", ["status-404", "status-503", "garbage"])
def test_an_upstream_that_cannot_tell_yet_is_asked_again_later(house: House, sweep: Sweep, fault: str) -> None:
    hold = broken_off(house)
    house.llm.order({"fault": fault, "where": "/generation", "times": 2})
    assert sweep() == 0
    assert sweep() == 0, "not before its pause is over"
    assert house.hold_of(hold["request_id"])["asked"] == 1
    assert sweep(timedelta(minutes=1)) == 0
    assert house.hold_of(hold["request_id"])["asked"] == 2
    assert sweep(timedelta(minutes=5)) == 1
    assert house.event_of(hold["request_id"])


def test_what_an_upstream_never_tells_is_waived_after_a_day(house: House, sweep: Sweep) -> None:
    house.llm.order("hang-before-headers")
    with pytest.raises(openai.APIStatusError):
        chat(house)
    hold = house.newest_hold()
    wait_until(lambda: house.hold_of(hold["request_id"])["status"] == QUESTIONED)
    assert sweep(timedelta(hours=23)) == 0
    assert house.balance()["held"] >= hold["amount"], "unknown is neither free nor invented"
    assert sweep(DAY) == 1
    event = house.event_of(hold["request_id"])
    assert event is not None
    assert (event["evidence"], event["amount"], event["cost"]) == (Evidence.WAIVED, 0, 0)
    assert (event["input_tokens"], event["output_tokens"], event["requests"]) == (None, None, 0)
    assert house.hold_of(hold["request_id"])["status"] == CAPTURED
    call_command("audit")


def test_what_the_upstream_did_for_nothing_is_given_back(house: House, sweep: Sweep) -> None:
    hold = broken_off(house)
    learned = answering_questions.Learned(
        model=stories.DEVSTRAL, usage=TokenUsage(input_tokens=5, output_tokens=0), cost=None, finish_reason="error"
    )
    assert answering_questions.recover(question_of(hold), learned, now=timezone.now())
    assert house.hold_of(hold["request_id"])["status"] == HoldStatus.RELEASED
    assert house.event_of(hold["request_id"]) is None


def test_the_process_that_made_the_call_comes_late_and_changes_nothing(
    house: House, sweep: Sweep, began: datetime
) -> None:
    """Its commit was held up for so long that the sweeper asked: one event, whoever wrote it."""
    house.llm.order("slow:0.02")
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(lambda: list(chat(house)))
        wait_until(lambda: house.llm.get("/sandbox/bill")["generations"])
        hold = house.newest_hold()
        with look_into_database() as connection, connection.transaction():
            connection.execute(
                "SELECT 1 FROM ledger_balance WHERE organization_id = %s FOR UPDATE", [hold["organization_id"]]
            )
            with pytest.raises(openai.APIError, match="could not be recorded"):
                reading.result(timeout=10)
            sweeping_now = threading.Thread(target=sweep, args=(timedelta(hours=1),))
            sweeping_now.start()
        sweeping_now.join(timeout=20)
    wait_until(lambda: house.event_of(hold["request_id"]))
    wait_until(lambda: house.hold_of(hold["request_id"])["status"] == CAPTURED)
    assert charged(house, since=began) == billed(house)
    call_command("audit")


def test_two_sweepers_share_the_work(house: House, sweep: Sweep, began: datetime) -> None:
    held = house.balance()["held"]
    for _call in range(6):
        broken_off(house)
    with ThreadPoolExecutor(2) as threads:
        assert sum(sweeper.result() for sweeper in [threads.submit(sweep) for _sweeper in range(2)]) == 6
    assert charged(house, since=began) == billed(house)
    assert house.balance()["held"] == held


def test_a_question_is_put_off_before_the_upstream_is_asked(house: House, sweep: Sweep) -> None:
    """Whoever dies while it asks has committed that it asked; the next one waits a while, then asks again."""
    hold = broken_off(house)
    [taken] = questions.take_due(now=timezone.now(), limit=5, pause=15, longest_pause=3600)
    assert str(taken.hold_id) == str(hold["id"])
    assert sweep() == 0
    assert sweep(timedelta(minutes=1)) == 1


def test_a_sweeper_passes_over_what_another_is_just_taking(house: House, sweep: Sweep) -> None:
    hold = broken_off(house)
    with look_into_database() as connection, connection.transaction():
        connection.execute("SELECT 1 FROM ledger_hold WHERE id = %s FOR UPDATE", [hold["id"]])
        assert questions.take_due(now=timezone.now(), limit=5, pause=15, longest_pause=3600) == []
    assert sweep() == 1


def test_one_that_cannot_be_answered_does_not_keep_the_others_waiting(
    house: House, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = broken_off(house), broken_off(house)
    answer = sweeping._answer

    def fail_once(question: Any, *details: Any, now: datetime) -> bool:
        if question.hold_id == first["id"]:
            raise RuntimeError("no")
        return answer(question, *details, now=now)

    monkeypatch.setattr(sweeping, "_answer", fail_once)
    assert sweep() == 1
    assert house.event_of(second["request_id"])
    monkeypatch.undo()
    assert sweep(timedelta(minutes=1)) == 1


def test_an_operator_answers_by_hand_and_says_why(house: House, sweep: Sweep) -> None:
    hold, other = broken_off(house), broken_off(house)
    operator = house.cast.operator
    usage = TokenUsage(input_tokens=10, output_tokens=20)
    answering_questions.charge_by_hand(
        question_of(hold), usage, reason="their invoice", actor=operator, now=timezone.now()
    )
    event = house.event_of(hold["request_id"])
    assert event is not None
    assert (event["evidence"], event["input_tokens"], event["output_tokens"]) == (Evidence.ESTIMATED, 10, 20)
    question = question_of(other)
    answering_questions.waive_by_hand(question, reason="our fault", actor=operator, now=timezone.now())
    with pytest.raises(answering_questions.NotAQuestion):
        answering_questions.waive_by_hand(question, reason="again", actor=operator, now=timezone.now())
    noted = AuditEntry.objects.using("system").filter(action__startswith="hold.").order_by("at")
    assert [(entry.action, entry.detail["reason"], entry.actor_id) for entry in noted][-2:] == [
        ("hold.estimated", "their invoice", operator.pk),
        ("hold.waived", "our fault", operator.pk),
    ]
    assert sweep(DAY) == 0


def test_by_hand_no_more_is_charged_than_was_held(house: House, sweep: Sweep) -> None:
    hold = broken_off(house)
    usage = TokenUsage(input_tokens=10, output_tokens=10_000_000)
    with pytest.raises(answering_questions.MoreThanHeld):
        answering_questions.charge_by_hand(
            question_of(hold), usage, reason="typo", actor=house.cast.operator, now=timezone.now()
        )
    assert house.event_of(hold["request_id"]) is None
    assert sweep() == 1


def test_kill_9_at_any_step_then_the_bill_is_what_we_charge(
    house: House, sweep: Sweep, began: datetime, tmp_path: Path
) -> None:
    """Before the hold is committed, before headers, in mid-stream, and when usage is known but not committed."""
    held = house.balance()["held"]

    def killed(fault: str, ready: Any, *, locked: bool = False) -> None:
        with running_gateway(house.environment, log=tmp_path / "gateway.log") as gateway:
            house.llm.order(fault)
            client = gateway.client(house.cast.acme.secret)

            def read() -> None:
                stream = client.chat.completions.create(model=stories.DEVSTRAL, messages=LONG, stream=True)
                for chunk in stream:
                    seen.append(chunk)

            seen: list[Any] = []
            before = house.llm.get("/sandbox/bill")["count"]
            with ThreadPoolExecutor(1) as threads:
                reading = threads.submit(read)
                wait_until(lambda: ready(seen, before))
                gateway.kill()
                with pytest.raises(openai.APIError):
                    reading.result(timeout=10)

    def called(seen: list[Any], before: int) -> bool:
        return bool(house.llm.get("/sandbox/bill")["count"] > before)

    def named(seen: list[Any], before: int) -> bool:
        return bool(seen) and house.newest_hold()["generation_id"] is not None

    query = "SELECT 1 FROM ledger_balance WHERE organization_id = %s FOR UPDATE"
    organization_id = house.cast.acme.organization.pk
    with look_into_database() as connection, connection.transaction():
        connection.execute(query, [organization_id])
        with running_gateway(house.environment, log=tmp_path / "gateway.log") as gateway:
            with pytest.raises(openai.APIError):
                gateway.client(house.cast.acme.secret, timeout=1).chat.completions.create(
                    model=stories.DEVSTRAL, messages=LONG
                )
            gateway.kill()
    assert billed(house) == {}, "nothing is called before its hold is committed"

    killed("hang-before-headers", called)
    killed("slow:0.3", named)

    with running_gateway(house.environment, log=tmp_path / "gateway.log") as gateway:
        house.llm.order("slow:0.05")
        stream = gateway.client(house.cast.acme.secret).chat.completions.create(
            model=stories.DEVSTRAL, messages=LONG, stream=True
        )
        first = next(iter(stream))
        wait_until(lambda: house.newest_hold()["generation_id"])
        with look_into_database() as connection, connection.transaction():
            connection.execute(query, [organization_id])
            seen = [first]
            for chunk in stream:
                seen.append(chunk)
                if chunk.choices and chunk.choices[0].finish_reason:
                    break
            gateway.kill()

    assert {row["status"] for row in house.rows("SELECT status FROM ledger_hold WHERE created_at >= %s", began)} == {
        OPEN
    }
    assert len(billed(house)) == 2, "the upstream has noticed that nobody listens any more"
    assert sweep(timedelta(minutes=16)) == 2
    assert sweep(DAY) == 2, (
        "the one that never had an answer, and the one whose hold PostgreSQL committed after its process died"
    )
    assert charged(house, since=began) == billed(house)
    assert house.balance()["held"] == held
    call_command("audit")
