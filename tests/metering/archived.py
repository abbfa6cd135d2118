"""An August that is over, invoiced and old: what the tests of archiving begin with, and everything that readers see of it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

from django.core.management import call_command
from django.db import connections
from django.test import Client

from accounts.models import ServiceKey
from billing import invoicing
from billing.models import Invoice
from billing.sellers import set_seller
from ledger.models import BillingPeriod
from metering.correcting_usage import correct_usage
from metering.correction_decisions import Asked, AskedBy
from metering.models import Evidence, UsageEvent
from metering.pushed_corrections import Action
from metering.reports import Status
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON, SELLER, use

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AUGUST = datetime(2026, 8, 3, 3, tzinfo=UTC)
SEPTEMBER = datetime(2026, 9, 2, 3, tzinfo=UTC)
AFTER = datetime(2026, 10, 5, tzinfo=UTC)
MONTHS = ("2026-08-01", "2026-09-01")


def grow_history() -> stories.Cast:
    """Acme and globex use, correct and are late in August and September of 2026; these months and October are invoiced."""
    cast = stories.meet_the_cast(now=NOON)
    set_seller(now=NOON - timedelta(days=120), **SELLER)
    stories.make_model("acme-labs/dear", now=NOON, pricing={"prompt": "0.000001", "completion": "0.000003"})
    acme, key = cast.acme.organization, cast.acme.key.pk
    for company in (cast.acme, cast.globex):
        use(company.organization, at=AUGUST, tags={"team": "search", "b": "2"}, api_key_id=company.key.pk, status=200)
        use(company.organization, at=AUGUST + 9 * DAY, request_id="req-7", latency_ms=120, streamed=True, attempt=1)
        use(company.organization, at=SEPTEMBER, generation_id="gen-9", status=429, finish_reason="stop", upstream="x")
    use(acme, at=AUGUST + DAY, end_user="=김", tags={"팀": "검색", "a": "1"}, reported_cost=Decimal("0.00000012"))
    use(acme, at=AUGUST + 2 * DAY, model="acme-labs/dear", usage=TokenUsage(input_tokens=3, cache_read_tokens=2))
    thinking = TokenUsage(output_tokens=50, reasoning_tokens=20)
    use(acme, at=AUGUST + 2 * DAY + HOUR, usage=thinking, evidence=Evidence.ESTIMATED, first_token_ms=7)
    use(acme, at=AUGUST + 2 * DAY + 2 * HOUR, usage=TokenUsage(output_tokens=9, reasoning_tokens=9), api_key_id=key)
    use(acme, at=AUGUST + 3 * DAY, usage=TokenUsage(input_tokens=0, images=2), requested_model="acme-labs/dear")
    use(acme, at=datetime(2026, 8, 31, 14, 59, 59, 999_999, tzinfo=UTC), tags={"team": "search"})
    use(acme, at=datetime(2026, 8, 31, 23, 59, 59, 999_000, tzinfo=UTC), tags={"team": "ops"})  # September in Seoul
    use(acme, at=datetime(2026, 9, 1, 0, 0, tzinfo=UTC))
    stories.correct_usage(cast.globex.organization, now=SEPTEMBER + HOUR)  # in the month that still runs
    void(cast, key="reported twice", at=AUGUST + 5 * DAY)
    close("2026-08", now=datetime(2026, 9, 5, tzinfo=UTC))
    use(acme, at=AUGUST + 4 * DAY, now=datetime(2026, 9, 6, tzinfo=UTC))  # late: September's invoice
    take_back(cast.acme, at=AUGUST + DAY, now=datetime(2026, 9, 7, tzinfo=UTC))
    close("2026-09", now=AFTER)
    use(acme, at=AFTER + DAY)
    close("2026-10", now=datetime(2026, 11, 5, tzinfo=UTC))
    use(acme, at=NOON)
    return cast


def take_back(company: stories.Company, *, at: datetime, now: datetime) -> None:
    """The charge of that moment is made anew, which its month's invoice does not know of."""
    from accounts.tenancy import tenant_scope
    from metering.correction_rows import Recharge
    from metering.reversing import Correction, reverse

    with tenant_scope([company.organization.pk]):
        event = UsageEvent.objects.for_organization(company.organization).get(occurred_at=at)
        again = Recharge(applied_rate_id=event.applied_rate_id, cost=event.cost, amount=event.amount)
        reverse([Correction(event=event, recharge=again)], reason="A test.", actor=None, now=now)


def void(cast: stories.Cast, *, key: str, at: datetime) -> None:
    """The foreign gateway reports a call of globex', and takes it back at once."""
    globex = cast.globex.organization
    use(globex, at=at, key=key, source_id=cast.source.pk)
    asked = Asked(organization_id=globex.pk, call=key, action=Action.VOID, reason="Reported twice.")
    service_key = ServiceKey.objects.using("system").get(source=cast.source)
    [outcome] = correct_usage([asked], by=AskedBy(source_id=cast.source.pk, service_key_id=service_key.pk), now=at)
    assert outcome.status is Status.ACCEPTED


def close(month: str, *, now: datetime) -> None:
    """Invoice that month of everybody."""
    year, number = map(int, month.split("-"))
    start = datetime(year, number, 1, tzinfo=stories.SEOUL)
    for period in BillingPeriod.objects.using("system").filter(starts_at=start).order_by("organization_id"):
        invoicing.close_period(organization_id=period.organization_id, period_id=period.pk, now=now)


def archive(*words: str) -> str:
    """`manage.py archive_usage`, of what is older than two months unless said otherwise."""
    output = StringIO()
    call_command("archive_usage", *(words or ("--older-than-months", "1")), stdout=output)
    return output.getvalue()


def partitions_left() -> list[str]:
    with connections["system"].cursor() as cursor:
        cursor.execute(
            "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE 'metering_usageevent_y%' ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


def everything_seen(company: stories.Company) -> Iterator[tuple[str, object]]:
    """What the company reads of its usage, as (what, answer): pages, filters, receipts, sums, exports, evidence of invoices."""
    client = Client(headers=company.headers)
    span = {"from": "2026-08-01", "to": "2026-11-22"}
    yield from _pages(client, span)
    ids = [event["id"] for event in _json(client, "/api/v1/usage/events", limit="200", **span)["data"]]
    for event_id in ids:
        yield event_id, _json(client, f"/api/v1/usage/events/{event_id}")
    for path, query in (
        ("/api/v1/usage/events", {"status": "4xx"}),
        ("/api/v1/usage/events", {"tag.team": "search"}),
        ("/api/v1/usage/events", {"tag.팀": "검색", "tag.a": "1"}),
        ("/api/v1/usage/events", {"q": "req-7"}),
        ("/api/v1/usage/events", {"q": ids[-1]}),
        ("/api/v1/usage/events", {"kind": "reversal"}),
        ("/api/v1/usage/events", {"evidence": "estimated", "model": stories.DEVSTRAL}),
        ("/api/v1/usage/events", {"api_key": str(company.key.pk), "source": "gateway"}),
        ("/api/v1/usage/events", {"upstream": "x", "end_user": "=김"}),
        ("/api/v1/usage", {"group_by": "tag", "tag": "team", "from": "2026-08-03", "to": "2026-09-03"}),
        ("/api/v1/usage", {"group_by": "tag", "tag": "team", "from": "2026-09-01", "to": "2026-10-01"}),
        ("/api/v1/usage", {"group_by": "day"}),
    ):
        yield f"{path} {query}", _json(client, path, **(span | query))
    for format_name in ("csv", "ndjson", "parquet"):
        yield format_name, _bytes(client, "/api/v1/usage/export", format=format_name, **span)
    for invoice in Invoice.objects.using("system").filter(organization=company.organization).order_by("number"):
        yield from _evidence(client, invoice)


def _pages(client: Client, span: dict[str, str]) -> Iterator[tuple[str, object]]:
    query = {"limit": "2", **span}
    for number in range(100):
        page = _json(client, "/api/v1/usage/events", **query)
        yield f"page {number}", page
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def _evidence(client: Client, invoice: Invoice) -> Iterator[tuple[str, object]]:
    path = f"/api/v1/invoices/{invoice.pk}"
    yield f"{invoice.number} export", _bytes(client, f"{path}/export")
    for line in _json(client, path)["lines"]:
        position = line["position"]
        for format_name in ("csv", "parquet"):
            content = _bytes(client, f"{path}/lines/{position}/export", format=format_name)
            yield f"{invoice.number} line {position} {format_name}", content
        yield f"{invoice.number} line {position}", _json(client, f"{path}/lines/{position}/events", limit="2")


def _json(client: Client, path: str, **query: str) -> dict[str, object] | object:
    answer = client.get(path, query)
    assert answer.status_code == 200, (path, answer.content)
    return json.loads(answer.content)


def _bytes(client: Client, path: str, **query: str) -> bytes:
    answer = client.get(path, query)
    assert answer.status_code == 200, (path, answer.content)
    content = b"".join(answer)  # type: ignore[arg-type]
    assert b"BROKE OFF" not in content
    return content
