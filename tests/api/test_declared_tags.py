"""Declaring tags over REST, and sums by them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import Role, Scope
from tests import stories

ADDRESS = "/api/v1/organization/tags"


@pytest.fixture
def as_owner(cast: stories.Cast, signed_in: Callable[[Any], Client]) -> Client:
    return signed_in(cast.acme.owner)


def put(client: Client, *keys: str) -> Any:
    return client.put(ADDRESS, {"keys": list(keys)}, content_type="application/json")


def test_an_owner_declares_tags_and_everybody_reads_them(as_owner: Client, as_acme: Client) -> None:
    assert as_acme.get(ADDRESS).json() == {"keys": [], "history": []}
    answer = put(as_owner, "team", "project").json()
    assert answer["keys"] == ["team", "project"]
    assert {one["key"]: one["until"] for one in answer["history"]} == {"team": None, "project": None}
    assert as_acme.get(ADDRESS).json() == answer
    assert put(as_owner).json()["keys"] == []
    assert [one["until"] is None for one in as_acme.get(ADDRESS).json()["history"]] == [False, False]


def test_no_key_and_nobody_else_declares(
    cast: stories.Cast, as_acme: Client, signed_in: Callable[[Any], Client]
) -> None:
    assert put(as_acme, "team").status_code == 403
    for role in (Role.BILLING, Role.DEVELOPER, Role.VIEWER):
        assert (
            put(signed_in(stories.make_member(cast.acme.organization, role, now=stories.NOON)), "x").status_code == 403
        )
    admin = signed_in(stories.make_member(cast.acme.organization, Role.ADMIN, now=stories.NOON))
    assert put(admin, "team").status_code == 200
    _key, powerless = stories.make_key(cast.acme.organization, now=stories.NOON, scopes=[Scope.INFERENCE])
    assert Client(headers=stories.bearer(powerless)).get(ADDRESS).status_code == 403


@pytest.mark.parametrize("keys", [["a", "b", "c", "d"], ["a", "a"], ["a=b"], ["x" * 65], [""], "team", None])
def test_bad_keys(as_owner: Client, keys: Any) -> None:
    answer = as_owner.put(ADDRESS, {"keys": keys}, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert answer.json()["error"]["field"].startswith("keys")


def test_sums_by_a_declared_tag_span_any_range(
    cast: stories.Cast, as_owner: Client, as_acme: Client, clock: time_machine.Traveller
) -> None:
    acme = cast.acme.organization
    stories.use(acme, at=stories.NOON, tags={"team": "search"})
    long = {"from": "2026-01-01", "to": "2027-12-01"}
    too_long = as_acme.get("/api/v1/usage", {"group_by": "tag:team", **long})
    assert (too_long.status_code, too_long.json()["error"]["field"]) == (400, "to")
    put(as_owner, "team")
    clock.move_to(stories.NOON + timedelta(hours=1))
    for tags in ({"team": "search"}, {"team": "검색"}, {}):
        stories.use(acme, at=stories.NOON + timedelta(hours=1), tags=tags)
    answer = as_acme.get("/api/v1/usage", {"group_by": "tag:team", **long}).json()
    assert answer["group_by"] == "tag"
    assert answer["tag"] == {"name": "team", "read_from": "rollups", "declared_since": "2026-11-22T03:00:00Z"}
    rows = {(row["tag_kind"], row["tag"]): row["requests"] for row in answer["data"]}
    assert rows == {("value", "search"): 1, ("value", "검색"): 1, ("none", None): 1, ("undeclared", None): 1}
    assert answer["totals"]["requests"] == 4

    def read(start: str) -> dict[str, Any]:
        found: dict[str, Any] = as_acme.get(
            "/api/v1/usage", {"group_by": "tag", "tag": "team", "from": start, "to": "2026-11-23"}
        ).json()
        return found

    month, since = read("2026-11-01"), read("2026-11-22T13:00")
    assert (month["tag"]["read_from"], since["tag"]["read_from"]) == ("events", "rollups")
    assert {row["tag"]: row["requests"] for row in month["data"]} == {"search": 2, "검색": 1, None: 1}
    assert {row["tag"]: row["requests"] for row in since["data"]} == {"search": 1, "검색": 1, None: 1}


@pytest.mark.parametrize("query", ["group_by=tag:", "group_by=tag:team&tag=team", "group_by=model:x", "group_by=tag"])
def test_groupings_that_do_not_exist(as_acme: Client, query: str) -> None:
    assert as_acme.get(f"/api/v1/usage?{query}").status_code == 400


def test_the_neighbour_declares_for_itself(cast: stories.Cast, as_owner: Client, signed_in: Any) -> None:
    put(as_owner, "team")
    neighbour = signed_in(cast.globex.owner)
    assert neighbour.get(ADDRESS).json()["keys"] == []
    put(neighbour, "secret")
    assert as_owner.get(ADDRESS).json()["keys"] == ["team"]
