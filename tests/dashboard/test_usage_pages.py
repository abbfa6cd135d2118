"""From a month's sum down to one request and the formula of its amount."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client

from accounts.tag_declarations import declare_tags
from metering.models import Evidence
from pricing.tokens import TokenUsage
from pricing.totals import invoice_totals
from tests import stories
from tests.dashboard.conftest import Browse, text_of

YESTERDAY = stories.NOON - timedelta(days=1)
LAST_MONTH = stories.NOON - timedelta(days=30)


@pytest.fixture
def owner(cast: stories.Cast, browse: Browse) -> Client:
    stories.make_model("openai/gpt-4o", now=stories.NOON, pricing={"prompt": "0.0000025", "completion": "0.00001"})
    acme = cast.acme
    stories.use(acme.organization, at=stories.NOON, api_key_id=acme.key.pk)
    stories.use(acme.organization, at=YESTERDAY, now=stories.NOON, api_key_id=acme.key.pk, model="openai/gpt-4o")
    stories.use(acme.organization, at=LAST_MONTH, now=stories.NOON)
    return browse(acme.owner)


def rows(client: Client, query: str) -> list[tuple[str, str, int]]:
    groups = client.get(f"/o/acme/usage{query}").context["groups"]
    return [(group.name, group.url, group.total.requests) for group in groups]


def test_by_day_newest_first(owner: Client) -> None:
    assert rows(owner, "") == [
        ("2026-11-22", "requests?from=2026-11-22&to=2026-11-22", 1),
        ("2026-11-21", "requests?from=2026-11-21&to=2026-11-21", 1),
    ]
    assert rows(owner, "?range=last-month") == [("2026-10-23", "requests?from=2026-10-23&to=2026-10-23", 1)]
    assert len(rows(owner, "?from=2026-10-01&to=2026-11-22")) == 3


def test_by_hour_model_and_key(owner: Client, cast: stories.Cast) -> None:
    assert rows(owner, "?group=hour&range=7d")[0] == ("2026-11-22 12:00", "requests?hour=2026-11-22T12", 1)
    assert [row[:2] for row in rows(owner, "?group=model")] == [
        ("Gpt 4O", "requests?model=openai%2Fgpt-4o"),
        ("Devstral Small", "requests?model=mistralai%2Fdevstral-small"),
    ]
    assert rows(owner, "?group=api_key&from=2026-10-01&to=2026-11-22") == [
        ("Test", f"requests?from=2026-10-01&to=2026-11-22&key={cast.acme.key.pk}", 2),
        ("Without a key", "", 1),
    ]


def test_by_the_member_who_made_the_keys(owner: Client, cast: stories.Cast) -> None:
    key, _secret = stories.make_key(cast.acme.organization, now=stories.NOON, created_by=cast.acme.owner)
    stories.use(cast.acme.organization, at=stories.NOON, api_key_id=key.pk)
    assert rows(owner, "?group=member") == [("Nobody’s key", "", 2), ("owner@acme.example", "", 1)]


@pytest.mark.parametrize(("query", "bars"), [("", 30), ("?range=7d", 7), ("?from=2026-11-22&to=2026-11-22", 24)])
def test_the_chart_has_every_day_or_hour(owner: Client, query: str, bars: int) -> None:
    assert len(owner.get(f"/o/acme/usage{query}").context["points"]) == bars


def test_every_row_leads_to_its_requests(owner: Client) -> None:
    for group in ("day", "hour", "model", "api_key"):
        for _name, url, count in rows(owner, f"?group={group}&from=2026-10-01&to=2026-11-22"):
            if url:
                assert len(owner.get(f"/o/acme/{url}").context["rows"]) == count, url


def test_a_long_list_goes_on_from_the_last_one(owner: Client, cast: stories.Cast) -> None:
    for number in range(55):
        at = YESTERDAY - timedelta(minutes=number + 1)
        stories.use(cast.acme.organization, at=at, now=stories.NOON, api_key_id=cast.acme.key.pk)
    first = owner.get("/o/acme/requests").context
    second = owner.get(f"/o/acme/requests{first['older_url']}").context
    ids = [row.event.id for page in (first, second) for row in page["rows"]]
    assert (len(first["rows"]), len(ids), len(set(ids))) == (50, 57, 57)
    assert ids == sorted(ids, reverse=True)
    assert not first["newest_url"]
    assert second["newest_url"] == "?"


def test_nonsense_in_the_address_means_this_month(owner: Client) -> None:
    plain = len(owner.get("/o/acme/requests").context["rows"])
    for nonsense in (
        "from=2026-13-01&to=x",
        "hour=never",
        "range=ever",
        "before=x",
        "key=x",
        "model=",
        "from=2026-11-02&to=2026-11-01",
    ):
        assert len(owner.get(f"/o/acme/requests?{nonsense}").context["rows"]) == plain, nonsense
        assert owner.get(f"/o/acme/usage?{nonsense}&page=99&group=x&show=x").status_code == 200


def test_the_receipt_of_a_request(owner: Client, cast: stories.Cast, browse: Browse) -> None:
    usage = TokenUsage(input_tokens=1000, cache_read_tokens=200, output_tokens=500, reasoning_tokens=100)
    outcome = stories.use(
        cast.acme.organization,
        at=stories.NOON,
        api_key_id=cast.acme.key.pk,
        usage=usage,
        latency_ms=812,
        tags={"team": "rocket"},
    )
    page = text_of(owner.get(f"/o/acme/requests/{outcome.event_id}"))
    assert "Input tokens 1,000 $0.040 / 1M ₩66 / 1M ₩0.066" in page
    assert "Cached tokens 200" in page
    assert "Output tokens 400" in page
    assert "Reasoning tokens 100" in page
    assert "Total, VAT excluded ₩0.1122" in page
    assert "1000 × 0.00000004 × (1 + 0.1) × 1500" in page
    assert "in force since 2026-06-25" in page
    assert "1 USD = ₩1,500 example rate, 2026-10-31" in page
    assert "812 ms" in page
    assert "rocket" in page
    assert browse(cast.globex.owner).get(f"/o/globex/requests/{outcome.event_id}").status_code == 404


def test_the_draft_of_the_running_month(owner: Client) -> None:
    page = text_of(owner.get("/o/acme/invoices"))
    assert "November 2026 running 2026-11-01 – 2026-11-30" in page
    assert "October 2026 not invoiced yet" in page
    assert "Credit ₩5,000" in page
    drafts = owner.get("/o/acme/invoices").context["drafts"]
    for draft in drafts:
        assert sum(group.amount for group in draft.groups) == draft.period.totals.subtotal


def test_the_last_day_is_said_to_be_included(owner: Client, browse: Browse, cast: stories.Cast) -> None:
    for path in ("/o/acme/usage", "/o/acme/requests"):
        assert "Last day (included) inclusive Apply" in text_of(owner.get(path))
        assert "마지막 날 (포함) 까지 포함" in text_of(browse(cast.acme.owner, language="ko").get(path))


def test_fields_that_may_be_left_empty_say_so(owner: Client, browse: Browse, cast: stories.Cast) -> None:
    assert "(optional)" in text_of(owner.get("/o/acme/keys/new"))
    assert "(선택 입력)" in text_of(browse(cast.acme.owner, language="ko").get("/o/acme/keys/new"))


def test_a_correction_shows_what_was_taken_back_and_what_is_charged_instead(owner: Client, cast: stories.Cast) -> None:
    first, back, again = stories.correct_usage(cast.acme.organization, now=stories.NOON)
    listed = text_of(owner.get("/o/acme/requests"))
    assert all(word in listed for word in ("Reversal", "Taken back", "Charged anew"))
    pages = {event: owner.get(f"/o/acme/requests/{event}").content.decode() for event in (first, back, again)}
    assert f"/o/acme/requests/{again}" in pages[first] and "taken back and made anew" in pages[first]
    assert f"/o/acme/requests/{first}" in pages[back] and "The upstream had lowered its price." in pages[back]
    assert "−1,000" in pages[back]
    assert f"/o/acme/requests/{first}" in pages[again] and "in place of an earlier charge" in pages[again]


def test_a_charge_that_was_taken_back_for_good_leads_to_its_reversal(owner: Client, cast: stories.Cast) -> None:
    first, back, _none = stories.correct_usage(cast.acme.organization, now=stories.NOON, recharge=False)
    page = owner.get(f"/o/acme/requests/{first}").content.decode()
    assert "This charge was taken back" in page and f"/o/acme/requests/{back}" in page


def test_what_a_page_shows_is_to_be_had_as_a_file(owner: Client, cast: stories.Cast) -> None:
    key = str(cast.acme.key.pk)
    for page, expected in (
        ("usage?from=2026-10-01&to=2026-11-22", 3),
        ("requests?from=2026-10-01&to=2026-11-22", 3),
        (f"requests?from=2026-10-01&to=2026-11-22&key={key}", 2),
        ("requests?model=openai%2Fgpt-4o", 1),
        ("requests?hour=2026-11-22T12", 1),
    ):
        links = dict(owner.get(f"/o/acme/{page}").context["downloads"])
        assert list(links) == ["CSV", "NDJSON", "Parquet"]
        body = b"".join(owner.get(links["NDJSON"]))
        assert len(body.splitlines()) == expected, page
    assert "verify_receipts.py" in text_of(owner.get("/o/acme/usage"))


def test_usage_is_added_up_by_a_declared_tag(owner: Client, cast: stories.Cast) -> None:
    assert owner.get("/o/acme/usage?group=tag:team").context["group_by"] == "day", "not declared"
    acme, before = cast.acme.organization, stories.NOON - timedelta(days=60)
    declare_tags(organization=acme, keys=["team"], actor=None, now=before)
    for value in ("search", "<b>"):
        stories.use(acme, at=stories.NOON, tags={"team": value})
    page = owner.get("/o/acme/usage?group=tag:team")
    named = {group.name: group for group in page.context["groups"]}
    assert {name: group.total.requests for name, group in named.items()} == {
        "search": 1,
        "<b>": 1,
        "Recorded before the tag was declared": page.context["total"].requests - 2,
    }
    assert "<b>" not in page.content.decode() and "&lt;b&gt;" in page.content.decode()
    requests = owner.get(f"/o/acme/{named['search'].url}")
    assert len(requests.context["rows"]) == 1 and "Tag: team=search" in text_of(requests)
    link = dict(requests.context["downloads"])["NDJSON"]
    assert len(b"".join(owner.get(link)).splitlines()) == 1


def test_a_declared_tag_of_countless_values_is_not_listed(
    owner: Client, cast: stories.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_tags(organization=cast.acme.organization, keys=["id"], actor=None, now=stories.NOON)
    monkeypatch.setattr("metering.tag_sums.MOST_VALUES", 0)
    page = owner.get("/o/acme/usage?group=tag:id")
    assert "too many different values" in text_of(page) and page.context["total"].requests > 0


def test_counts_that_did_not_come_with_an_answer_say_how_they_are_known(
    owner: Client, cast: stories.Cast, browse: Browse
) -> None:
    stories.use(cast.acme.organization, at=stories.NOON, evidence=Evidence.ESTIMATED)
    page = text_of(owner.get("/o/acme/requests?from=2026-11-22&to=2026-11-22"))
    assert page.count("Estimated") == 1
    assert "Reported" not in page


def test_what_is_used_and_not_invoiced_is_the_sum_of_the_drafts(owner: Client, cast: stories.Cast) -> None:
    """Fractions of two months: rounding their sum once would not say what the two invoices will."""
    fraction = TokenUsage(input_tokens=4_561, output_tokens=0)
    stories.use(cast.acme.organization, at=LAST_MONTH, now=stories.NOON, usage=fraction)
    for path in ("/o/acme/", "/o/acme/invoices"):
        context = owner.get(path).context
        standing = context["standing"]
        parts = (standing.credit, standing.credit_line, -standing.unbilled, -standing.receivable, -standing.held)
        assert standing.available == sum(parts)
    drafts = [draft.period for draft in context["drafts"]]
    assert len(drafts) == 2
    together = [line.amount for period in drafts for line in period.lines]
    at_once = invoice_totals(together, currency="KRW", tax_rate=Decimal("0.10")).total
    assert standing.unbilled != at_once, "these months have fractions that matter"
    assert standing.unbilled == sum(period.totals.total for period in drafts)
    text = text_of(owner.get("/o/acme/invoices"))
    assert f"Used, not invoiced (estimate) − ₩{standing.unbilled:,}" in text
