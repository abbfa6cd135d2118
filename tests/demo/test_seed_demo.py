"""The demo, made small: complete, repeatable, able to go on after an interruption, and honest in its books."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core.management import CommandError, call_command
from django.db import connections
from pytest_django import Settings

from accounts.api_keys import InvalidKey, identify_api_key, identify_service_key
from accounts.models import ApiKey, BillingProfile, Organization, Role, User
from accounts.tenancy import TenantQuerySet
from billing import cycle
from billing.models import BillingTerms, CreditNote, Invoice, InvoiceLine, OutboxMail, Payment, Quotation, Refund
from catalog import price_book
from catalog.models import ExchangeRate, LanguageModel
from demo.cast import ZONE
from demo.closing import close_first_month
from demo.progress import Progress
from demo.seeding import Outcome, seed_demo
from ledger.models import Balance, BillingPeriod, CreditGrant
from metering.models import UsageEvent
from pricing.rating import rate
from pricing.tokens import TokenUsage
from tests.stories import NOON, forget_what_processes_remember

SCALE = 0.03


@pytest.fixture
def file(tmp_path: Path, db: None) -> Path:
    forget_what_processes_remember()
    return tmp_path / "var" / "demo.json"


def seed(file: Path, *, now: datetime = NOON, progress: Progress | None = None) -> Outcome:
    return seed_demo(now=now, write=file, scale=SCALE, progress=progress)


def events() -> TenantQuerySet[UsageEvent]:
    return UsageEvent.objects.using("system")


def test_three_months_of_two_companies(file: Path) -> None:
    outcome = seed(file)
    assert outcome.calls == events().count() > 500
    acme, globex = (Organization.objects.using("system").get(slug=slug) for slug in ("acme", "globex"))
    assert events().for_organization(acme).count() > 2 * events().for_organization(globex).count() > 0
    first, last = events().order_by("occurred_at").first(), events().order_by("occurred_at").last()
    assert datetime(2026, 8, 31, 15, tzinfo=UTC) <= first.occurred_at < datetime(2026, 9, 2, tzinfo=UTC)
    assert NOON - timedelta(days=2) < last.occurred_at <= NOON
    assert all(event.received_at >= event.occurred_at for event in events())
    used = events().values_list("model_id", flat=True).distinct()
    models = LanguageModel.objects.using("system").filter(pk__in=used)
    assert models.count() > 30
    assert all(model.description_ko and model.description_en and model.context_length for model in models)
    assert events().filter(requested_model_id__isnull=False).exists()


def test_the_books_are_in_order_and_the_oldest_month_is_closed(file: Path) -> None:
    seed(file)
    output = StringIO()
    call_command("audit", stdout=output)
    assert "All invariants hold" in output.getvalue()
    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM metering_unratedusage")
        assert cursor.fetchone() == (0,)
    periods = BillingPeriod.objects.using("system")
    assert periods.count() == 6
    closed = periods.filter(status=BillingPeriod.Status.CLOSED)
    assert {period.starts_at for period in closed} == {datetime(2026, 8, 31, 15, tzinfo=UTC)} and closed.count() == 2
    assert not CreditGrant.objects.using("system").exists()
    for balance in Balance.objects.using("system"):
        assert 0 < balance.unbilled * Decimal("1.1") < balance.credit_line


def test_one_invoice_is_paid_and_the_other_waits_for_the_visitor(file: Path, settings: Settings) -> None:
    shown = {name: text or "1" for name, text in settings.SELLER.items()} | {
        "name": "주식회사 바닥글",
        "registration_number": "999-81-00015",
        "phone": "02-111-1111",
    }
    settings.SELLER = shown
    seed(file)
    invoices = {invoice.organization.slug: invoice for invoice in Invoice.objects.using("system").all()}
    acme, globex = invoices["acme"], invoices["globex"]
    assert (acme.status, globex.status) == (Invoice.Status.OPEN, Invoice.Status.PAID)
    assert (acme.issued_on, acme.due_on) == (date(2026, 10, 2), date(2026, 10, 16)), "the usual fourteen days"
    assert (acme.seller["legal_name"], acme.seller["phone"]) == (shown["name"], shown["phone"]), (
        "as every page names us"
    )
    assert acme.amount_due == acme.total > 0
    assert acme.exact_subtotal == sum(
        line.exact_amount for line in InvoiceLine.objects.using("system").filter(invoice=acme)
    )
    payments = Payment.objects.using("system").order_by("created_at", "-amount")
    assert {(payment.invoice_id, payment.status) for payment in payments} == {(globex.pk, Payment.Status.SUCCEEDED)}
    assert sum(payment.amount for payment in payments) == globex.total
    assert cycle.due_periods(now=NOON) == [], "the month before is the visitor's to close"
    assert {period.organization_slug for period in cycle.periods_of_month("2026-10", now=NOON)} == {"acme", "globex"}
    kinds = OutboxMail.objects.using("system").order_by("kind").values_list("kind", flat=True)
    assert sorted(set(kinds)) == ["credit_note", "invoice", "receipt", "refund"]
    assert set(OutboxMail.objects.using("system").values_list("next_attempt_at", flat=True)) == {NOON}, "none is late"


def test_globex_shows_what_can_become_of_an_invoice(file: Path) -> None:
    """A discount in the first month only, two transfers, a credit note, money sent back, a quotation; again it stays so."""
    seed(file)
    for _time in range(2):
        globex = Organization.objects.using("system").get(slug="globex")
        invoice = Invoice.objects.using("system").get(organization=globex)
        [discount] = InvoiceLine.objects.using("system").filter(invoice=invoice, kind="discount")
        assert -discount.exact_amount * 20 == sum(
            line.exact_amount for line in InvoiceLine.objects.using("system").filter(invoice=invoice, kind="usage")
        )
        terms = BillingTerms.objects.using("system").filter(organization=globex).order_by("effective_from")
        assert [row.discount for row in terms] == [Decimal("0.05"), 0], "the visitor's months are at list prices"
        payments = Payment.objects.using("system").filter(invoice=invoice).count()
        assert payments == (2 if invoice.amount_due > 10_000 * 1.5 else 1)
        [note] = CreditNote.objects.using("system").all()
        [refund] = Refund.objects.using("system").all()
        assert (refund.status, refund.amount, note.invoice_id) == (Refund.Status.SUCCEEDED, note.total, invoice.pk)
        assert Quotation.objects.using("system").get().organization_id == globex.pk
        close_first_month(first_day=date(2026, 9, 1), now=NOON + timedelta(minutes=1))
    call_command("audit")


def test_the_companies_can_be_billed_and_their_people_sign_in(file: Path) -> None:
    facts = seed(file).access
    profile = BillingProfile.objects.using("system").get(organization__slug="acme")
    assert (profile.legal_name, profile.registration_number) == ("에이크미 주식회사", "999-81-00029")
    assert "가상" in profile.address
    for other in BillingProfile.objects.using("system"):
        assert is_valid_registration_number(other.registration_number)
    roles = dict(
        Organization.objects.using("system")
        .filter(slug="acme")
        .values_list("memberships__user__email", "memberships__role")
    )
    assert roles == {
        "owner@acme.example": Role.OWNER,
        "developer@acme.example": Role.DEVELOPER,
        "viewer@acme.example": Role.VIEWER,
    }
    users = User.objects.db_manager("system")
    for email, password in [
        (facts["email"], facts["password"]),
        ("viewer@acme.example", facts["password"]),
        (facts["globex_email"], facts["globex_password"]),
        (facts["operator_email"], facts["operator_password"]),
    ]:
        user = users.get(email=email)
        assert user.check_password(password)
        assert EmailAddress.objects.using("system").get(user=user).verified
        assert user.is_staff == (email == facts["operator_email"])
    assert len({facts[name] for name in ("password", "globex_password", "operator_password")}) == 3


def test_the_file_opens_the_doors_and_is_nobody_elses_to_read(file: Path, settings: Settings) -> None:
    facts = seed(file).access
    assert json.loads(file.read_text()) == facts
    assert file.stat().st_mode & 0o777 == 0o600
    assert (facts["site"], facts["gateway"], facts["console"]) == (
        settings.SITE_URL,
        settings.GATEWAY_URL,
        settings.CONSOLE_URL,
    )
    assert identify_api_key(facts["api_key"], now=NOON).organization_slug == facts["organization"] == "acme"
    assert identify_api_key(facts["globex_api_key"], now=NOON).organization_slug == "globex"
    assert len(identify_service_key(facts["service_key"], now=NOON).organization_ids or ()) == 2
    authenticator = Authenticator.objects.using("system").get(user__email=facts["operator_email"])
    code = format_hotp_value(hotp_value(facts["operator_totp_secret"], list(yield_hotp_counters_from_time())[-1]))
    assert TOTP(authenticator).validate_code(code)
    assert facts.keys() >= {"mailbox", "email", "password", "operator_email", "operator_password"}


def test_a_second_start_keeps_everything(file: Path) -> None:
    first = seed(file)
    count, written = events().count(), file.stat().st_mtime_ns
    second = seed(file, now=NOON + timedelta(hours=5))
    assert (second.calls, second.access) == (None, first.access)
    assert (events().count(), file.stat().st_mtime_ns) == (count, written)


def test_lost_secrets_are_issued_anew_and_the_old_ones_end(file: Path) -> None:
    before = seed(file).access
    file.unlink()
    after = seed(file, now=NOON + timedelta(minutes=1)).access
    secret = {"password", "api_key", "globex_api_key", "operator_totp_secret", "service_key"}
    assert all(before[name] != after[name] for name in secret)
    with pytest.raises(InvalidKey):
        identify_api_key(before["api_key"], now=NOON + timedelta(minutes=2))
    identify_api_key(after["api_key"], now=NOON + timedelta(minutes=2))
    assert User.objects.db_manager("system").get(email=after["email"]).check_password(after["password"])


def test_a_file_of_another_installation_is_not_believed(file: Path) -> None:
    facts = seed(file).access
    file.write_text(json.dumps(facts | {"installation": "another", "password": "guess"}))
    assert seed(file).access["password"] != "guess"
    file.write_text("{")
    assert seed(file).access["email"] == "owner@acme.example"


def test_a_revoked_key_is_replaced_and_the_password_kept(file: Path) -> None:
    before = seed(file).access
    ApiKey.objects.using("system").filter(name="quickstart").update(revoked_at=NOON)
    after = seed(file, now=NOON + timedelta(minutes=1)).access
    assert (after["password"], after["service_key"]) == (before["password"], before["service_key"])
    assert after["api_key"] != before["api_key"]


class Interrupted(Exception):
    pass


class InterruptedHalfWay(Progress):
    def advance(self, done: int, *, of: int, note: str) -> None:
        if done > of / 2:
            raise Interrupted


def test_an_interrupted_seeding_goes_on_where_it_stopped(file: Path) -> None:
    with pytest.raises(Interrupted):
        seed(file, progress=InterruptedHalfWay())
    halfway = events().count()
    assert halfway and not file.exists() and not Invoice.objects.using("system").exists()
    outcome = seed(file, now=NOON + timedelta(days=1))
    assert outcome.calls == events().count() > halfway
    assert events().order_by("-occurred_at").first().occurred_at <= NOON
    call_command("audit", stdout=StringIO())


def test_months_that_begin_later_have_their_exchange_rate(file: Path) -> None:
    seed(file)
    quote = price_book.quote(
        terms=price_book.PUBLIC_TERMS,
        model=price_book.find_model("mistralai/devstral-small"),
        prompt_tokens=500_000,
        at=NOON + timedelta(days=60),
    )
    assert rate(TokenUsage(input_tokens=500_000, output_tokens=500_000), quote.unit_prices) == 66
    assert quote.exchange and quote.exchange.source == "demo"
    before = ExchangeRate.objects.using("system").count()
    seed(file, now=NOON + timedelta(days=90))
    assert ExchangeRate.objects.using("system").count() == before + 3


def test_calls_follow_the_rhythm_of_a_company(file: Path) -> None:
    seed(file)
    local = [event.occurred_at.astimezone(ZONE) for event in events().for_organization(acme_id())]
    by_day = [sum(1 for at in local if at.weekday() == day) for day in range(7)]
    assert min(by_day[:5]) > max(by_day[5:])
    assert sum(1 for at in local if 9 <= at.hour < 18) > len(local) / 3
    september, october = (sum(1 for at in local if at.month == month) for month in (9, 10))
    assert october > september
    rows = events().for_organization(acme_id())
    assert rows.filter(cache_read_tokens__gt=0).exists() and rows.filter(cache_write_tokens__gt=0).exists()
    assert rows.filter(reasoning_tokens__gt=0).exists() and rows.filter(images__gt=0).exists()
    assert rows.filter(amount=0).exists()


def test_the_command_shows_its_steps(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.management.commands.seed_demo.seed_demo", small_seed)
    output = StringIO()
    call_command("seed_demo", write=file, stdout=output)
    lines = output.getvalue().splitlines()
    assert lines[0].startswith("  Demo: catalog") and "models" in lines[0]
    assert lines[-2].startswith("  Demo: usage") and "calls" in lines[-2]
    assert lines[-1].startswith("  Demo: invoices") and lines[-1].endswith("2 for 2026-09")
    assert "\r" not in output.getvalue()
    output = StringIO()
    call_command("seed_demo", write=file, stdout=output)
    assert output.getvalue().splitlines() == [line for line in output.getvalue().splitlines() if "kept" in line]


def small_seed(*, now: datetime, write: Path, progress: Progress) -> Outcome:
    return seed_demo(now=now, write=write, progress=progress, scale=SCALE)


def test_the_command_refuses_a_real_system(settings: Settings) -> None:
    settings.DEMO = False
    with pytest.raises(CommandError, match="DEMO=1"):
        call_command("seed_demo")


def acme_id() -> int:
    return Organization.objects.using("system").get(slug="acme").pk


def is_valid_registration_number(number: str) -> bool:
    digits = [int(sign) for sign in number if sign.isdigit()]
    total = sum(digit * weight for digit, weight in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5), strict=False))
    return len(digits) == 10 and (10 - (total + digits[8] * 5 // 10) % 10) % 10 == digits[9]


def test_data_of_another_edition_is_left_alone_and_told(
    file: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.DEMO = True
    seed(file)
    before = events().count()
    assert not seed(file).outdated
    monkeypatch.setattr("demo.seeding.EDITION", 99)
    output = StringIO()
    call_command("seed_demo", write=file, stdout=output)
    assert "made by another edition" in output.getvalue() and "make reset" in output.getvalue()
    assert seed(file).outdated and events().count() == before
