"""Calls that begin and calls that end share one message – or nothing of it happens, and each is decided for by itself."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Organization
from accounts.tag_declarations import declare_tags
from accounts.tenancy import tenant_scope
from gateway.writing_together import UNDECIDED, Written, write_together
from ledger import holds
from ledger.event_ids import new_id
from ledger.models import Balance, BillingPeriod, Hold, HoldStatus
from metering import recording_at_once
from metering.limiting import set_limit
from metering.models import UsageEvent, UsageRollup
from metering.recording import record
from metering.reports import Outcome, Status, UsageReport
from tests import stories
from tests.stories import NOON, usage_report, use

WON_A_CALL = Decimal("0.099")
"""1,000 + 500 tokens × $0.00000004 × 1.1 × 1,500."""


@pytest.fixture
def cast(db: None) -> stories.Cast:
    """Everybody has used something, so that their months have begun."""
    cast = stories.meet_the_cast(now=NOON)
    for company in (cast.acme, cast.globex):
        use(company.organization, at=NOON)
    return cast


def hold(company: stories.Company, amount: int, **fields: object) -> holds.HoldRequest:
    return holds.HoldRequest(
        organization_id=company.organization.pk,
        id=new_id(NOON),
        created_at=NOON,
        expires_at=NOON + timedelta(minutes=15),
        api_key_id=company.key.pk,
        model_id=1,
        amount=Decimal(amount),
        request_id="req",
        upstream="test",
        **fields,  # type: ignore[arg-type]
    )


def ended(company: stories.Company, request: holds.HoldRequest | None = None, **fields: object) -> UsageReport:
    return usage_report(company.organization, at=NOON, hold_id=request.id if request else None, **fields)


def balance(company: stories.Company) -> Balance:
    with tenant_scope([company.organization.pk]):
        return Balance.objects.get(pk=company.organization.pk)


def number_of_events(company: stories.Company) -> int:
    with tenant_scope([company.organization.pk]):
        return UsageEvent.objects.for_organization(company.organization).count()


def statuses(answers: list[Written]) -> list[object]:
    return [answer.status if isinstance(answer, Outcome) else answer for answer in answers]


def test_calls_that_begin_and_calls_that_end_are_one_message(cast: stories.Cast) -> None:
    first, second = hold(cast.acme, 100), hold(cast.globex, 200)
    assert write_together([first, second], now=NOON) == [None, None]
    write_together([ended(cast.acme), ended(cast.globex)], now=NOON)  # has the statements parsed, the terms asked for

    beginning, ending = hold(cast.acme, 300), [ended(cast.acme, first), ended(cast.globex, second)]
    with CaptureQueriesContext(connections["default"]) as asked:
        answers = write_together([ending[0], beginning, ending[1]], now=NOON)

    assert len([query for query in asked if "EXECUTE" in query["sql"]]) == 1
    assert statuses(answers) == [Status.ACCEPTED, None, Status.ACCEPTED]
    assert isinstance(answers[0], Outcome)
    assert (answers[0].amount, answers[0].currency) == (WON_A_CALL, "KRW")
    assert (balance(cast.acme).held, balance(cast.globex).held) == (300, 0)
    assert balance(cast.acme).unbilled == 3 * WON_A_CALL
    with tenant_scope([cast.acme.organization.pk]):
        assert Hold.objects.get(pk=(cast.acme.organization.pk, first.id)).status == HoldStatus.CAPTURED
    call_command("audit")


def test_what_is_written_together_is_what_recording_writes(cast: stories.Cast) -> None:
    """The same reports of two companies, by either way, make the same rows."""
    reports = [
        (ended(company, end_user="u", tags={"team": team}), ended(company, end_user="u", tags={"team": team}))
        for company in (cast.acme, cast.globex)
        for team in ("blue", "green", "blue")
    ]
    record([one for one, _other in reports], now=NOON)
    answers = write_together([other for _one, other in reports], now=NOON)

    assert statuses(answers) == [Status.ACCEPTED] * 6
    for company in (cast.acme, cast.globex):
        with tenant_scope([company.organization.pk]):
            events = UsageEvent.objects.for_organization(company.organization)
            kept = {event.key: event for event in events}
            for one, other in reports:
                if one.organization_id == company.organization.pk:
                    ours, theirs = _content(kept[one.key]), _content(kept[other.key])
                    assert ours == theirs
            assert sum(rollup.event_count for rollup in UsageRollup.objects.all()) == 7
    call_command("audit")


def _content(event: UsageEvent) -> dict[str, object]:
    own = {"id", "key"}
    return {
        field.attname: getattr(event, field.attname) for field in event._meta.concrete_fields if field.name not in own
    }


def set_a_limit(company: stories.Company) -> None:
    set_limit(organization=company.organization, amount=Decimal(1000), actor=None, now=NOON)


def raise_the_tax(company: stories.Company) -> None:
    Balance.objects.using("system").filter(pk=company.organization.pk).update(tax_rate=Decimal("0.2"))


def declare_a_tag(company: stories.Company) -> None:
    declare_tags(organization=company.organization, keys=["team"], actor=None, now=NOON)


def say_that_it_closes(company: stories.Company) -> None:
    Organization.objects.using("system").filter(pk=company.organization.pk).update(closes_at=NOON - timedelta(hours=1))


def close_the_month(company: stories.Company) -> None:
    BillingPeriod.objects.using("system").filter(organization=company.organization).update(status="closing")


@pytest.mark.parametrize(
    "change",
    [set_a_limit, raise_the_tax, declare_a_tag, say_that_it_closes, close_the_month],
    ids=lambda one: one.__name__,
)
def test_what_has_changed_since_it_was_known_is_noticed_before_anything_is_written(
    cast: stories.Cast, change: Callable[[stories.Company], None]
) -> None:
    write_together([ended(cast.acme), ended(cast.globex)], now=NOON)
    change(cast.acme)
    before = balance(cast.globex)

    beginning = hold(cast.globex, 100)
    assert write_together([ended(cast.acme), ended(cast.globex), beginning], now=NOON) == [UNDECIDED] * 3

    assert number_of_events(cast.acme) == 2
    assert number_of_events(cast.globex) == 2
    assert (balance(cast.globex).held, balance(cast.globex).unbilled) == (before.held, before.unbilled)


def test_after_a_change_of_terms_charges_follow_the_new_ones(cast: stories.Cast) -> None:
    request = hold(cast.acme, 1000)
    write_together([request, ended(cast.acme)], now=NOON)
    raise_the_tax(cast.acme)
    write_together([ended(cast.acme)], now=NOON)

    [answer] = write_together([ended(cast.acme, request)], now=NOON)

    assert statuses([answer]) == [Status.ACCEPTED]
    with tenant_scope([cast.acme.organization.pk]):
        captured = Hold.objects.get(pk=(cast.acme.organization.pk, request.id)).captured
    assert captured == WON_A_CALL * Decimal("1.2")


def test_a_report_that_is_known_already_is_left_to_recording_which_says_so(cast: stories.Cast) -> None:
    report = ended(cast.acme)
    [first] = write_together([report], now=NOON)
    assert isinstance(first, Outcome)

    assert write_together([report, ended(cast.globex)], now=NOON) == [UNDECIDED, UNDECIDED]

    [second] = record([report], now=NOON)
    assert (second.status, second.event_id) == (Status.DUPLICATE, first.event_id)
    assert number_of_events(cast.acme) == 2


def test_who_needs_a_decision_does_not_keep_others_from_theirs(cast: stories.Cast) -> None:
    set_a_limit(cast.acme)
    named = msgspec.structs.replace(hold(cast.acme, 10), call_key=new_id(NOON))
    too_much, waiting = hold(cast.globex, 10**9), ended(cast.globex, model="nobody/knows")

    answers = write_together([ended(cast.acme), named, waiting, ended(cast.globex)], now=NOON)
    assert statuses(answers) == [UNDECIDED, UNDECIDED, UNDECIDED, Status.ACCEPTED]
    assert write_together([too_much, ended(cast.globex)], now=NOON)[0] is UNDECIDED
    assert recording_at_once.needs_decisions(cast.acme.organization.pk)
    call_command("audit")


def test_the_first_call_of_a_month_is_left_to_recording_which_begins_it(cast: stories.Cast) -> None:
    newcomer = stories.make_company("newcomer", now=NOON)
    report = ended(newcomer)
    assert write_together([report], now=NOON) == [UNDECIDED]

    record([report], now=NOON)

    assert statuses(write_together([ended(newcomer)], now=NOON)) == [Status.ACCEPTED]


def test_nobody_waits_for_a_month_that_is_being_closed(cast: stories.Cast) -> None:
    write_together([ended(cast.acme)], now=NOON)
    answers: list[Written] = []
    with transaction.atomic(using="system"):
        list(BillingPeriod.objects.using("system").filter(organization=cast.acme.organization).select_for_update())
        writing = threading.Thread(target=lambda: answers.extend(in_a_thread([ended(cast.acme), hold(cast.globex, 1)])))
        writing.start()
        writing.join(20)
        assert not writing.is_alive()
    assert answers == [UNDECIDED, UNDECIDED]


def test_two_processes_that_lock_each_others_balances_do_not_block_one_another(cast: stories.Cast) -> None:
    """One charges Acme and holds for Globex, the other the other way round; both lock both balances in one order."""
    write_together([ended(cast.acme), ended(cast.globex)], now=NOON)
    ready, answers = threading.Barrier(2), []

    def write(one: stories.Company, other: stories.Company) -> None:
        for _turn in range(25):
            ready.wait(30)
            answers.extend(in_a_thread([ended(one), hold(other, 1)], close=False))
        connections.close_all()

    threads = [
        threading.Thread(target=write, args=pair) for pair in ((cast.acme, cast.globex), (cast.globex, cast.acme))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert UNDECIDED not in answers
    assert len(answers) == 100
    call_command("audit")


def in_a_thread(
    items: list[holds.HoldRequest | UsageReport], *, close: bool = True, now: datetime = NOON
) -> list[Written]:
    try:
        return write_together(items, now=now)
    finally:
        if close:
            connections.close_all()
