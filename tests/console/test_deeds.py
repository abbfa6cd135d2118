"""What an operator can do: each asks, says what it will do, does it once, and is written down with the operator's name."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from accounts.models import Organization
from billing.invoice_queries import is_overdue
from billing.models import Document, Invoice, Payment, Quotation
from billing.papers import document_files
from billing.sellers import set_seller
from catalog.models import CostPrice, ExchangeRate, LanguageModel, MarkupRule
from console.months import ZONE
from console.read_only import address_of
from ledger.balances import available
from ledger.models import Balance, BillingPeriod, CreditGrant
from metering.models import UnratedUsage, UsageEvent
from metering.unrated import rate_waiting
from tests import stories
from tests.console.conftest import audited, carry_out, picked, refused
from tests.stories import Cast, use

PRICE = "/do/price/"


class TestRates:
    @pytest.mark.parametrize("language", ["ko", "en"])
    def test_limits_a_minute_are_set_and_taken_back(self, operator: Client, cast: Cast, language: str) -> None:
        acme = cast.acme.organization
        address = reverse("admin:set_rates", args=[acme.pk])
        carry_out(operator, address, {"requests": "120", "tokens": "500000"}, language=language)
        acme.refresh_from_db()
        assert (acme.requests_per_minute, acme.tokens_per_minute) == (120, 500_000)
        assert audited("organization.rate_limits_set", cast).detail == {"requests": 120, "tokens": 500_000}
        carry_out(operator, address, {"requests": "", "tokens": ""}, language=language)
        acme.refresh_from_db()
        assert (acme.requests_per_minute, acme.tokens_per_minute) == (None, None)

    @pytest.mark.parametrize(("language", "default"), [("ko", "6,000(기본값)"), ("en", "6,000 (the default)")])
    def test_an_organization_shows_the_limits_that_hold(
        self, operator: Client, cast: Cast, settings: Settings, language: str, default: str
    ) -> None:
        settings.RATE_LIMIT_REQUESTS, settings.RATE_LIMIT_TOKENS = 6000, 0
        operator.cookies["invoicedream_language"] = language
        page = address_of(cast.acme.organization)
        shown = operator.get(page).content.decode()
        assert default in shown
        assert {"ko": "한도 없음(기본값)", "en": "no limit (the default)"}[language] in shown
        Organization.objects.using("system").filter(pk=cast.acme.organization.pk).update(requests_per_minute=1234)
        shown = operator.get(page).content.decode()
        assert "1,234" in shown
        assert default not in shown

    @pytest.mark.parametrize(
        "wrong", [{"requests": "0"}, {"requests": "-1"}, {"tokens": "1.5"}, {"tokens": "9999999999"}]
    )
    def test_bad_input_is_refused(self, operator: Client, cast: Cast, wrong: dict[str, str]) -> None:
        refused(operator, reverse("admin:set_rates", args=[cast.acme.organization.pk]), wrong)


class TestCredit:
    values = {
        "token": "0190b5c0-0000-7000-8000-000000000001",
        "amount": "30000",
        "kind": "promotional",
        "reason": "Sorry",
    }

    @pytest.mark.parametrize("language", ["ko", "en"])
    def test_it_is_given(self, operator: Client, cast: Cast, language: str) -> None:
        acme = cast.acme.organization
        before = available(Balance.objects.get(organization=acme))
        carry_out(operator, reverse("admin:give_credit", args=[acme.pk]), self.values, language=language)
        assert available(Balance.objects.get(organization=acme)) == before + 30000
        grant = CreditGrant.objects.get(key=f"console:{self.values['token']}")
        assert grant.granted_by == cast.operator and grant.amount == 30000
        assert audited("credit.granted", cast).organization == acme

    def test_sending_it_twice_gives_once(self, operator: Client, cast: Cast) -> None:
        address = reverse("admin:give_credit", args=[cast.acme.organization.pk])
        for _time in range(2):
            assert operator.post(address, self.values | {"confirm": "1"}).status_code == 302
        assert CreditGrant.objects.filter(reason="Sorry").count() == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            {"amount": "-1"},
            {"amount": "0"},
            {"amount": "NaN"},
            {"amount": "1e999"},
            {"amount": "10.5"},
            {"reason": ""},
            {"token": "x"},
            {"expires_on": "2020-01-01"},
            {"kind": "gift"},
        ],
    )
    def test_bad_input_is_refused(self, operator: Client, cast: Cast, wrong: dict[str, str]) -> None:
        refused(operator, reverse("admin:give_credit", args=[cast.acme.organization.pk]), self.values | wrong)
        assert not CreditGrant.objects.filter(reason="Sorry").exists()

    def test_going_back_keeps_what_was_entered(self, operator: Client, cast: Cast) -> None:
        address = reverse("admin:give_credit", args=[cast.acme.organization.pk])
        answer = operator.post(address, self.values | {"edit": "1"})
        assert b"Sorry" in answer.content and not CreditGrant.objects.filter(reason="Sorry").exists()


class TestPrices:
    def test_a_new_price_holds_within_seconds(self, operator: Client, cast: Cast) -> None:
        carry_out(operator, PRICE, {"model": stories.DEVSTRAL, "input": "0.10", "output": "0.30", "cache_read": "0.01"})
        price = CostPrice.objects.latest("pk")
        assert price.sheet["base"] == {
            "input": "0.000000100000",
            "output": "0.000000300000",
            "cache_read": "0.000000010000",
        }
        assert price.raw == {"prompt": "0.0000001", "completion": "0.0000003", "input_cache_read": "0.00000001"}
        assert timedelta(0) < price.effective_from - price.created_at <= timedelta(seconds=10)
        assert audited("cost_price.published", cast).target == stories.DEVSTRAL

    def test_not_in_the_past(self, operator: Client, cast: Cast, now: datetime) -> None:
        values = {
            "model": stories.DEVSTRAL,
            "input": "1",
            "output": "1",
            "effective_from": picked(now - timedelta(hours=1)),
        }
        assert "past" in refused(operator, PRICE, values)

    def test_in_the_future(self, operator: Client, cast: Cast, now: datetime) -> None:
        wanted = now + timedelta(days=3)
        carry_out(
            operator, PRICE, {"model": stories.DEVSTRAL, "input": "1", "output": "1", "effective_from": picked(wanted)}
        )
        assert CostPrice.objects.latest("pk").effective_from == wanted.replace(second=0, microsecond=0)

    def test_the_same_price_changes_nothing(self, operator: Client, cast: Cast) -> None:
        before = CostPrice.objects.count()
        carry_out(operator, PRICE, {"model": stories.DEVSTRAL, "input": "0.04", "output": "0.04"})
        assert CostPrice.objects.count() == before

    @pytest.mark.parametrize(
        "wrong", [{"model": "no/such"}, {"input": "-1"}, {"input": "NaN"}, {"output": ""}, {"input": "1e9"}]
    )
    def test_bad_input_is_refused(self, operator: Client, wrong: dict[str, str]) -> None:
        refused(operator, PRICE, {"model": stories.DEVSTRAL, "input": "1", "output": "1"} | wrong)

    def test_a_models_first_price_reaches_back_to_what_waits(self, operator: Client, cast: Cast, now: datetime) -> None:
        oldest = now - timedelta(days=2)
        use(cast.acme.organization, at=oldest, now=now, model="new/model")
        assert UnratedUsage.objects.count() == 1
        values = {
            "slug": "new/model",
            "name": "New",
            "provider": "New",
            "cost_table": CostPrice.objects.first().cost_table_id,
        }
        carry_out(operator, "/do/models/new/", values)
        assert audited("models.listed", cast).target == "new/model"
        carry_out(operator, PRICE, {"model": "new/model", "input": "1", "output": "1"})
        assert CostPrice.objects.latest("pk").effective_from == UnratedUsage.objects.get().occurred_at
        assert rate_waiting(now=now + timedelta(minutes=1)) == 1
        assert UsageEvent.objects.filter(organization_id=cast.acme.organization.pk).count() == 1

    def test_delisting(self, operator: Client, cast: Cast) -> None:
        model = LanguageModel.objects.get(slug=stories.DEVSTRAL)
        address = reverse("admin:delist", args=[model.pk])
        carry_out(operator, address, {})
        assert CostPrice.objects.latest("pk").sheet is None
        assert audited("cost_price.delisted", cast).target == stories.DEVSTRAL


class TestMarkups:
    @pytest.mark.parametrize(
        "target", [{}, {"model": stories.DEVSTRAL}, {"provider": "mistralai"}, {"organization": "acme"}]
    )
    def test_it_is_set(self, operator: Client, cast: Cast, target: dict[str, str]) -> None:
        if "organization" in target:
            target = {"organization": str(cast.acme.organization.pk)}
        carry_out(operator, "/do/markup/", {"percent": "12.5", "reason": "Deal", **target})
        rule = MarkupRule.objects.latest("pk")
        assert rule.markup == Decimal("0.125") and rule.created_by == cast.operator
        assert audited("markup.set", cast).detail["markup"] == "0.1250"

    def test_it_ends(self, operator: Client, cast: Cast) -> None:
        values = {"model": stories.DEVSTRAL, "percent": "20", "reason": "x"}
        carry_out(operator, "/do/markup/", values)
        assert MarkupRule.objects.latest("pk").markup == Decimal("0.2")

    @pytest.mark.parametrize(
        "wrong",
        [{"percent": "-100"}, {"percent": "1.234"}, {"reason": ""}, {"model": "no/such"}, {"provider": "mistralai"}],
    )
    def test_bad_input_is_refused(self, operator: Client, wrong: dict[str, str]) -> None:
        refused(operator, "/do/markup/", {"model": stories.DEVSTRAL, "percent": "10", "reason": "x"} | wrong)

    def test_not_in_the_past(self, operator: Client, now: datetime) -> None:
        values = {"percent": "11", "reason": "x", "effective_from": picked(now - timedelta(days=1))}
        assert "past" in refused(operator, "/do/markup/", values)


class TestExchangeRates:
    address = "/do/exchange-rate/"

    def today(self, now: datetime) -> date:
        return now.astimezone(ZONE).date()

    def test_it_is_published_once(self, operator: Client, cast: Cast, now: datetime) -> None:
        values = {"rate": "1393.50", "published_on": self.today(now).isoformat(), "source": "seoul-fx"}
        carry_out(operator, self.address, values)
        carry_out(operator, self.address, values)
        rate = ExchangeRate.objects.get(source="seoul-fx")
        assert rate.rate == Decimal("1393.5") and rate.created_by == cast.operator
        assert audited("exchange_rate.published", cast).detail["source"] == "seoul-fx"

    def test_a_rate_far_off_is_pointed_out(self, operator: Client, now: datetime) -> None:
        values = {"rate": "13.93", "published_on": self.today(now).isoformat(), "source": "manual"}
        review = carry_out(operator, self.address, values)
        assert any("decimal point" in str(value) for _label, value in review.context["review"])

    def test_not_of_a_day_to_come(self, operator: Client, now: datetime) -> None:
        tomorrow = self.today(now) + timedelta(days=1)
        refused(operator, self.address, {"rate": "1400", "published_on": tomorrow.isoformat(), "source": "manual"})


class TestStanding:
    def test_suspended_and_active_again(self, operator: Client, cast: Cast) -> None:
        acme = cast.acme.organization
        for name, action, status in (
            ("suspend", "organization.suspended", "suspended"),
            ("reactivate", "organization.reactivated", "active"),
        ):
            carry_out(operator, reverse(f"admin:{name}", args=[acme.pk]), {"reason": "Unpaid"})
            assert Organization.objects.get(pk=acme.pk).status == status
            assert audited(action, cast).detail == {"reason": "Unpaid"}

    def test_only_what_is_possible(self, operator: Client, cast: Cast) -> None:
        address = reverse("admin:reactivate", args=[cast.acme.organization.pk])
        answer = operator.post(address, {"reason": "x", "confirm": "1"})
        assert answer.status_code == 422
        assert operator.get(reverse("admin:suspend", args=[999_999])).status_code == 404


class TestInvoices:
    def test_void_and_issue_anew(
        self, invoice: Invoice, operator: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        operator.cookies["invoicedream_language"] = "en"
        form = operator.get(reverse("admin:void_invoice", args=[invoice.pk]))
        assert "reads it word for word" in form.content.decode(), "the customer does"
        carry_out(operator, reverse("admin:void_invoice", args=[invoice.pk]), {"reason": "Wrong address"})
        invoice.refresh_from_db()
        assert invoice.status == "void" and invoice.void_reason == "Wrong address"
        assert audited("invoice.voided", cast).target == invoice.number
        again = operator.post(reverse("admin:void_invoice", args=[invoice.pk]), {"reason": "x", "confirm": "1"})
        assert again.status_code == 422
        rung: list[dict[str, object]] = []
        monkeypatch.setattr(
            "billing.tasks.render_documents.apply_async", lambda kwargs, **_options: rung.append(kwargs)
        )
        carry_out(operator, reverse("admin:reissue_invoice", args=[invoice.pk]), {})
        fresh = Invoice.objects.get(status="open")
        assert rung == [{"invoices": [(fresh.organization_id, str(fresh.pk))]}], "its PDF does not wait"
        detail = operator.get(reverse("admin:billing_invoice_change", args=[fresh.pk])).content.decode()
        assert "It is being made." in detail
        assert fresh.total == invoice.total and fresh.number != invoice.number
        assert audited("invoice.reissued", cast).target == fresh.number
        assert operator.post(reverse("admin:reissue_invoice", args=[invoice.pk]), {"confirm": "1"}).status_code == 422

    def transfer(self, invoice: Invoice, now: datetime, **changes: str) -> dict[str, str]:
        values = {
            "amount": str(int(invoice.amount_due)),
            "payer_name": "Acme",
            "received_at": picked(now),
            "key": "1122-1",
        }
        return values | changes

    def test_a_bank_transfer_pays(self, invoice: Invoice, operator: Client, cast: Cast, now: datetime) -> None:
        address = reverse("admin:record_transfer", args=[invoice.pk])
        assert operator.get(address).context["form"].initial["amount"] == str(int(invoice.amount_due))
        carry_out(operator, address, self.transfer(invoice, now))
        invoice.refresh_from_db()
        assert invoice.status == "paid"
        assert Payment.objects.get().started_by == cast.operator
        assert operator.post(address, self.transfer(invoice, now) | {"confirm": "1"}).status_code == 302
        assert Payment.objects.count() == 1

    def test_part_of_it_leaves_it_open(self, invoice: Invoice, operator: Client, now: datetime) -> None:
        carry_out(
            operator, reverse("admin:record_transfer", args=[invoice.pk]), self.transfer(invoice, now, amount="100")
        )
        invoice.refresh_from_db()
        assert invoice.status == "open" and Payment.objects.get().amount == 100

    @pytest.mark.parametrize(
        "wrong", [{"amount": "0"}, {"amount": "10.5"}, {"key": ""}, {"received_at": "2099-01-01T00:00"}]
    )
    def test_bad_input_is_refused(
        self, invoice: Invoice, operator: Client, now: datetime, wrong: dict[str, str]
    ) -> None:
        refused(operator, reverse("admin:record_transfer", args=[invoice.pk]), self.transfer(invoice, now, **wrong))
        assert not Payment.objects.exists()

    def test_the_pdf_only_where_it_is_what_was_written(self, invoice: Invoice, operator: Client) -> None:
        address = reverse("admin:invoice_pdf", args=[invoice.pk])
        assert operator.get(address).status_code == 404
        content, path = (
            b"%PDF-1.7 not really",
            document_files.relative_path(invoice.organization_id, f"{invoice.number}.pdf"),
        )
        document_files.write(path, content)
        Document.objects.create(
            organization=invoice.organization,
            invoice=invoice,
            kind="invoice",
            path=path,
            sha256=document_files.digest(content),
            size=len(content),
            rendered_at=invoice.finalized_at,
        )
        answer = operator.get(address)
        assert answer.content == content and answer["Content-Type"] == "application/pdf"
        page = operator.get(reverse("admin:billing_invoice_change", args=[invoice.pk])).content.decode()
        stored = reverse("admin:stored_document", args=[Document.objects.get().pk])
        assert f'href="{stored}"' in page and operator.get(stored).content == content
        document_files.write(path, b"something else")
        assert operator.get(stored).url.endswith(reverse("admin:billing_invoice_change", args=[invoice.pk]))
        assert operator.get(address).status_code == 404


def test_an_invoice_is_overdue_here_by_the_customers_rule(
    invoice: Invoice, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour after its last day is over in Seoul, it is not over yet in Honolulu."""
    day = invoice.due_on + timedelta(days=1)
    at = datetime(day.year, day.month, day.day, 0, 30, tzinfo=ZONE)
    monkeypatch.setattr("console.invoices.timezone", SimpleNamespace(now=lambda: at))
    operator.cookies["invoicedream_language"] = "ko"
    for zone, words in (("Asia/Seoul", "연체"), ("Pacific/Honolulu", "미납")):
        BillingPeriod.objects.filter(pk=invoice.period_id).update(zone=zone)
        shown = Invoice.objects.select_related("period").get()
        assert is_overdue(shown, now=at) == (words == "연체")
        for address in (reverse("admin:billing_invoice_changelist"), address_of(shown)):
            assert f">{words}<" in "".join(operator.get(address).content.decode().split()), address
        listed = operator.get(reverse("admin:billing_invoice_changelist"), {"overdue": "yes"})
        assert listed.context["cl"].result_count == (words == "연체")


def test_a_quotation_is_made_for_a_customer(operator: Client, cast: Cast, now: datetime) -> None:
    set_seller(now=now - timedelta(days=9), **stories.SELLER)
    address = reverse("admin:quote", args=[cast.acme.organization.pk])
    day = (now + timedelta(days=30)).date().isoformat()
    for volumes in ("nobody/knows-it 1 1", f"{stories.DEVSTRAL} many"):
        refused(operator, address, {"volumes": volumes, "valid_until": day})
    carry_out(
        operator,
        address,
        {"volumes": f"{stories.DEVSTRAL} 100,000,000 50000000 1000\n", "valid_until": day, "subject": "Trial"},
    )
    quotation = Quotation.objects.get()
    assert (quotation.total, quotation.created_by, quotation.subject) == (10_890, cast.operator, "Trial")
    pdf = operator.get(reverse("admin:quotation_pdf", args=[quotation.pk]))
    assert pdf.content.startswith(b"%PDF-")
