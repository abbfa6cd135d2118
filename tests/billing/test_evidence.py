"""The requests behind an invoice leave as a file, whose figures add up to the invoice's and recompute offline."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.models import Invoice
from billing.sellers import set_seller
from ledger.models import BillingPeriod
from metering import export_rows
from pricing import verify_receipts
from pricing.tokens import TokenUsage
from pricing.verify_receipts import Verification, plain, read_rows, verify
from tests import stories
from tests.stories import NOON, SELLER, use

OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
SEPTEMBER = datetime(2026, 9, 28, 3, tzinfo=UTC)
AFTER = datetime(2026, 11, 2, tzinfo=UTC)
MIXED = TokenUsage(input_tokens=901, cache_read_tokens=333, output_tokens=77, reasoning_tokens=19)


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    with time_machine.travel(NOON, tick=False):
        cast = stories.meet_the_cast(now=NOON)
        set_seller(now=NOON - timedelta(days=90), **SELLER)
        yield cast


@pytest.fixture
def invoice(cast: stories.Cast) -> Invoice:
    """Acme's for October: calls of that month, and a late one of September whose invoice was out already."""
    acme = cast.acme.organization
    use(acme, at=SEPTEMBER)
    close(cast.acme, at=SEPTEMBER, now=datetime(2026, 10, 2, tzinfo=UTC))
    use(acme, at=SEPTEMBER + timedelta(hours=1), now=OCTOBER, usage=MIXED)
    for hours in range(5):
        use(acme, at=OCTOBER + timedelta(hours=hours), usage=MIXED)
    use(acme, at=OCTOBER, usage=TokenUsage(input_tokens=1_000_000))
    use(acme, at=AFTER)
    use(cast.globex.organization, at=OCTOBER)
    return close(cast.acme, at=OCTOBER, now=AFTER)


def close(company: stories.Company, *, at: datetime, now: datetime) -> Invoice:
    organization = company.organization
    with tenant_scope([organization.pk]):
        period = BillingPeriod.objects.for_organization(organization).get(starts_at__lte=at, ends_at__gt=at)
    invoice = invoicing.close_period(organization_id=organization.pk, period_id=period.pk, now=now)
    assert invoice is not None
    return invoice


def body(client: Client, path: str, **query: str) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200, answer.content
    return b"".join(answer).decode("utf-8-sig")


def checked(text: str) -> Verification:
    return verify(read_rows(io.StringIO(text, newline="")))


@pytest.mark.parametrize("format_name", ["csv", "ndjson"])
def test_the_requests_of_an_invoice_add_up_to_its_exact_subtotal(
    cast: stories.Cast, invoice: Invoice, format_name: str
) -> None:
    client = Client(headers=cast.acme.headers)
    found = checked(body(client, f"/api/v1/invoices/{invoice.pk}/export", format=format_name))
    assert (found.rows, found.first) == (7, [])
    assert found.sums == {"KRW": invoice.exact_subtotal}


def test_the_requests_of_a_line_add_up_to_it(
    cast: stories.Cast, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_rows, "BATCH", 2)
    client = Client(headers=cast.acme.headers)
    lines = client.get(f"/api/v1/invoices/{invoice.pk}").json()["lines"]
    rows = 0
    for line in lines:
        found = checked(body(client, f"/api/v1/invoices/{invoice.pk}/lines/{line['position']}/export"))
        assert (found.first, found.line_sum) == ([], Decimal(line["exact_amount"]))
        rows += found.rows
    assert rows == 6 * 4 + 1, "every class of every call, the late one's in lines of its own"
    assert client.get(f"/api/v1/invoices/{invoice.pk}/lines/99/export").status_code == 404


def test_the_site_offers_the_same(cast: stories.Cast, invoice: Invoice) -> None:
    client = Client()
    client.force_login(cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    with time_machine.travel(NOON, tick=False):
        assert checked(body(client, f"/o/acme/invoices/{invoice.pk}/export")).sums == {"KRW": invoice.exact_subtotal}
        assert checked(body(client, f"/o/acme/invoices/{invoice.pk}/lines/1/export", format="ndjson")).line_sum
        everything = checked(body(client, "/o/acme/usage/export", **{"from": "2026-09-01", "to": "2026-11-30"}))
        assert everything.rows == 9
    stranger = Client()
    stranger.force_login(cast.globex.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert stranger.get(f"/o/acme/invoices/{invoice.pk}/export").status_code == 404


def test_the_script_on_the_site_is_the_module(db: None) -> None:
    answer = Client().get("/verify_receipts.py")
    assert answer.content == Path(verify_receipts.__file__).read_bytes()
    assert answer.headers["Content-Disposition"] == 'attachment; filename="verify_receipts.py"'


def test_the_command_says_what_the_script_says(
    cast: stories.Cast, invoice: Invoice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = body(Client(headers=cast.acme.headers), f"/api/v1/invoices/{invoice.pk}/export")
    file = tmp_path / "invoice.csv"
    file.write_text(text, encoding="utf-8")
    call_command("verify_receipts", str(file), "--sum", plain(invoice.exact_subtotal))
    assert "rows checked: 7" in capsys.readouterr().out
    with pytest.raises(CommandError) as refused:
        call_command("verify_receipts", str(file), "--sum", "1")
    assert refused.value.returncode == 1
    file.write_text(text.replace(",333,", ",334,", 1), encoding="utf-8")
    with pytest.raises(CommandError):
        call_command("verify_receipts", str(file))
    assert "cost_usd is" in capsys.readouterr().out
    with pytest.raises(CommandError) as unreadable:
        call_command("verify_receipts", str(tmp_path / "none.csv"))
    assert unreadable.value.returncode == 2
