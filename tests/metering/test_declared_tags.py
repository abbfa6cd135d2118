"""Usage is summed by the tags that an organization declared: for what is recorded from then on, and the totals never change."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEntry, TagDeclaration
from accounts.tag_declarations import InvalidTagKeys, declare_tags, history_of_tags
from accounts.tenancy import tenant_scope
from metering import tag_room, tag_sums, unrated
from metering.models import UsageEvent, UsageRollup
from metering.recording import record
from metering.rollup_tags import LONGEST_VALUE, TagKind
from metering.tag_sums import TagSums, usage_by_tag
from tests import stories
from tests.billing.test_audit import break_books
from tests.billing.test_guards import closing_connections, wait_until_somebody_waits_for_a_lock
from tests.stories import NOON, usage_report, use

DAY = timedelta(days=1)
EARLIER = NOON - 40 * DAY
YEAR = {"start": NOON - 300 * DAY, "end": NOON + DAY}


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def declare(cast: stories.Cast, *keys: str, now: datetime = EARLIER) -> None:
    declare_tags(organization=cast.acme.organization, keys=keys, actor=cast.acme.owner, now=now)


def sums(cast: stories.Cast, tag: str, *, start: datetime = YEAR["start"], end: datetime = YEAR["end"]) -> TagSums:
    with tenant_scope([cast.acme.organization.pk]):
        hour = {"minute": 0, "second": 0, "microsecond": 0}
        return usage_by_tag(
            organization=cast.acme.organization, start=start.replace(**hour), end=end.replace(**hour), tag=tag
        )


def calls(found: TagSums) -> dict[tuple[str, str | None], int]:
    return {(str(row.tag_kind), row.tag): row.total.requests for row in found.table.rows}


def rollups(cast: stories.Cast) -> list[dict[str, Any]]:
    with tenant_scope([cast.acme.organization.pk]):
        return [dict(row) for row in UsageRollup.objects.order_by("hour", "applied_rate_id", "tag_1", "tag_2").values()]


def tag_texts(cast: stories.Cast) -> list[tuple[str, ...]]:
    return [(row["tag_1"], row["tag_2"], row["tag_3"]) for row in rollups(cast)]


def test_declared_tags_are_summed_over_any_range(cast: stories.Cast) -> None:
    declare(cast, "team", "project")
    acme = cast.acme.organization
    for days, tags in ((0, {"team": "search"}), (30, {"team": "search", "project": "x"}), (1, {"team": ""}), (2, {})):
        use(acme, at=NOON - days * DAY, now=NOON - days * DAY, tags=tags)
    found = sums(cast, "team")
    assert found.read_from == "rollups" and found.declared_since == EARLIER
    assert calls(found) == {("value", "search"): 2, ("value", ""): 1, ("none", None): 1}
    assert calls(sums(cast, "project")) == {("value", "x"): 1, ("none", None): 3}
    assert found.table.total.amount == sum(row.total.amount for row in found.table.rows) == 4 * Decimal("0.099")
    call_command("audit")


def test_nothing_declared_leaves_the_columns_empty(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON, tags={"team": "search"})
    assert tag_texts(cast) == [("", "", "")]
    with tenant_scope([cast.acme.organization.pk]):
        assert UsageEvent.objects.filter(tag_1=None, tag_2=None, tag_3=None).count() == 1


def test_a_declaration_holds_for_what_is_recorded_from_then_on(cast: stories.Cast) -> None:
    acme = cast.acme.organization
    use(acme, at=NOON - DAY, now=NOON - DAY, tags={"team": "search"})
    before = rollups(cast)
    declare(cast, "team", now=NOON)
    assert rollups(cast) == before
    use(acme, at=NOON - DAY, now=NOON, tags={"team": "search"})
    assert calls(sums(cast, "team")) == {("undeclared", None): 1, ("value", "search"): 1}
    assert rollups(cast)[0] == before[0], "what was summed stays as it was"


def test_a_month_in_which_a_tag_was_declared_is_read_from_events(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON - DAY, now=NOON - DAY, tags={"team": "search"})
    declare(cast, "team", now=NOON)
    found = sums(cast, "team", start=NOON - 20 * DAY)
    assert (found.read_from, calls(found)) == ("events", {("value", "search"): 1})


def test_another_key_in_the_same_place_is_never_taken_for_it(cast: stories.Cast) -> None:
    acme = cast.acme.organization
    declare(cast, "team")
    use(acme, at=NOON - DAY, now=NOON - DAY, tags={"team": "a", "project": "a"})
    declare(cast, "project", now=NOON - DAY / 2)
    use(acme, at=NOON - DAY, now=NOON, tags={"team": "b", "project": "b"})
    declare(cast, now=NOON)
    assert calls(sums(cast, "team")) == {("value", "a"): 1, ("undeclared", None): 1}
    assert calls(sums(cast, "project")) == {("value", "b"): 1, ("undeclared", None): 1}
    assert calls(sums(cast, "team", start=NOON - 299 * DAY)) == calls(sums(cast, "team"))
    with pytest.raises(tag_sums.RangeTooLong):
        sums(cast, "tea")


def test_the_same_keys_again_are_no_new_declaration(cast: stories.Cast) -> None:
    declare(cast, "team", "project")
    declare(cast, "team", "project", now=NOON)
    declare(cast, "project", now=NOON + DAY)
    with tenant_scope([cast.acme.organization.pk]):
        history = [(one.key, one.since, one.until) for one in history_of_tags(cast.acme.organization)]
        entries = list(
            AuditEntry.objects.filter(action="tags.declared").order_by("pk").values_list("detail", flat=True)
        )
    assert history == [("project", EARLIER, None), ("team", EARLIER, NOON + DAY)]
    assert entries == [
        {"keys": ["team", "project"], "before": []},
        {"keys": ["project"], "before": ["team", "project"]},
    ]


def test_two_who_declare_at_once_take_turns(cast: stories.Cast) -> None:
    acme = cast.acme.organization
    with ThreadPoolExecutor(1) as other:
        with tenant_scope([acme.pk]):
            declare(cast, "team")
            later = other.submit(closing_connections(declare), cast, "team", now=NOON)
            wait_until_somebody_waits_for_a_lock()
        later.result()
    with tenant_scope([acme.pk]):
        assert [one.since for one in history_of_tags(acme)] == [EARLIER]
        assert TagDeclaration.objects.count() == 1


@pytest.mark.parametrize(
    "keys", [["a", "b", "c", "d"], ["a", "a"], [""], ["a=b"], ["a*"], [" a"], ["a\n"], ["x" * 65], ["\ud800"]],
    ids=["four", "twice", "empty", "equals", "star", "space", "newline", "long", "surrogate"],
)  # fmt: skip
def test_keys_that_cannot_be_declared(cast: stories.Cast, keys: list[str]) -> None:
    with pytest.raises(InvalidTagKeys):
        declare(cast, *keys)


def test_a_correction_stays_under_the_tags_of_its_event(cast: stories.Cast) -> None:
    declare(cast, "team")
    use(cast.acme.organization, at=NOON, tags={"team": "search"})
    declare(cast, "project", now=NOON)
    stories.correct_usage(cast.acme.organization, now=NOON)
    [row] = sums(cast, "team").table.rows
    assert (row.tag, row.total.requests, row.total.amount) == ("search", 1, Decimal("0.099"))
    stories.correct_usage(cast.acme.organization, now=NOON, recharge=False)
    call_command("audit")


def test_a_late_price_is_summed_by_what_is_declared_when_it_is_charged(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON, model="acme-labs/dear", tags={"team": "search"})
    declare(cast, "team", now=NOON)
    stories.make_model("acme-labs/dear", now=NOON, pricing={"prompt": "0.000001", "completion": "0.000003"})
    tag_room.forget()
    assert unrated.rate_waiting(now=NOON) == 1
    assert calls(sums(cast, "team")) == {("value", "search"): 1}
    call_command("audit")


def test_rollups_are_made_anew_with_their_tags(cast: stories.Cast) -> None:
    acme = cast.acme.organization
    use(acme, at=NOON - DAY, now=NOON - DAY, tags={"team": "old"})
    declare(cast, "team", now=NOON - DAY / 2)
    use(acme, at=NOON - DAY, now=NOON, tags={"team": "search"})
    declare(cast, "project", now=NOON)
    for value in ("x", "y", "z" * 101):
        use(acme, at=NOON, tags={"project": value})
    stories.correct_usage(acme, now=NOON)
    before = rollups(cast)
    break_books("DELETE FROM metering_usagerollup")
    call_command("rebuild_rollups", stdout=StringIO())
    assert rollups(cast) == before
    break_books("UPDATE metering_usagerollup SET tag_1 = 'team=other' WHERE tag_1 = 'team=search'")
    call_command("rebuild_rollups", stdout=StringIO())
    assert rollups(cast) == before


# -- too many values ---------------------------------------------------------------------------------------------------


def test_an_id_that_never_repeats_is_bounded_and_the_other_tags_stay_exact(
    cast: stories.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_room, "ROOM", (20, 30, 40))
    declare(cast, "session", "team")
    reports = [
        usage_report(cast.acme.organization, at=NOON, tags={"session": str(number), "team": "ab"[number % 2]})
        for number in range(200)
    ]
    for start in range(0, 200, 50):
        record(reports[start : start + 50], now=NOON)
    assert calls(sums(cast, "team")) == {("value", "a"): 100, ("value", "b"): 100}
    by_session = sums(cast, "session")
    assert calls(by_session)["other", None] == 180 and len(by_session.table.rows) == 21
    assert len(rollups(cast)) == 22 and by_session.table.total.requests == 200
    call_command("audit")


def test_room_is_made_anew_every_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_room, "ROOM", (1, 1, 1))
    tag_room.forget()
    first, second = ("id=1", None, None), ("id=2", None, None)
    assert tag_room.place(1, first, day=NOON.date()) == first
    assert tag_room.place(1, second, day=NOON.date()) == ("id*", None, None)
    assert tag_room.place(2, second, day=NOON.date()) == second, "of another organization"
    assert tag_room.place(1, first, day=NOON.date()) == first
    assert tag_room.place(1, second, day=(NOON + DAY).date()) == second


def test_what_a_process_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_room, "MOST_REMEMBERED", 10)
    tag_room.forget()
    for organization in range(50):
        for number in range(5):
            tag_room.place(organization, (f"id={number}", None, None), day=NOON.date())
    assert sum(len(room.placed) for room in tag_room._rooms.values()) <= 15


def test_long_values_share_a_sum_and_the_longest_texts_fit_the_key(cast: stories.Cast) -> None:
    keys = ["🦜" * 63 + end for end in "abc"]
    declare(cast, *keys)
    for value in ("🦜" * LONGEST_VALUE, "🦜" * (LONGEST_VALUE + 1), "🐤" * 256):
        use(cast.acme.organization, at=NOON, tags=dict.fromkeys(keys, value))
    assert calls(sums(cast, keys[2])) == {("value", "🦜" * LONGEST_VALUE): 1, ("other", None): 2}


# -- whatever comes in whatever order ----------------------------------------------------------------------------------

tagged = st.lists(
    st.dictionaries(st.sampled_from(["team", "project", "id"]), st.sampled_from(["a", "b", "", "가", "x" * 120])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tags=tagged, data=st.data())
def test_order_duplication_and_split_do_not_change_totals_by_tag(
    cast: stories.Cast, tags: list[Mapping[str, str]], data: st.DataObject
) -> None:
    declare(cast, "team", "project")
    before = {tag: _exact(sums(cast, tag)) for tag in ("team", "project")}
    reports = [usage_report(cast.acme.organization, at=NOON - n * DAY / 4, tags=one) for n, one in enumerate(tags)]
    sent = data.draw(st.permutations([*reports, *data.draw(st.lists(st.sampled_from(reports), max_size=5))]))
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        record([copy(report) for report in sent[:size]], now=NOON)
        sent = sent[size:]
    for tag in ("team", "project"):
        wanted = dict(before[tag])
        for one in tags:
            value = one.get(tag)
            kind = TagKind.NONE if value is None else TagKind.OTHER if len(value) > LONGEST_VALUE else TagKind.VALUE
            key = (kind, value if kind is TagKind.VALUE else None)
            calls_before, amount = wanted.get(key, (0, Decimal(0)))
            wanted[key] = (calls_before + 1, amount + Decimal("0.099"))
        assert _exact(sums(cast, tag)) == wanted


def _exact(found: TagSums) -> dict[tuple[TagKind | None, str | None], tuple[int, Decimal]]:
    return {(row.tag_kind, row.tag): (row.total.requests, row.total.amount) for row in found.table.rows}
