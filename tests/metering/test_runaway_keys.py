"""The velocity breaker stops a key that spends far more in minutes than it may, or ever did; no other key, no ordinary burst."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from accounts.models import ApiKey, AuditEntry
from accounts.tenancy import tenant_scope
from ledger import holds
from ledger.event_ids import new_id
from ledger.models import Balance, KeyStop
from ledger.velocity import (
    KeyIsStopped,
    lift_stop,
    open_stops,
    remove_velocity_cap,
    set_velocity_cap,
    stop_key,
)
from metering.runaway_keys import find_spending, stop_runaway_keys
from pricing.tokens import TokenUsage
from tests import stories
from tests.ledger.test_limits import request
from tests.stories import NOON, use

MINUTE = timedelta(minutes=1)
Call = Callable[..., None]


@pytest.fixture
def cast(db: None, settings: Settings) -> stories.Cast:
    settings.VELOCITY_CAP = {"KRW": Decimal(1000), "USD": Decimal(1)}
    settings.VELOCITY_FLOOR = {"KRW": Decimal(300), "USD": Decimal(1)}
    return stories.meet_the_cast(now=NOON - timedelta(days=10))


@pytest.fixture
def acme(cast: stories.Cast) -> stories.Company:
    return cast.acme


def call(
    company: stories.Company,
    millions: int,
    *,
    at: datetime = NOON,
    key: ApiKey | None = None,
    now: datetime | None = None,
) -> None:
    """A call through the gateway that costs ₩72.6 a million tokens, tax included, though far more was held for it."""
    hold_id = new_id(at)
    [refusal] = holds.reserve([request(company, 2000, at=at, key=key, hold_id=hold_id)])
    assert refusal is None
    usage = TokenUsage(input_tokens=millions * 1_000_000, output_tokens=0)
    use(
        company.organization,
        at=at,
        now=now or at,
        usage=usage,
        api_key_id=(key or company.key).pk,
        hold_id=hold_id,
    )


def stops(company: stories.Company) -> list[KeyStop]:
    with tenant_scope([company.organization.pk]):
        return open_stops(company.organization)


def test_a_key_above_the_cap_is_stopped_and_others_go_on(acme: stories.Company) -> None:
    other, _secret = stories.make_key(acme.organization, now=NOON)
    for number in range(2):
        call(acme, 7, at=NOON - number * MINUTE)
    call(acme, 1, key=other)
    [stop] = stop_runaway_keys(now=NOON)
    assert (stop.api_key_id, stop.cause, stop.spent, stop.allowed) == (acme.key.pk, "cap", Decimal("1016.4"), 1000)
    refused, admitted = holds.reserve([request(acme, 1), request(acme, 1, key=other)])
    assert isinstance(refused, KeyIsStopped)
    assert (refused.api_key_id, refused.spent, admitted) == (acme.key.pk, Decimal("1016.4"), None)
    assert stop_runaway_keys(now=NOON) == []
    assert AuditEntry.objects.using("system").filter(action="api_key.stopped").count() == 1
    call_command("audit")


def test_what_is_held_for_running_calls_is_no_spend(acme: stories.Company) -> None:
    holds.reserve([request(acme, 1200), request(acme, 1200)])
    assert stop_runaway_keys(now=NOON) == []


def test_only_the_last_minutes_count_but_also_of_calls_that_ran_long(acme: stories.Company) -> None:
    call(acme, 14, at=NOON - 11 * MINUTE)
    assert stop_runaway_keys(now=NOON) == []
    call(acme, 14, at=NOON - 14 * MINUTE, now=NOON - 5 * MINUTE)
    assert [stop.spent for stop in stop_runaway_keys(now=NOON)] == [Decimal("1016.4")]


def test_a_new_key_has_no_usual_spend(acme: stories.Company) -> None:
    call(acme, 13)
    assert stop_runaway_keys(now=NOON) == []


def test_a_key_far_above_its_busiest_hour_is_stopped_below_the_cap(acme: stories.Company) -> None:
    use(
        acme.organization,
        at=NOON - timedelta(days=3),
        now=NOON,
        api_key_id=acme.key.pk,
        usage=TokenUsage(input_tokens=2_000_000, output_tokens=0),
    )
    call(acme, 6)
    assert stop_runaway_keys(now=NOON) == [], "435.6 is exactly three times the busiest hour"
    call(acme, 1)
    [stop] = stop_runaway_keys(now=NOON)
    assert (stop.cause, stop.spent, stop.allowed) == ("unusual", Decimal("508.2"), Decimal("435.6"))


def test_an_ordinary_burst_of_a_small_key_is_below_the_floor(acme: stories.Company) -> None:
    """A key that never spent more than a few won in an hour may spend the floor at once."""
    use(acme.organization, at=NOON - timedelta(days=3), now=NOON, api_key_id=acme.key.pk)
    call(acme, 4)
    assert stop_runaway_keys(now=NOON) == []


def test_a_key_that_is_always_busy_may_pass_the_default_cap_as_it_does_every_hour(acme: stories.Company) -> None:
    busy = TokenUsage(input_tokens=20_000_000, output_tokens=0)
    use(acme.organization, at=NOON - timedelta(days=3), now=NOON, api_key_id=acme.key.pk, usage=busy)
    call(acme, 18)
    assert stop_runaway_keys(now=NOON) == []


def test_caps_of_the_key_and_of_the_organization_come_before_the_default(acme: stories.Company) -> None:
    other, _secret = stories.make_key(acme.organization, now=NOON)
    given: dict[str, Any] = {"organization": acme.organization, "actor": acme.owner, "now": NOON}
    set_velocity_cap(api_key=None, amount=Decimal(100), **given)
    set_velocity_cap(api_key=other, amount=None, **given)
    call(acme, 2)
    call(acme, 15, key=other)
    assert [stop.api_key_id for stop in stop_runaway_keys(now=NOON)] == [acme.key.pk]
    assert remove_velocity_cap(api_key=other, **given)
    assert [stop.allowed for stop in stop_runaway_keys(now=NOON)] == [100]
    assert not remove_velocity_cap(api_key=other, **given)


def test_a_lifted_stop_forgets_what_was_spent_until_then(acme: stories.Company) -> None:
    call(acme, 14)
    stop_runaway_keys(now=NOON)
    lifted = NOON + MINUTE
    given: dict[str, Any] = {"organization": acme.organization, "api_key": acme.key, "actor": acme.owner, "now": lifted}
    assert lift_stop(**given)
    assert not lift_stop(**given)
    assert stops(acme) == []
    assert stop_runaway_keys(now=lifted) == []
    call(acme, 5, at=lifted + MINUTE)
    assert stop_runaway_keys(now=lifted + MINUTE) == []
    call(acme, 10, at=lifted + MINUTE)
    [again] = stop_runaway_keys(now=lifted + MINUTE)
    assert again.spent == 15 * Decimal("72.6")
    assert KeyStop.objects.using("system").exclude(lifted_at=None).get().lifted_by == acme.owner
    call_command("audit")


def test_two_sweeps_stop_a_key_once(acme: stories.Company) -> None:
    given: dict[str, Any] = {"cause": "cap", "seconds": 600, "spent": Decimal(2), "allowed": Decimal(1), "now": NOON}
    names = {"organization_id": acme.organization.pk, "api_key_id": acme.key.pk}
    assert stop_key(**names, **given) is not None
    assert stop_key(**names, **given) is None


def test_the_neighbour_is_not_concerned_and_pays_no_query(cast: stories.Cast) -> None:
    call(cast.acme, 14)

    def queries() -> int:
        with CaptureQueriesContext(connections["default"]) as asked:
            assert holds.reserve([request(cast.globex, 1)]) == [None]
        return len(asked)

    queries()  # has the statement parsed, once a connection
    before = queries()
    stop_runaway_keys(now=NOON)
    assert queries() == before
    assert not Balance.objects.using("system").get(organization=cast.globex.organization).stopped
    assert stops(cast.globex) == []


def test_a_revoked_key_needs_no_stop(acme: stories.Company) -> None:
    call(acme, 14)
    ApiKey.objects.using("system").filter(pk=acme.key.pk).update(revoked_at=NOON)
    assert find_spending(now=NOON) == []
