"""A spend limit holds whatever runs at once, counts exactly what was charged and held, and begins anew with the month."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections

from accounts.models import ApiKey, AuditEntry
from accounts.tenancy import tenant_scope
from ledger import holds
from ledger.event_ids import new_id
from ledger.group_commit import GroupCommit
from ledger.limit_setting import limits_at, remove_limit
from ledger.limits import LimitReached, left
from ledger.models import Balance, LimitWindow, SpendLimit
from metering.charges import Charge, Waiting, price
from metering.limiting import set_limit
from metering.recording import record
from metering.reports import Outcome, UsageReport
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON, use

MILLION = TokenUsage(input_tokens=500_000, output_tokens=500_000)
"""Costs ₩66 and ₩6.6 VAT."""
LAST_MINUTE = datetime(2026, 11, 30, 14, 59, tzinfo=UTC)
"""Of November in Seoul."""


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


@pytest.fixture
def acme(cast: stories.Cast) -> stories.Company:
    """Has ₩5,000 of credit, more than any limit here."""
    return cast.acme


def request(
    company: stories.Company,
    amount: int | str,
    *,
    key: ApiKey | None = None,
    at: datetime = NOON,
    hold_id: UUID | None = None,
) -> holds.HoldRequest:
    return holds.HoldRequest(
        organization_id=company.organization.pk,
        id=hold_id or new_id(at),
        created_at=at,
        expires_at=at + timedelta(minutes=15),
        api_key_id=(key or company.key).pk,
        model_id=1,
        amount=Decimal(amount),
        request_id="req",
        upstream="test",
    )


def limit(company: stories.Company, amount: int, *, key: ApiKey | None = None, **options: object) -> SpendLimit:
    given: dict[str, object] = {"actor": company.owner, "now": NOON} | options
    return set_limit(organization=company.organization, amount=Decimal(amount), api_key=key, **given)  # type: ignore[arg-type]


def standing(
    company: stories.Company,
    *,
    key: ApiKey | None = None,
    member_id: int | None = None,
    window: str = LimitWindow.MONTH,
    hard: bool = True,
    now: datetime = NOON,
) -> SpendLimit:
    which = (key.pk if key else None, member_id, window, hard)
    with tenant_scope([company.organization.pk]):
        limits = limits_at(company.organization, now=now)
    [found] = [one for one in limits if (one.api_key_id, one.member_id, one.window, one.hard) == which]
    return found


def test_the_organizations_limit_refuses_what_might_pass_it(acme: stories.Company) -> None:
    limit(acme, 1000)
    answers = holds.reserve([request(acme, 700), request(acme, 400), request(acme, 300), request(acme, 1)])
    assert [type(answer) for answer in answers] == [type(None), LimitReached, type(None), LimitReached]
    refusal = answers[1]
    assert isinstance(refusal, LimitReached)
    assert (refusal.api_key_id, refusal.amount, refusal.window) == (None, Decimal(1000), "month")
    assert refusal.resets_at == datetime(2026, 11, 30, 15, tzinfo=UTC)
    assert (standing(acme).held, left(standing(acme))) == (1000, 0)
    call_command("audit")


def test_credit_that_is_missing_is_named_before_the_limit(acme: stories.Company) -> None:
    limit(acme, 1000)
    [answer] = holds.reserve([request(acme, 6000)])
    assert isinstance(answer, holds.InsufficientFunds)


def test_the_limit_of_a_key_leaves_others_alone(acme: stories.Company) -> None:
    other, _secret = stories.make_key(acme.organization, now=NOON, name="Other")
    limit(acme, 100, key=other)
    limit(acme, 2000)
    batch = [request(acme, 101, key=other), request(acme, 1500), request(acme, 100, key=other), request(acme, 500)]
    answers = holds.reserve(batch)
    assert [getattr(answer, "api_key_id", "admitted") for answer in answers] == [other.pk, "admitted", "admitted", None]
    assert (standing(acme).held, standing(acme, key=other).held) == (1600, 100)
    call_command("audit")


def test_a_soft_limit_counts_but_refuses_nothing(acme: stories.Company) -> None:
    limit(acme, 10, hard=False)
    assert holds.reserve([request(acme, 500)]) == [None]
    assert left(standing(acme, hard=False)) == -490
    call_command("audit")


def test_settled_calls_count_as_charged_and_give_their_hold_back(acme: stories.Company) -> None:
    limit(acme, 1000)
    limit(acme, 1000, key=acme.key)
    hold_id = new_id(NOON)
    holds.reserve([request(acme, 900, hold_id=hold_id)])
    use(acme.organization, at=NOON, usage=MILLION, api_key_id=acme.key.pk, hold_id=hold_id)
    for key in (None, acme.key):
        assert (standing(acme, key=key).spent, standing(acme, key=key).held) == (66, 0)
        assert left(standing(acme, key=key)) == Decimal("927.4")
    call_command("audit")


def test_a_released_hold_gives_the_limit_its_room_back_once(acme: stories.Company) -> None:
    limit(acme, 1000, key=acme.key)
    hold_id = new_id(NOON)
    holds.reserve([request(acme, 900, hold_id=hold_id)])
    for _attempt in range(2):
        holds.release(organization_id=acme.organization.pk, hold_id=hold_id, now=NOON)
    assert standing(acme, key=acme.key).held == 0
    call_command("audit")


def test_a_hold_whose_commit_was_not_acknowledged_is_counted_once(acme: stories.Company) -> None:
    limit(acme, 1000)
    same = request(acme, 400)
    holds.reserve([same])
    holds.reserve([request(acme, 100), same])
    assert standing(acme).held == 500
    call_command("audit")


def test_pushed_usage_is_never_refused_and_passes_the_limit_visibly(acme: stories.Company) -> None:
    limit(acme, 50)
    use(acme.organization, at=NOON, usage=MILLION)
    assert left(standing(acme)) == Decimal("-22.6")
    assert isinstance(holds.reserve([request(acme, 1)])[0], LimitReached)
    call_command("audit")


def test_a_limit_that_is_set_in_the_middle_of_the_month_knows_what_was_before(acme: stories.Company) -> None:
    other, _secret = stories.make_key(acme.organization, now=NOON, name="Other")
    use(acme.organization, at=NOON - timedelta(days=30), now=NOON, usage=MILLION, api_key_id=acme.key.pk)
    use(acme.organization, at=NOON - timedelta(days=3), now=NOON, usage=MILLION, api_key_id=acme.key.pk)
    use(acme.organization, at=NOON, usage=MILLION, api_key_id=other.pk)
    holds.reserve([request(acme, 70), request(acme, 30, key=other)])
    limit(acme, 1000)
    limit(acme, 1000, key=acme.key)
    assert (standing(acme).spent, standing(acme).held) == (132, 100)
    assert (standing(acme, key=acme.key).spent, standing(acme, key=acme.key).held) == (66, 70)
    call_command("audit")


def test_a_new_month_begins_at_nothing_and_late_ends_of_the_old_one_do_not_count(acme: stories.Company) -> None:
    limit(acme, 1000)
    old = new_id(LAST_MINUTE)
    holds.reserve([request(acme, 900, at=LAST_MINUTE, hold_id=old)])
    december = LAST_MINUTE + timedelta(minutes=2)
    assert holds.reserve([request(acme, 950, at=december)]) == [None]
    assert standing(acme, now=december).held == 950
    use(acme.organization, at=LAST_MINUTE, now=december, usage=MILLION, hold_id=old, api_key_id=acme.key.pk)
    assert (standing(acme, now=december).spent, standing(acme, now=december).held) == (0, 950)
    assert isinstance(holds.reserve([request(acme, 51, at=december)])[0], LimitReached)
    assert isinstance(holds.reserve([request(acme, 51, at=LAST_MINUTE)])[0], LimitReached), "a clock that lags"
    call_command("audit")


def test_usage_reported_ahead_of_its_month_waits_for_it(acme: stories.Company) -> None:
    limit(acme, 100)
    december = LAST_MINUTE + timedelta(minutes=2)
    use(acme.organization, at=december, now=LAST_MINUTE, usage=MILLION)
    assert (standing(acme, now=LAST_MINUTE).spent, standing(acme, now=LAST_MINUTE).spent_ahead) == (0, 66)
    assert holds.reserve([request(acme, 100, at=LAST_MINUTE)]) == [None]
    call_command("audit")
    assert isinstance(holds.reserve([request(acme, 28, at=december)])[0], LimitReached)
    assert holds.reserve([request(acme, 27, at=december)]) == [None]
    assert standing(acme, now=december).spent == 66
    call_command("audit")
    january = december + timedelta(days=40)
    assert standing(acme, now=january).spent == 0


def test_a_changed_limit_keeps_counting_and_a_removed_one_is_gone(acme: stories.Company) -> None:
    limit(acme, 1000)
    holds.reserve([request(acme, 900)])
    limit(acme, 950)
    assert (standing(acme).amount, standing(acme).held) == (950, 900)
    assert remove_limit(organization=acme.organization, api_key=None, actor=acme.owner, now=NOON)
    assert not remove_limit(organization=acme.organization, api_key=None, actor=acme.owner, now=NOON)
    with tenant_scope([acme.organization.pk]):
        assert Balance.objects.get(pk=acme.organization.pk).limited is False
        actions = AuditEntry.objects.filter(action__startswith="spend_limit").order_by("pk")
        assert [entry.action for entry in actions] == ["spend_limit.set", "spend_limit.set", "spend_limit.removed"]
    assert holds.reserve([request(acme, 900)]) == [None]
    call_command("audit")


def test_a_limit_names_no_key_of_the_neighbour(cast: stories.Cast) -> None:
    with pytest.raises(IntegrityError):
        set_limit(
            organization=cast.acme.organization,
            amount=Decimal(1),
            api_key=cast.globex.key,
            actor=cast.acme.owner,
            now=NOON,
        )


def test_who_has_no_limit_pays_no_query_for_it(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(cast.globex, 1000)

    def asked(*args: object, **kwargs: object) -> None:
        raise AssertionError("limits were looked for")

    monkeypatch.setattr("ledger.limits.SpendLimit.objects", type("Nobody", (), {"filter": asked}))
    hold_id = new_id(NOON)
    assert holds.reserve([request(cast.acme, 100, hold_id=hold_id)]) == [None]
    use(cast.acme.organization, at=NOON, hold_id=hold_id)
    with pytest.raises(AssertionError, match="looked for"):
        use(cast.globex.organization, at=NOON)


def test_two_hundred_calls_at_once_never_pass_a_limit(cast: stories.Cast) -> None:
    """Two processes' worth of writers reserve, record and release for two tenants in mixed batches, while limits come and go."""
    companies = (cast.acme, cast.globex)
    for company in companies:
        limit(company, 1000)
        limit(company, 700, key=company.key)
    reserving = [GroupCommit(holds.reserve, name=f"reserve-{number}") for number in range(2)]
    recording: list[GroupCommit[UsageReport, Outcome]] = [
        GroupCommit(lambda some: record(some, now=NOON), name=f"record-{number}") for number in range(2)
    ]
    faults: list[BaseException] = []
    highest: list[Decimal] = []

    def call(number: int) -> None:
        for turn in range(25):
            pair = [request(company, 90) for company in companies[:: 1 if number % 2 else -1]]
            answers = reserving[number % 2].submit(pair).result(timeout=60)
            for hold, answer in zip(pair, answers, strict=True):
                if answer is not None:
                    continue
                company = companies[hold.organization_id == companies[1].organization.pk]
                if turn % 3:
                    report = stories.usage_report(
                        company.organization, at=NOON, hold_id=hold.id, api_key_id=company.key.pk
                    )
                    recording[number % 2].submit([report]).result(timeout=60)
                else:
                    holds.release(organization_id=hold.organization_id, hold_id=hold.id, now=NOON)

    def change() -> None:
        for turn in range(10):
            limit(companies[turn % 2], 1000 + turn)
            remove_limit(
                organization=companies[turn % 2].organization,
                api_key=companies[turn % 2].key,
                actor=None,
                now=NOON,
            )
            limit(companies[turn % 2], 700, key=companies[turn % 2].key)
            # The organization's limit only ever rises; a key's that was lifted may find more held than it allows.
            highest.append(left(standing(companies[turn % 2])))

    def watched(work: object, *arguments: object) -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        except BaseException as fault:
            faults.append(fault)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=watched, args=(call, number)) for number in range(8)]
    threads.append(threading.Thread(target=watched, args=(change,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for reserver, recorder in zip(reserving, recording, strict=True):
        reserver.stop()
        recorder.stop()
    assert faults == []
    assert min(highest) >= 0
    for company in companies:
        assert standing(company, key=company.key).held == 0
    call_command("audit")


def test_a_limit_stands_or_falls_with_its_transaction(acme: stories.Company) -> None:
    """Also where the organization was looked up across tenants, as a page's visitor's is."""
    looked_up = stories.Organization.objects.using("system").get(pk=acme.organization.pk)
    with pytest.raises(ZeroDivisionError), tenant_scope([looked_up.pk]):
        set_limit(organization=looked_up, amount=Decimal(100), actor=None, now=NOON)
        raise ZeroDivisionError
    assert not SpendLimit.objects.using("system").exists()


def test_a_limit_that_is_set_while_usage_is_being_recorded_counts_it(
    acme: stories.Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no limits, recording commits with the statement that would find one: it must not go through."""

    def set_one() -> None:
        try:
            limit(acme, 1000)
        finally:
            connections.close_all()

    def price_late(*args: Any, **options: Any) -> list[Charge | Waiting]:
        if not SpendLimit.objects.using("system").exists():
            other = threading.Thread(target=set_one)
            other.start()
            other.join()
        return price(*args, **options)

    monkeypatch.setattr("metering.recording.price", price_late)
    use(acme.organization, at=NOON, usage=MILLION, api_key_id=acme.key.pk)
    assert standing(acme).spent == 66
    call_command("audit")
