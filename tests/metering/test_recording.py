"""Usage is recorded once, priced with the rate in force, rolled up, and owed – or it waits, visible."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tenancy import tenant_scope
from billing.invoicing import close_period
from billing.sellers import set_seller
from catalog.markups import set_markup
from ledger import holds
from ledger.event_ids import new_id
from ledger.models import Balance, BillingPeriod, Hold, HoldStatus
from metering import event_rows, unrated
from metering.models import EventKey, UnratedUsage, UsageEvent, UsageRollup
from metering.recording import record
from metering.reports import Status
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON, usage_report, use

WON_A_CALL = Decimal("0.099")
"""1,000 + 500 tokens × $0.00000004 × 1.1 × 1,500."""


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def events_of(company: stories.Company) -> list[UsageEvent]:
    with tenant_scope([company.organization.pk]):
        return list(UsageEvent.objects.for_organization(company.organization).order_by("id"))


def unbilled(company: stories.Company) -> Decimal:
    with tenant_scope([company.organization.pk]):
        return Balance.objects.get(pk=company.organization.pk).unbilled


def test_an_event_is_priced_rolled_up_and_owed(cast: stories.Cast) -> None:
    outcome = use(cast.acme.organization, at=NOON)

    assert (outcome.status, outcome.amount, outcome.currency) == (Status.ACCEPTED, WON_A_CALL, "KRW")
    [event] = events_of(cast.acme)
    assert (event.id, event.amount, event.cost) == (outcome.event_id, WON_A_CALL, Decimal("0.00006"))
    assert (event.input_tokens, event.output_tokens, event.cache_read_tokens) == (1000, 500, None)
    with tenant_scope([cast.acme.organization.pk]):
        rollup = UsageRollup.objects.get()
    assert (rollup.event_count, rollup.amount, rollup.input_tokens) == (1, WON_A_CALL, 1000)
    assert rollup.event_digest == event_rows.digest_of(event.id)
    assert unbilled(cast.acme) == WON_A_CALL
    call_command("audit")


def test_sending_again_counts_once_and_says_so(cast: stories.Cast) -> None:
    report = usage_report(cast.acme.organization, at=NOON)
    [first] = record([report], now=NOON)
    [second] = record([report], now=NOON + timedelta(days=2))

    assert (second.status, second.event_id) == (Status.DUPLICATE, first.event_id)
    assert len(events_of(cast.acme)) == 1
    assert unbilled(cast.acme) == WON_A_CALL


def test_the_same_id_with_other_content_conflicts_and_the_first_stays(cast: stories.Cast) -> None:
    report = usage_report(cast.acme.organization, at=NOON)
    record([report], now=NOON)
    for other in (
        msgspec.structs.replace(report, usage=TokenUsage(input_tokens=9)),
        msgspec.structs.replace(report, occurred_at=NOON - timedelta(days=20)),
        msgspec.structs.replace(report, model="mistralai/other"),
    ):
        [outcome] = record([other], now=NOON)
        assert outcome.status == Status.CONFLICT
    assert [event.amount for event in events_of(cast.acme)] == [WON_A_CALL]


def test_a_batch_that_repeats_an_id_within_itself_keeps_the_first(cast: stories.Cast) -> None:
    report = usage_report(cast.acme.organization, at=NOON)
    other = msgspec.structs.replace(report, usage=TokenUsage(input_tokens=9))
    statuses = [outcome.status for outcome in record([report, report, other], now=NOON)]
    assert statuses == [Status.ACCEPTED, Status.DUPLICATE, Status.CONFLICT]


def test_the_same_id_of_another_source_or_tenant_is_another_event(cast: stories.Cast) -> None:
    report = usage_report(cast.acme.organization, at=NOON)
    others = [
        msgspec.structs.replace(report, source_id=cast.source.pk),
        msgspec.structs.replace(report, organization_id=cast.globex.organization.pk),
    ]
    assert {outcome.status for outcome in record([report, *others], now=NOON)} == {Status.ACCEPTED}


def test_fifty_racers_with_one_id_record_it_once(cast: stories.Cast) -> None:
    report = usage_report(cast.acme.organization, at=NOON)
    statuses: list[Status] = []
    start = threading.Barrier(10)

    def race() -> None:
        start.wait()
        for _turn in range(5):
            statuses.extend(outcome.status for outcome in record([report], now=NOON))
        connections.close_all()

    racers = [threading.Thread(target=race) for _number in range(10)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sorted(statuses) == [Status.ACCEPTED] + [Status.DUPLICATE] * 49
    assert unbilled(cast.acme) == WON_A_CALL
    call_command("audit")


def test_two_batches_that_share_rows_in_opposite_order_do_not_deadlock(cast: stories.Cast) -> None:
    reports = [usage_report(cast.acme.organization, at=NOON + timedelta(seconds=number)) for number in range(200)]
    counts: list[int] = []

    def send(batch: list[object]) -> None:
        outcomes = record(batch, now=NOON)  # type: ignore[arg-type]
        counts.append(sum(outcome.status == Status.ACCEPTED for outcome in outcomes))
        connections.close_all()

    senders = [threading.Thread(target=send, args=(batch,)) for batch in (reports, reports[::-1]) * 2]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert sum(counts) == 200
    assert len(events_of(cast.acme)) == 200
    call_command("audit")


def test_nothing_is_kept_of_a_batch_that_fails_half_way(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise IntegrityError("the disk is full")

    report = usage_report(cast.acme.organization, at=NOON)
    with monkeypatch.context() as broken, pytest.raises(IntegrityError):
        broken.setattr("metering.recording.accrual", fail)
        record([report], now=NOON)

    assert events_of(cast.acme) == []
    [retried] = record([report], now=NOON)
    assert retried.status == Status.ACCEPTED


def test_an_unknown_model_waits_and_is_charged_when_its_price_arrives(cast: stories.Cast) -> None:
    outcome = use(cast.acme.organization, at=NOON, model="acme/brand-new")
    assert outcome.status == Status.ACCEPTED
    assert "unknown model: acme/brand-new" in outcome.reason
    assert events_of(cast.acme) == [] and unbilled(cast.acme) == 0
    assert unrated.rate_waiting(now=NOON) == 0
    call_command("audit")

    later = NOON + timedelta(hours=3)
    stories.make_model("acme/brand-new", now=later, since=NOON - timedelta(days=1))
    assert unrated.rate_waiting(now=later) == 1

    [event] = events_of(cast.acme)
    assert (event.id, event.amount, event.occurred_at) == (outcome.event_id, WON_A_CALL, NOON)
    with tenant_scope([cast.acme.organization.pk]):
        assert not UnratedUsage.objects.exists()
    assert unrated.rate_waiting(now=later) == 0
    call_command("audit")


def test_a_price_that_starts_too_late_does_not_charge_what_came_before(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON, model="acme/brand-new")
    stories.make_model("acme/brand-new", now=NOON, since=NOON + timedelta(minutes=1))
    assert unrated.rate_waiting(now=NOON + timedelta(hours=1)) == 0
    with tenant_scope([cast.acme.organization.pk]):
        assert UnratedUsage.objects.count() == 1


def test_a_search_that_has_no_price_waits_and_is_not_given_away(cast: stories.Cast) -> None:
    searched = usage_report(cast.acme.organization, at=NOON, usage=TokenUsage(input_tokens=500, searches=3))
    [outcome] = record([searched], now=NOON)
    assert (outcome.status, outcome.amount) == (Status.ACCEPTED, None)
    assert "no unit price for searches" in outcome.reason
    assert unbilled(cast.acme) == 0


def test_a_charge_beyond_all_measure_waits_alone(cast: stories.Cast) -> None:
    stories.make_model("acme/absurd", now=NOON, pricing={"prompt": "1000000", "completion": "1000000"})
    absurd = usage_report(
        cast.acme.organization, at=NOON, model="acme/absurd", usage=TokenUsage(input_tokens=2_000_000_000)
    )
    outcomes = record([absurd, usage_report(cast.acme.organization, at=NOON)], now=NOON)
    assert [outcome.amount for outcome in outcomes] == [None, WON_A_CALL]
    call_command("audit")


def test_an_organization_that_does_not_exist_is_rejected_by_itself(cast: stories.Cast) -> None:
    known = usage_report(cast.acme.organization, at=NOON)
    unknown = msgspec.structs.replace(known, organization_id=987_654)
    outcomes = record([unknown, known], now=NOON)
    assert [outcome.status for outcome in outcomes] == [Status.REJECTED, Status.ACCEPTED]


def test_a_settled_hold_gives_back_what_was_not_used(cast: stories.Cast) -> None:
    hold_id = new_id(NOON)
    [refusal] = holds.reserve(
        [
            holds.HoldRequest(
                organization_id=cast.acme.organization.pk,
                id=hold_id,
                created_at=NOON,
                expires_at=NOON + timedelta(minutes=15),
                api_key_id=cast.acme.key.pk,
                model_id=1,
                amount=Decimal(3000),
                request_id="req_1",
                upstream="test",
            )
        ]
    )
    assert refusal is None
    report = usage_report(cast.acme.organization, at=NOON, hold_id=hold_id)
    for _delivery in range(2):
        record([report], now=NOON)

    with tenant_scope([cast.acme.organization.pk]):
        hold = Hold.objects.get(id=hold_id)
        balance = Balance.objects.get(pk=cast.acme.organization.pk)
    assert (hold.status, hold.captured) == (HoldStatus.CAPTURED, WON_A_CALL * Decimal("1.1"))
    assert (balance.held, balance.unbilled) == (0, WON_A_CALL)
    call_command("audit")


def test_a_markup_that_changes_at_noon_prices_each_call_at_its_own_moment(cast: stories.Cast) -> None:
    set_markup(markup=Decimal("0.20"), effective_from=NOON, now=NOON - timedelta(days=1))
    stories.forget_what_processes_remember()
    before = use(cast.acme.organization, at=NOON - timedelta(microseconds=1))
    after = use(cast.acme.organization, at=NOON)
    assert (before.amount, after.amount) == (WON_A_CALL, WON_A_CALL / Decimal("1.1") * Decimal("1.2"))
    call_command("audit")


def test_usage_of_a_closed_month_is_charged_to_the_open_one(cast: stories.Cast) -> None:
    october = datetime(2026, 10, 20, 3, tzinfo=UTC)
    use(cast.acme.organization, at=october)
    set_seller(now=october, **stories.SELLER)
    with tenant_scope([cast.acme.organization.pk]):
        period = BillingPeriod.objects.get()
    close_period(organization_id=cast.acme.organization.pk, period_id=period.pk, now=NOON)

    use(cast.acme.organization, at=october, now=NOON)

    with tenant_scope([cast.acme.organization.pk]):
        late = UsageRollup.objects.exclude(period_id=period.pk).get()
        current = BillingPeriod.objects.get(pk=late.period_id)
    assert current.starts_at == datetime(2026, 10, 31, 15, tzinfo=UTC)
    assert late.hour == october
    call_command("audit")


def test_a_half_hour_zone_rolls_up_by_its_own_hours(cast: stories.Cast) -> None:
    kolkata = stories.make_company("kolkata", now=NOON, zone="Asia/Kolkata")
    use(kolkata.organization, at=datetime(2026, 11, 22, 3, 29, tzinfo=UTC))
    use(kolkata.organization, at=datetime(2026, 11, 22, 3, 31, tzinfo=UTC))
    with tenant_scope([kolkata.organization.pk]):
        hours = list(UsageRollup.objects.order_by("hour").values_list("hour", flat=True))
    assert [(hour.hour, hour.minute) for hour in hours] == [(2, 30), (3, 30)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_order_repetition_splitting_and_lateness_leave_the_totals_unchanged(
    cast: stories.Cast, data: st.DataObject
) -> None:
    before = unbilled(cast.acme)
    counts = data.draw(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=12))
    reports = [
        usage_report(
            cast.acme.organization,
            at=NOON - timedelta(minutes=data.draw(st.integers(0, 40_000))),
            usage=TokenUsage(input_tokens=given_, output_tokens=taken),
        )
        for given_, taken in counts
    ]
    deliveries = data.draw(st.permutations(reports * 2))
    cut = data.draw(st.integers(0, len(deliveries)))
    for batch in (deliveries[:cut], deliveries[cut:]):
        record(batch, now=NOON)
    expected = sum(Decimal(given_ + taken) * Decimal("0.000066") for given_, taken in counts)
    assert unbilled(cast.acme) - before == expected
    call_command("audit")


def test_digests_tell_which_events_a_rollup_holds(cast: stories.Cast) -> None:
    for minute in range(3):
        use(cast.acme.organization, at=NOON + timedelta(minutes=minute))
    digest = 0
    for event in events_of(cast.acme):
        digest ^= event_rows.digest_of(event.id)
    with tenant_scope([cast.acme.organization.pk]):
        assert UsageRollup.objects.get().event_digest == digest
        assert EventKey.objects.count() == 3
