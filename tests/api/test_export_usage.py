"""An export holds every recorded call with all that its amount is made of, exactly, and of nobody else."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client
from pyarrow import ArrowInvalid, decimal128, parquet

from accounts.models import Role
from metering.event_filters import matching
from metering.models import Evidence
from metering.stored_events import Look
from pricing import verify_receipts
from pricing.tokens import TokenUsage
from tests import stories

FORMATS = ("csv", "ndjson", "parquet")


def at(day: int, hour: int = 12, month: int = 11) -> datetime:
    """A moment of 2026 in Seoul."""
    return datetime(2026, month, day, hour, tzinfo=stories.SEOUL).astimezone(UTC)


@pytest.fixture
def history(cast: stories.Cast) -> stories.Cast:
    """Acme calls five times, one of them taken back and charged anew; globex calls, too."""
    stories.make_model("acme-labs/dear", now=stories.NOON, pricing={"prompt": "0.000001", "completion": "0.000003"})
    acme = cast.acme.organization
    stories.use(acme, at=at(2), api_key_id=cast.acme.key.pk, tags={"team": "search", "step": "1"}, status=200)
    stories.use(acme, at=at(3), key="=HYPERLINK(1)", end_user="@SUM(A1)", upstream="-1+1", request_id="req-7")
    stories.use(acme, at=at(4), evidence=Evidence.ESTIMATED, status=429, tags={"team": "검색"}, generation_id="gen-9")
    stories.use(acme, at=at(5), model="acme-labs/dear", usage=TokenUsage(input_tokens=3, cache_read_tokens=2))
    stories.use(
        acme, at=at(6), requested_model="acme-labs/dear", usage=TokenUsage(output_tokens=50, reasoning_tokens=20)
    )
    stories.use(acme, at=at(31, month=10))
    stories.correct_usage(acme, now=stories.NOON)
    stories.use(cast.globex.organization, at=at(3), key="globex-call")
    return cast


def content(client: Client, path: str = "/api/v1/usage/export", **query: str) -> bytes:
    answer = client.get(path, query)
    assert answer.status_code == 200, answer.content
    assert answer.streaming
    return b"".join(answer)


def as_text(value: Any) -> Any:
    """A cell of Parquet as NDJSON writes it."""
    if isinstance(value, Decimal):
        return verify_receipts.plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, list):
        return dict(value)
    return value if value is None or isinstance(value, int | str) else value.isoformat()


def rows(client: Client, format_name: str = "ndjson", **query: str) -> list[dict[str, Any]]:
    body = content(client, format=format_name, **query)
    if format_name == "csv":
        return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline="")))
    if format_name == "ndjson":
        return [json.loads(line) for line in body.decode().splitlines()]
    table = parquet.read_table(io.BytesIO(body))
    return [{name: as_text(value) for name, value in row.items()} for row in table.to_pylist()]


def test_the_three_formats_say_the_same(history: stories.Cast, as_acme: Client) -> None:
    as_csv, as_ndjson, as_parquet = (rows(as_acme, name) for name in FORMATS)
    assert as_ndjson == as_parquet
    assert len(as_ndjson) == 7
    for left, right in zip(as_csv, as_ndjson, strict=True):
        assert left.keys() == right.keys()
        for name, value in right.items():
            expected = "" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)
            if name == "tags":
                assert json.loads(left[name]) == value
            else:
                assert left[name] in (expected, f"'{expected}"), name


def test_the_sums_are_those_of_the_usage_page(history: stories.Cast, as_acme: Client) -> None:
    totals = as_acme.get("/api/v1/usage", {"group_by": "none"}).json()["totals"]
    exported = rows(as_acme)
    assert sum(Decimal(row["amount"]) for row in exported) == Decimal(totals["amount"])
    for name in ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "requests"):
        assert sum(row[name] or 0 for row in exported) == totals[name]


def test_a_row_tells_what_its_amount_is_made_of(history: stories.Cast, as_acme: Client) -> None:
    first = rows(as_acme)[0]
    receipt = as_acme.get(f"/api/v1/usage/events/{first['id']}").json()
    rate = receipt["applied_rate"]
    assert {name: first[name] for name in receipt["usage"]} == receipt["usage"]
    for name in ("cost_price_id", "band", "markup_rule_id", "markup", "exchange_rate", "exchange_rate_published_on"):
        assert first[name] == rate[name]
    assert first["unit_price_input"] == rate["unit_prices"]["input"] == "0.000066"
    assert first["unit_cost_usd_input"] == rate["unit_costs"]["input"] == "0.00000004"
    assert (first["amount"], first["cost_usd"], first["currency"]) == ("0.099", "0.00006", "KRW")
    assert (first["kind"], first["evidence"], first["source"]) == ("usage", "reported", "gateway")
    assert (first["billing_period"], first["organization"]) == ("2026-11-01", "acme")
    assert (first["tags"], first["api_key_name"]) == ({"team": "search", "step": "1"}, history.acme.key.name)
    assert first["occurred_at"] == "2026-11-02T03:00:00Z"


def test_the_models_asked_for_and_answering(history: stories.Cast, as_acme: Client) -> None:
    named = {(row["model"], row["requested_model"]) for row in rows(as_acme)}
    assert (stories.DEVSTRAL, "acme-labs/dear") in named
    assert ("acme-labs/dear", None) in named


def test_parquet_keeps_money_as_decimals(history: stories.Cast, as_acme: Client) -> None:
    schema = parquet.read_schema(io.BytesIO(content(as_acme, format="parquet")))
    for name in ("amount", "cost_usd", "markup", "unit_price_input", "unit_cost_usd_requests"):
        assert schema.field(name).type == decimal128(38, 20)


def test_a_spreadsheet_takes_no_text_for_a_formula(history: stories.Cast, as_acme: Client) -> None:
    row = rows(as_acme, "csv")[1]
    assert (row["key"], row["end_user"], row["upstream"]) == ("'=HYPERLINK(1)", "'@SUM(A1)", "'-1+1")
    reversal = next(row for row in rows(as_acme, "csv") if row["kind"] == "reversal")
    assert reversal["amount"].startswith("-") and reversal["requests"] == "-1", "numbers stay numbers"
    assert content(as_acme).startswith(b"\xef\xbb\xbfid,")


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_empty_export_is_a_file_all_the_same(cast: stories.Cast, as_acme: Client, format_name: str) -> None:
    assert rows(as_acme, format_name) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"model": "acme-labs/dear"}, 1),
        ({"source": "gateway"}, 7),
        ({"source": "litellm"}, 0),
        ({"source": "nobody"}, 0),
        ({"status": "429"}, 1),
        ({"status": "4xx"}, 1),
        ({"status": "5xx"}, 0),
        ({"evidence": "estimated"}, 1),
        ({"kind": "reversal"}, 1),
        ({"kind": "usage"}, 6),
        ({"upstream": "-1+1"}, 1),
        ({"end_user": "@SUM(A1)"}, 1),
        ({"tag.team": "search"}, 1),
        ({"tag.team": "검색"}, 1),
        ({"tag.team": "search", "tag.step": "2"}, 0),
        ({"q": "req-7"}, 1),
        ({"q": "gen-9"}, 1),
        ({"q": "=HYPERLINK(1)"}, 1),
        ({"q": "globex-call"}, 0),
        ({"from": "2026-11-03", "to": "2026-11-05"}, 2),
        ({"from": "2026-10-01", "kind": "usage"}, 7),
    ],
    ids=str,
)
def test_the_list_and_the_export_have_the_same_filters(
    history: stories.Cast, as_acme: Client, query: dict[str, str], expected: int
) -> None:
    listed = [event["id"] for event in as_acme.get("/api/v1/usage/events", query).json()["data"]]
    assert [row["id"] for row in rows(as_acme, **query)] == list(reversed(listed))
    assert len(listed) == expected


def test_an_event_is_found_by_its_id_and_its_key(history: stories.Cast, as_acme: Client) -> None:
    [event] = rows(as_acme, q="req-7")
    assert [row["id"] for row in rows(as_acme, q=event["id"])] == [event["id"]]
    assert len(rows(as_acme, api_key=str(history.acme.key.pk))) == 1
    assert as_acme.get("/api/v1/usage/export", {"api_key": str(history.globex.key.pk)}).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        {"format": "xlsx"},
        {"status": "99"},
        {"status": "4x"},
        {"kind": "refund"},
        {"evidence": "hearsay"},
        {"model": "no/such"},
        {"from": "yesterday"},
        {"modle": "mistralai/devstral-small"},
        {f"tag.{number}": "x" for number in range(11)},
    ],
    ids=lambda query: next(iter(query)),
)
def test_what_cannot_be_asked(cast: stories.Cast, as_acme: Client, query: dict[str, str]) -> None:
    answer = as_acme.get("/api/v1/usage/export", query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


def test_a_download_has_a_name_and_is_kept_nowhere(history: stories.Cast, as_acme: Client) -> None:
    answer = as_acme.get("/api/v1/usage/export", {"format": "parquet", "to": "2026-11-22"})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="usage-acme-2026-11-01-2026-11-21.parquet"'
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"] == "application/vnd.apache.parquet"


def test_the_tenants_scope_holds_to_the_last_row(
    history: stories.Cast, as_acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metering.export_rows.BATCH", 2)
    monkeypatch.setattr("metering.export_rows.matching", everybodys)
    answer = as_acme.get("/api/v1/usage/export", {"format": "ndjson"})
    parts = iter(answer)
    seen = [json.loads(line) for line in next(parts).splitlines()]
    assert not connections["default"].in_atomic_block, "no transaction is open while a reader takes its time"
    stories.use(history.globex.organization, at=at(21), key="globex-again")
    stories.use(history.acme.organization, at=at(21), key="meanwhile")
    seen += [json.loads(line) for part in parts for line in part.splitlines()]
    keys = [row["key"] for row in seen]
    assert keys.count("meanwhile") == 1
    assert not {"globex-call", "globex-again"} & set(keys)
    assert len({row["id"] for row in seen}) == len(seen) == 9


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_export_that_breaks_off_says_so(
    history: stories.Cast,
    as_acme: Client,
    format_name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail_later(*arguments: Any) -> Any:
        if len(asked) == 2:
            raise OperationalError("the database is gone")
        asked.append(arguments)
        return matching(*arguments)

    asked: list[Any] = []
    monkeypatch.setattr("metering.export_rows.BATCH", 2)
    monkeypatch.setattr("metering.export_rows.matching", fail_later)
    body = content(as_acme, format=format_name)
    assert "an export broke off" in caplog.text
    if format_name == "parquet":
        with pytest.raises(ArrowInvalid):
            parquet.read_table(io.BytesIO(body))
        return
    assert len(body.decode("utf-8-sig").splitlines()) == 4 + 1 + (format_name == "csv")
    with pytest.raises(verify_receipts.Unreadable, match="row 5 says: THE EXPORT BROKE OFF"):
        verify_receipts.verify(verify_receipts.read_rows(io.StringIO(body.decode("utf-8-sig"), newline="")))


def everybodys(organization: Any, wanted: Any) -> Any:
    """A look that forgot whose events are meant."""
    return Look(organization_id=None)


def test_events_page_by_page_while_others_come_in(history: stories.Cast, as_acme: Client) -> None:
    ids: list[str] = []
    query = {"limit": "2", "kind": "usage"}
    while True:
        answer = as_acme.get("/api/v1/usage/events", query).json()
        ids += [event["id"] for event in answer["data"]]
        if answer["next_cursor"] is None:
            break
        query["cursor"] = answer["next_cursor"]
        stories.use(history.acme.organization, at=stories.NOON)
    assert len(ids) == len(set(ids)) == 6
    assert ids == sorted(ids, reverse=True)


def test_members_download_with_their_session(history: stories.Cast, signed_in: Callable[[Any], Client]) -> None:
    viewer = stories.make_member(history.acme.organization, Role.VIEWER, now=stories.NOON)
    assert len(content(signed_in(viewer)).splitlines()) == 8
    _key, secret = stories.make_key(history.acme.organization, now=stories.NOON, scopes=["inference"])
    assert Client(headers=stories.bearer(secret)).get("/api/v1/usage/export").status_code == 403


def test_an_export_can_be_verified_offline(history: stories.Cast, as_acme: Client) -> None:
    for format_name in ("csv", "ndjson"):
        body = content(as_acme, format=format_name, **{"from": "2026-10-01"}).decode("utf-8-sig")
        found = verify_receipts.verify(verify_receipts.read_rows(io.StringIO(body, newline="")))
        assert (found.rows, found.reversals, found.first) == (8, 1, [])
        totals = as_acme.get("/api/v1/usage", {"group_by": "none", "from": "2026-10-01"}).json()["totals"]
        assert found.sums == {"KRW": Decimal(totals["amount"])}


def test_events_name_their_source_and_requests(history: stories.Cast, as_acme: Client) -> None:
    [event] = as_acme.get("/api/v1/usage/events", {"q": "req-7"}).json()["data"]
    assert (event["source"], event["request_id"], event["generation_id"]) == ("gateway", "req-7", None)
