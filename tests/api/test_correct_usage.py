"""Reporters take back or change what they reported: once, by reversing rows, and never what somebody else reported."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connections
from django.test import Client

from accounts.models import AuditEntry, Scope
from accounts.tenancy import tenant_scope
from billing.invoicing import close_period
from billing.models import Invoice
from billing.sellers import set_seller
from catalog import price_book
from ledger.models import Balance, BillingPeriod, SpendLimit
from ledger.periods import month_bounds
from metering import correcting_usage, correction_decisions
from metering.limiting import set_limit
from metering.models import EventKind, Evidence, UnratedUsage, UsageCorrection, UsageEvent
from metering.unrated import rate_waiting
from tests import stories

EVENTS = "/api/v1/usage/events"
CORRECTIONS = "/api/v1/usage/corrections"
WON_A_CALL = Decimal("0.099")
"""1,000 + 500 tokens × $0.00000004 × 1.1 × 1,500."""
Correct = Callable[..., list[dict[str, Any]]]


def event(**fields: Any) -> dict[str, Any]:
    """A call of acme an hour ago."""
    given = {
        "id": "call-1",
        "organization": "acme",
        "model": stories.DEVSTRAL,
        "occurred_at": "2026-11-22T11:00:00+09:00",
        "input_tokens": 1000,
        "output_tokens": 500,
    }
    return {name: value for name, value in (given | fields).items() if value is not None}


def void(key: str = "call-1", **fields: Any) -> dict[str, Any]:
    return {"id": key, "organization": "acme", "action": "void", "reason": "sent by a test run"} | fields


def amend(key: str = "call-1", **fields: Any) -> dict[str, Any]:
    return {"id": key, "organization": "acme", "action": "amend", "reason": "counted twice"} | fields


def post(client: Client, path: str, body: Any, status: int = 200) -> Any:
    answer = client.post(path, body, content_type="application/json")
    assert answer.status_code == status, answer.content
    return answer.json()


def push(client: Client, *events: dict[str, Any]) -> list[str]:
    """Our ids of events that are accepted."""
    answer = post(client, EVENTS, list(events))
    assert answer["accepted"] == len(events), answer
    return [result["event_id"] for result in answer["results"]]


@pytest.fixture
def correct(as_gateway: Client) -> Correct:
    def send(*corrections: Any, client: Client = as_gateway) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = post(client, CORRECTIONS, list(corrections))["results"]
        return found

    return send


def statuses(results: list[dict[str, Any]]) -> list[str]:
    return [result["status"] for result in results]


def reasons(results: list[dict[str, Any]]) -> list[str]:
    return [result.get("reason", "") for result in results]


def stored(cast: stories.Cast) -> list[UsageEvent]:
    """Acme's events as they were told first, then what replaced them in turn, then the reversals."""
    with tenant_scope([cast.acme.organization.pk]):
        events = {one.id: one for one in UsageEvent.objects.order_by("id")}

    def depth(one: UsageEvent) -> int:
        return 1 + depth(events[one.replaces_id]) if one.replaces_id else 0

    return sorted(events.values(), key=lambda one: (one.kind, depth(one)))


def unbilled(company: stories.Company) -> Decimal:
    with tenant_scope([company.organization.pk]):
        return Balance.objects.get(pk=company.organization.pk).unbilled


def close(company: stories.Company, at: datetime) -> Invoice:
    """The invoice of the month of `at`, made when it ends."""
    organization = company.organization
    set_seller(now=stories.NOON, **stories.SELLER)
    with tenant_scope([organization.pk]):
        period = BillingPeriod.objects.get(starts_at__lte=at, ends_at__gt=at)
    invoice = close_period(organization_id=organization.pk, period_id=period.pk, now=period.ends_at)
    assert invoice is not None
    return invoice


# -- voiding ----------------------------------------------------------------------------------------------------------
def test_a_voided_call_costs_nothing_and_both_rows_stay(
    cast: stories.Cast, as_gateway: Client, as_acme: Client, correct: Correct
) -> None:
    [event_id] = push(as_gateway, event(tags={"team": "red"}))
    [result] = correct(void())
    assert result == {"index": 0, "id": "call-1", "status": "accepted", "event_id": event_id}
    first, back = stored(cast)
    assert (str(first.id), back.kind, back.reverses_id) == (event_id, EventKind.REVERSAL, first.id)
    assert (back.amount, back.input_tokens, back.output_tokens, back.requests) == (-WON_A_CALL, -1000, -500, -1)
    assert (back.reason, back.key, back.tags) == ("sent by a test run", "call-1", {"team": "red"})
    assert unbilled(cast.acme) == 0
    receipt = as_acme.get(f"{EVENTS}/{event_id}").json()
    assert (receipt["amount"], receipt["reversed_by"], receipt["replaced_by"]) == ("0.099", str(back.id), None)
    assert as_acme.get("/api/v1/usage").json()["totals"]["amount"] == "0"
    listed = {one["kind"]: one["reason"] for one in as_acme.get(EVENTS).json()["data"]}
    assert listed == {"usage": None, "reversal": "sent by a test run"}
    call_command("audit")


def test_voiding_again_changes_nothing_however_it_is_named(
    cast: stories.Cast, as_gateway: Client, correct: Correct
) -> None:
    [event_id] = push(as_gateway, event())
    by_id = {"reason": "again", "organization": "acme"}
    assert post(as_gateway, f"{EVENTS}/{event_id}/void", by_id) == {"status": "accepted", "event_id": event_id}
    assert post(as_gateway, f"{EVENTS}/{event_id}/void", by_id) == {"status": "duplicate", "event_id": event_id}
    assert statuses(correct(void(), void())) == ["duplicate", "duplicate"]
    assert len(stored(cast)) == 2
    assert AuditEntry.objects.using("system").filter(action="usage.corrected").count() == 1


def test_a_reversal_cannot_be_taken_back(cast: stories.Cast, as_gateway: Client, correct: Correct) -> None:
    push(as_gateway, event())
    correct(void())
    back = stored(cast)[1]
    answer = post(as_gateway, f"{EVENTS}/{back.id}/void", {"reason": "no", "organization": "acme"}, 422)
    assert answer["error"]["code"] == "not_correctable"
    assert "a reversal cannot be corrected" in answer["error"]["message"]
    assert len(stored(cast)) == 2


def test_a_voided_call_is_still_known_by_its_id(cast: stories.Cast, as_gateway: Client, correct: Correct) -> None:
    push(as_gateway, event())
    correct(void())
    answer = post(as_gateway, EVENTS, [event(), event(input_tokens=1)])
    assert statuses(answer["results"]) == ["duplicate", "conflict"]
    assert unbilled(cast.acme) == 0


def test_who_did_it_and_why_is_kept(cast: stories.Cast, as_gateway: Client, correct: Correct) -> None:
    push(as_gateway, event(), event(id="call-2"))
    correct(void(), amend("call-2", input_tokens=0))
    entry = AuditEntry.objects.using("system").get(action="usage.corrected")
    service_key = cast.source.service_keys.using("system").get()
    assert (entry.organization_id, entry.detail["service_key"]) == (cast.acme.organization.pk, service_key.pk)
    assert (entry.detail["void"], entry.detail["amend"], Decimal(entry.detail["before"])) == (1, 1, 2 * WON_A_CALL)
    rows = UsageCorrection.objects.using("system").order_by("action")
    assert [(row.reason, row.service_key_id, row.report) for row in rows] == [
        ("sent by a test run", service_key.pk, None),
        ("counted twice", service_key.pk, None),
    ]


# -- amending ---------------------------------------------------------------------------------------------------------
def test_an_amended_call_is_charged_anew_at_the_price_of_its_own_moment(
    cast: stories.Cast, as_gateway: Client, as_acme: Client, correct: Correct
) -> None:
    told = {"end_user": "u-1", "upstream": "acme-cloud", "latency_ms": 70, "cost_usd": "0.0001", "tags": {"a": "b"}}
    [event_id] = push(as_gateway, event(**told))
    other = stories.make_model("acme-labs/other", now=stories.NOON, pricing={"prompt": "0.000001", "completion": "0"})
    [result] = correct(amend(model=other.slug, input_tokens=200, output_tokens=None, end_user=None, latency_ms=71))
    assert result["status"] == "accepted"
    first, again, back = stored(cast)
    assert (str(again.id), again.kind, again.replaces_id) == (result["event_id"], EventKind.USAGE, first.id)
    assert (again.model_id, again.input_tokens, again.output_tokens, again.requests) == (other.pk, 200, None, 1)
    assert (again.amount, back.amount) == (Decimal("0.33"), -WON_A_CALL)
    assert (again.end_user, again.upstream, again.latency_ms, again.tags) == (None, "acme-cloud", 71, {"a": "b"})
    assert (again.occurred_at, again.key, again.reason) == (first.occurred_at, "call-1", "counted twice")
    assert (again.evidence, again.source_id, again.reported_cost) == (
        Evidence.REPORTED,
        first.source_id,
        Decimal("0.0001"),
    )
    assert unbilled(cast.acme) == Decimal("0.33")
    receipt = as_acme.get(f"{EVENTS}/{event_id}").json()
    assert (receipt["reversed_by"], receipt["replaced_by"]) == (str(back.id), str(again.id))
    receipt = as_acme.get(f"{EVENTS}/{again.id}").json()
    assert (receipt["replaces"], receipt["reason"], receipt["amount"]) == (event_id, "counted twice", "0.33")
    call_command("audit")


def test_the_same_amendment_counts_once_and_another_is_a_conflict(
    cast: stories.Cast, as_gateway: Client, correct: Correct
) -> None:
    [event_id] = push(as_gateway, event())
    [first] = correct(amend(input_tokens=10))
    again, other = correct(amend(input_tokens=10), amend(input_tokens=11))
    assert (again["status"], again["event_id"]) == ("duplicate", first["event_id"])
    assert (other["status"], other["event_id"]) == ("conflict", first["event_id"])
    assert "it was amended otherwise before; that stays" in other["reason"]
    answer = post(
        as_gateway, f"{EVENTS}/{event_id}/amend", {"reason": "x", "organization": "acme", "input_tokens": 11}, 409
    )
    assert answer["error"]["code"] == "conflict" and first["event_id"] in answer["error"]["message"]
    assert len(stored(cast)) == 3


def test_what_replaced_a_call_may_be_amended_in_turn_and_all_of_it_voided(
    cast: stories.Cast, as_gateway: Client, correct: Correct
) -> None:
    push(as_gateway, event())
    [first] = correct(amend(input_tokens=10))
    body = {"reason": "still wrong", "organization": "acme", "input_tokens": 500}
    second = post(as_gateway, f"{EVENTS}/{first['event_id']}/amend", body)
    assert second["status"] == "accepted"
    assert unbilled(cast.acme) == WON_A_CALL * 2 / 3
    retried = correct(amend(input_tokens=10))
    assert (statuses(retried), len(stored(cast))) == (["duplicate"], 5), "the first amendment's answer was lost"
    assert correct(void())[0]["event_id"] == second["event_id"]
    assert unbilled(cast.acme) == 0
    assert statuses(correct(void(), amend(input_tokens=12))) == ["duplicate", "rejected"]
    call_command("audit")


def test_a_voided_call_cannot_be_amended(cast: stories.Cast, as_gateway: Client, correct: Correct) -> None:
    push(as_gateway, event())
    results = correct(void(), amend(input_tokens=1))
    assert statuses(results) == ["accepted", "rejected"]
    assert reasons(results)[1] == "the call was voided: report it under another id"


def test_a_call_that_was_rerated_is_corrected_where_it_stands(
    cast: stories.Cast, as_gateway: Client, correct: Correct
) -> None:
    push(as_gateway, event())
    _first, _back, again = stories.correct_usage(cast.acme.organization, now=stories.NOON)
    results = correct(amend(input_tokens=500), amend(input_tokens=500))
    assert statuses(results) == ["accepted", "duplicate"]
    assert [one.replaces_id for one in stored(cast) if one.replaces_id][-1] == again
    assert unbilled(cast.acme) == WON_A_CALL * 2 / 3
    assert statuses(correct(void())) == ["accepted"]
    call_command("audit")


def test_a_charge_does_not_give_way_to_usage_without_a_price(
    cast: stories.Cast, as_gateway: Client, correct: Correct
) -> None:
    push(as_gateway, event())
    [result] = correct(amend(model="new/model"))
    assert result["status"] == "rejected"
    assert result["reason"] == "not amended, because what it would be has no price: unknown model: new/model"
    assert unbilled(cast.acme) == WON_A_CALL


def test_a_call_may_turn_out_to_be_another_keys_and_limits_follow(
    cast: stories.Cast, as_gateway: Client, correct: Correct
) -> None:
    acme = cast.acme.organization
    other, _secret = stories.make_key(acme, now=stories.NOON)
    for key in (cast.acme.key, other, None):
        set_limit(organization=acme, api_key=key, amount=Decimal(1000), actor=None, now=stories.NOON)
    push(as_gateway, event(api_key=cast.acme.key.prefix))
    assert statuses(correct(amend(api_key=other.prefix, input_tokens=500))) == ["accepted"]
    with tenant_scope([acme.pk]):
        spent = dict(SpendLimit.objects.values_list("api_key_id", "spent"))
    assert spent == {cast.acme.key.pk: 0, other.pk: WON_A_CALL * 2 / 3, None: WON_A_CALL * 2 / 3}
    call_command("audit")


# -- what still waits for a price -------------------------------------------------------------------------------------
def test_a_waiting_call_that_is_voided_is_never_charged(
    cast: stories.Cast, as_gateway: Client, correct: Correct
) -> None:
    [event_id] = push(as_gateway, event(model="new/model"))
    assert statuses(correct(void(), void(), amend(input_tokens=1))) == ["accepted", "duplicate", "rejected"]
    stories.make_model("new/model", now=stories.NOON)
    assert rate_waiting(now=stories.NOON) == 0
    assert stored(cast) == []
    kept = UsageCorrection.objects.using("system").get()
    assert kept.report is not None
    assert (str(kept.event_id), kept.reason, kept.report["model"]) == (event_id, "sent by a test run", "new/model")
    assert statuses(post(as_gateway, EVENTS, [event(model="new/model")])["results"]) == ["duplicate"]
    call_command("audit")


def test_a_mistyped_model_is_amended_and_charged(cast: stories.Cast, as_gateway: Client, correct: Correct) -> None:
    [event_id] = push(as_gateway, event(model="mistralai/devstrl"))
    results = correct(amend(model=stories.DEVSTRAL), amend(model=stories.DEVSTRAL))
    assert [(result["status"], result["event_id"]) for result in results] == [
        ("accepted", event_id),
        ("duplicate", event_id),
    ]
    [one] = stored(cast)
    assert (str(one.id), one.amount, one.replaces_id) == (event_id, WON_A_CALL, None)
    assert not UnratedUsage.objects.using("system").exists()
    assert statuses(correct(void())) == ["accepted"]
    call_command("audit")


def test_a_waiting_call_may_be_amended_and_wait_on(cast: stories.Cast, as_gateway: Client, correct: Correct) -> None:
    [event_id] = push(as_gateway, event(model="new/model"))
    results = correct(
        amend(input_tokens=2000), amend(input_tokens=2000), amend(input_tokens=3), amend("none", images=1)
    )
    assert statuses(results) == ["accepted", "duplicate", "conflict", "rejected"]
    assert reasons(results)[0] == "waits for a price: unknown model: new/model"
    stories.make_model("new/model", now=stories.NOON)
    assert rate_waiting(now=stories.NOON) == 1
    [one] = stored(cast)
    assert (str(one.id), one.input_tokens) == (event_id, 2000)
    call_command("audit")


# -- who may ----------------------------------------------------------------------------------------------------------
def test_a_program_corrects_what_it_reported_itself(cast: stories.Cast, as_acme: Client, correct: Correct) -> None:
    [event_id] = push(as_acme, event(organization=None))
    answer = post(as_acme, f"{EVENTS}/{event_id}/amend", {"reason": "half", "input_tokens": 500})
    assert answer["status"] == "accepted"
    assert statuses(correct(void(organization="acme"), client=as_acme)) == ["accepted"]
    assert UsageCorrection.objects.using("system").filter(api_key_id=cast.acme.key.pk).count() == 2


def test_nobody_corrects_what_somebody_else_reported(
    cast: stories.Cast, as_gateway: Client, as_acme: Client, correct: Correct
) -> None:
    """The customer could erase its bill."""
    gateways = stories.use(cast.acme.organization, at=stories.NOON, key="ours")
    [foreign] = push(as_gateway, event())
    [own] = push(as_acme, event(id="own"))
    neighbour = Client(headers=cast.globex.headers)
    for client, event_id in [
        (as_acme, gateways.event_id),
        (as_acme, foreign),
        (as_gateway, gateways.event_id),
        (as_gateway, own),
        (neighbour, own),
    ]:
        body = {"reason": "no", "organization": "acme"} if client is as_gateway else {"reason": "no"}
        post(client, f"{EVENTS}/{event_id}/void", body, 404)
        post(client, f"{EVENTS}/{event_id}/amend", body | {"input_tokens": 0}, 404)
    assert reasons(correct(void("ours"), void("call-1"), client=as_acme)) == [correction_decisions.UNKNOWN_CALL] * 2
    assert reasons(correct(void("ours"), void("own"))) == [correction_decisions.UNKNOWN_CALL] * 2
    assert reasons(correct(void("own"), client=neighbour)) == ["unknown organization"]
    assert all(one.kind == EventKind.USAGE for one in stored(cast))


def test_a_source_corrects_only_for_whom_it_may(cast: stories.Cast, as_gateway: Client, correct: Correct) -> None:
    [event_id] = push(as_gateway, event())
    _source, secret = stories.make_service_source(
        now=stories.NOON, slug="narrow", organizations=[cast.globex.organization]
    )
    narrow = Client(headers=stories.bearer(secret))
    assert reasons(correct(void(), client=narrow)) == ["unknown organization"]
    post(narrow, f"{EVENTS}/{event_id}/void", {"reason": "no", "organization": "acme"}, 400)
    post(narrow, f"{EVENTS}/{event_id}/void", {"reason": "no", "organization": "globex"}, 404)


def test_a_key_needs_the_scope(cast: stories.Cast, as_acme: Client) -> None:
    [event_id] = push(as_acme, event())
    _key, secret = stories.make_key(cast.acme.organization, now=stories.NOON, scopes=[Scope.USAGE_READ])
    reader = Client(headers=stories.bearer(secret))
    post(reader, f"{EVENTS}/{event_id}/void", {"reason": "no"}, 403)
    post(reader, CORRECTIONS, [void()], 403)


@pytest.mark.parametrize(
    ("correction", "reason"),
    [
        (void(reason=""), "reason: Expected `str` of length >= 1"),
        ({"id": "call-1", "action": "void", "organization": "acme"}, "Object missing required field `reason`"),
        (void(action="erase"), "action: Invalid enum value 'erase'"),
        (void(input_tokens=0), "input_tokens: what is voided has nothing to correct"),
        (amend(), "nothing to amend: say what was wrong"),
        (amend(occurred_at="2026-11-22T10:00:00+09:00"), "Object contains unknown field `occurred_at`"),
        (amend(input_tokens=-1), "input_tokens: Expected `int` >= 0"),
        (amend(reasoning_tokens=501), "reasoning_tokens: 501 is more than output_tokens (500), which contains it"),
        (amend(cost_usd="-1"), "cost_usd: must lie between 0 and 1000000000"),
        (amend(api_key="idk_live_none"), "api_key: not the id or prefix of one key of the organization"),
        (void(organization="nobody"), "unknown organization"),
        (void("nothing"), "no call of this id was reported by this source"),
    ],
    ids=range(12),
)
def test_a_correction_that_cannot_be_made_is_rejected_by_itself(
    cast: stories.Cast, as_gateway: Client, correct: Correct, correction: dict[str, Any], reason: str
) -> None:
    push(as_gateway, event(), event(id="call-2"))
    bad, good = correct(correction, void("call-2"))
    assert (bad["status"], good["status"]) == ("rejected", "accepted")
    assert bad["reason"].startswith(reason), bad


def test_a_batch_is_bounded(cast: stories.Cast, as_gateway: Client) -> None:
    assert post(as_gateway, CORRECTIONS, [void()] * 1001, 413)["error"]["code"] == "too_many_events"
    assert post(as_gateway, CORRECTIONS, {"id": "call-1"}, 400)["error"]["code"] == "malformed_request"


# -- time -------------------------------------------------------------------------------------------------------------
def test_old_calls_stay_as_they_are(
    cast: stories.Cast, as_gateway: Client, correct: Correct, clock: time_machine.Traveller, settings: Any
) -> None:
    push(as_gateway, event(), event(id="call-2"))
    correct(void("call-2"))
    clock.shift(timedelta(days=35))
    assert reasons(correct(void(), amend(input_tokens=1))) == ["it occurred more than 35 days ago"] * 2
    assert statuses(correct(void("call-2"))) == ["duplicate"]
    settings.USAGE_CORRECTION_DAYS = 36
    assert statuses(correct(void())) == ["accepted"]


def test_a_call_of_a_closed_month_is_corrected_on_the_next_invoice(
    cast: stories.Cast, as_gateway: Client, correct: Correct, clock: time_machine.Traveller
) -> None:
    start, end = month_bounds(stories.NOON, zone="Asia/Seoul")
    push(as_gateway, event(input_tokens=5_000_000), event(id="call-2"))
    november = close(cast.acme, stories.NOON)
    clock.move_to(end + timedelta(days=3))
    push(as_gateway, event(id="call-3", occurred_at=(end + timedelta(days=2)).isoformat(), input_tokens=20_000_000))

    results = correct(void(), amend("call-2", output_tokens=1_000_500))

    assert statuses(results) == ["accepted", "accepted"]
    assert reasons(results) == ["charged to 2026-12"] * 2
    december = close(cast.acme, end)
    assert Invoice.objects.using("system").get(pk=november.pk).total == november.total
    lines = [(line.service_month, line.quantity) for line in december.lines.using("system").order_by("position")]
    month = start.astimezone(stories.SEOUL).date()
    assert lines == [(None, 20_000_000), (None, 500), (month, -5_000_000), (month, 999_500)]
    assert december.exact_subtotal == (20_000_500 - 5_000_000 + 999_500) * Decimal("0.000066")
    call_command("audit")


def test_a_late_event_says_which_month_it_is_charged_to(
    cast: stories.Cast, as_gateway: Client, clock: time_machine.Traveller
) -> None:
    _start, end = month_bounds(stories.NOON, zone="Asia/Seoul")
    push(as_gateway, event())
    close(cast.acme, stories.NOON)
    clock.move_to(end + timedelta(days=3))
    answer = post(as_gateway, EVENTS, [event(), event(id="late"), event(id="new", occurred_at=end.isoformat())])
    assert statuses(answer["results"]) == ["duplicate", "accepted", "accepted"]
    assert reasons(answer["results"]) == ["", "charged to 2026-12", ""]
    with tenant_scope([cast.acme.organization.pk]):
        late = UsageEvent.objects.get(key="late")
        assert late.period_id == BillingPeriod.objects.get(starts_at=end).pk
    call_command("audit")


# -- at once ----------------------------------------------------------------------------------------------------------
def at_once(cast: stories.Cast, *corrections: dict[str, Any]) -> list[dict[str, Any]]:
    """Each correction from a gateway of its own; their verdicts."""

    def send(correction: dict[str, Any]) -> dict[str, Any]:
        try:
            client = Client(headers=stories.bearer(cast.service_secret))
            found: dict[str, Any] = post(client, CORRECTIONS, [correction])["results"][0]
            return found
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(corrections)) as pool:
        return list(pool.map(send, corrections))


def test_of_many_who_void_at_once_one_does(cast: stories.Cast, as_gateway: Client) -> None:
    push(as_gateway, event())
    results = at_once(cast, *[void() for _rival in range(12)])
    assert sorted(statuses(results)) == ["accepted"] + ["duplicate"] * 11
    assert (len(stored(cast)), unbilled(cast.acme)) == (2, 0)
    call_command("audit")


def test_of_different_amendments_at_once_one_stands(cast: stories.Cast, as_gateway: Client) -> None:
    push(as_gateway, event())
    results = at_once(cast, *[amend(input_tokens=500 * number, output_tokens=0) for number in range(1, 9)])
    assert sorted(statuses(results)) == ["accepted"] + ["conflict"] * 7
    [winner] = [number for number, result in enumerate(results, start=1) if result["status"] == "accepted"]
    assert unbilled(cast.acme) == 500 * winner * Decimal("0.000066")
    assert {result["event_id"] for result in results} == {str(stored(cast)[1].id)}
    call_command("audit")


def test_voiding_and_amending_at_once_leaves_nothing_charged(cast: stories.Cast, as_gateway: Client) -> None:
    push(as_gateway, *[event(id=f"call-{number}") for number in range(6)])
    rivals = [one(f"call-{n}", **more) for n in range(6) for one, more in ((void, {}), (amend, {"input_tokens": 1}))]
    results = at_once(cast, *rivals)
    assert {result["status"] for result in results[::2]} == {"accepted"}
    assert unbilled(cast.acme) == 0
    call_command("audit")


def test_rating_and_voiding_a_waiting_call_at_once_charge_nothing(cast: stories.Cast, as_gateway: Client) -> None:
    push(as_gateway, *[event(id=f"call-{number}", model="new/model") for number in range(8)])
    stories.make_model("new/model", now=stories.NOON)
    price_book.refresh()

    def rate() -> int:
        try:
            return rate_waiting(now=stories.NOON)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        rated = pool.submit(rate)
        results = at_once(cast, *[void(f"call-{number}") for number in range(8)])
        rated.result()
    assert statuses(results) == ["accepted"] * 8
    assert unbilled(cast.acme) == 0
    assert not UnratedUsage.objects.using("system").exists()
    call_command("audit")


def test_whoever_never_comes_first_is_told_to_try_again(
    cast: stories.Cast, as_gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(as_gateway, event())
    monkeypatch.setattr(correcting_usage, "reverse", lambda *_args, **_more: [])
    assert post(as_gateway, CORRECTIONS, [void()], 503)["error"]["code"] == "temporarily_unavailable"
    assert len(stored(cast)) == 1
