"""Every list and detail renders, in both languages, and nothing on it can be changed."""

import ast
import re
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import translation

from accounts.alarms import clear_alarm, raise_alarm
from billing.invoicing import close_period
from billing.models import (
    AuditRun,
    AutomaticTopUp,
    BouncingAddress,
    CreditNote,
    CreditNoteLine,
    CreditNoteProposal,
    CreditPayout,
    Document,
    Invoice,
    InvoiceSeries,
    OutboxMail,
    Payment,
    PaymentMethod,
    ProcessorEvent,
    ProcessorOutflow,
    Refund,
    TaxInvoice,
    WriteOff,
)
from billing.papers.quotations import Item, make_quotation
from billing.sellers import set_seller
from billing.terms import set_terms
from billing.what_if import Volume
from catalog.models import CostTable, UpstreamBill
from catalog.upstreams import add_route, add_upstream
from console.own_words import in_words
from ledger.event_ids import new_id
from ledger.holds import HoldRequest, reserve
from ledger.models import BillingPeriod, CreditGrant, CreditUse
from ledger.questions import question_expired
from metering.models import UnratedUsage, UsageEvent
from tests import stories
from tests.stories import Cast, use


@pytest.fixture
def story(cast: Cast, now: datetime, request: pytest.FixtureRequest) -> Cast:
    """A month that was invoiced, paid and mailed; this month's usage; something that waits, something in doubt."""
    acme = cast.acme.organization
    set_seller(now=now - timedelta(days=100), **stories.SELLER)
    last_month = now - timedelta(days=32)
    for number in range(3):
        use(acme, at=last_month, now=last_month, key=f"old-{number}")
    use(acme, at=now - timedelta(minutes=5))
    use(acme, at=now - timedelta(minutes=4), model="nobody/knows-it")
    question_a_hold(cast, now=now)
    period = BillingPeriod.objects.using("system").filter(organization=acme).earliest("starts_at")
    invoice = close_period(organization_id=acme.pk, period_id=period.pk, now=now)
    assert invoice is not None
    draft_of_globex(cast, at=last_month, now=now)
    Document.objects.using("system").create(
        organization=acme, invoice=invoice, kind="invoice", path="x.pdf", sha256="0" * 64, size=1, rendered_at=now
    )
    make_quotation(
        organization=acme,
        items=[
            Item(model=stories.LanguageModel.objects.get(slug=stories.DEVSTRAL), volume=Volume(input_tokens=1_000_000))
        ],
        valid_until=now.date() + timedelta(days=9),
        actor=cast.operator,
        now=now,
    )
    BouncingAddress.objects.using("system").create(
        organization=acme, address="gone@acme.example", reason="550 No such mailbox", bounced_at=now
    )
    TaxInvoice.objects.using("system").create(
        organization=acme,
        invoice=invoice,
        occasion="original",
        mgt_key="A",
        status="failed",
        write_date=invoice.written_on,
        issue_from=now.date(),
        due_on=now.date(),
        purpose="claimed",
        tax_type="taxable",
        supply=10,
        tax=1,
        total=11,
        items=[],
        supplier={},
        buyer={"name": "에이크미", "registration_number": "120-81-47521"},
        created_at=now,
    )
    Payment.objects.using("system").create(
        organization=acme,
        invoice=invoice,
        processor="stripe",
        amount=1,
        currency="KRW",
        status="failed",
        idempotency_key=str(uuid4()),
        created_at=now,
    )
    ProcessorOutflow.objects.using("system").create(
        organization=acme, payment=Payment.objects.using("system").first(), kind="dispute", processor="stripe",
        reference="dp_1", amount=1, currency="KRW", status="needs_response", noticed_at=now, changed_at=now,
    )  # fmt: skip
    PaymentMethod.objects.using("system").create(
        organization=acme,
        processor="stripe",
        customer_reference="cus_1",
        reference="pm_1",
        label="Visa 4242",
        created_at=now,
    )
    AutomaticTopUp.objects.using("system").create(
        organization=acme, is_on=True, threshold=1, amount=2, monthly_cap=3, stopped_at=now, failure="expired_card"
    )
    CreditNoteProposal.objects.using("system").create(
        organization=acme,
        invoice=invoice,
        reason="The upstream had lowered its price.",
        currency="KRW",
        subtotal_change=-10,
        tax_change=-1,
        total_change=-11,
        exact_change=-10,
        event_count=3,
        lines=[],
        created_at=now,
    )
    correct(invoice, now=now)
    AuditRun.objects.using("system").create(
        started_at=now, finished_at=now, is_clean=False, invariants=30, violations={"12": ["organization_id 1"]}
    )
    upstream = add_upstream(
        slug="second",
        cost_table_id=CostTable.objects.using("system").get(slug="openrouter").pk,
        facts={
            "name": "Second",
            "kind": "openai_compatible",
            "base_url": settings.UPSTREAM_URLS[0],
            "key_variable": "",
        },
        now=now,
        actor=None,
    )
    add_route(
        upstream_id=upstream.pk, language_model_id=None, upstream_model="", priority=5, now=now, actor=cast.operator
    )
    UpstreamBill.objects.using("system").create(
        upstream="second",
        day=now.date(),
        billed=stories.Decimal("1.5"),
        recorded=stories.Decimal("1.4"),
        checked_at=now,
    )
    raise_alarm(kind="price_feed", subject="openrouter", summary="The price list could not be read.", now=now)
    ProcessorEvent.objects.using("system").create(
        processor="stripe", event_id="evt_1", type="charge.failed", payload={"a": 1}, received_at=now
    )
    return cast


def correct(invoice: Invoice, *, now: datetime) -> None:
    """A credit note, a refund of it that failed, unused credit that goes back, and a write-off."""
    grant = CreditGrant.objects.using("system").filter(organization=invoice.organization).first()
    use = CreditUse.objects.using("system").create(organization=invoice.organization, grant=grant, amount=1, at=now)
    CreditPayout.objects.using("system").create(
        organization=invoice.organization, credit_use=use, key="x", currency="KRW", reason="x", taken_at=now
    )
    series = InvoiceSeries.objects.using("system").create(prefix="CN", credit_notes_of_id=invoice.series_id)
    note = CreditNote.objects.using("system").create(
        organization=invoice.organization,
        invoice=invoice,
        series=series,
        sequence=1,
        number="CN-000001",
        reason_code="02",
        reason="Agreed by phone",
        language="ko",
        currency="KRW",
        tax_rate="0.1",
        subtotal=10,
        tax=1,
        total=11,
        applied=0,
        to_credit=0,
        to_refund=11,
        credit_returned=0,
        issued_on=now.date(),
        issued_at=now,
        seller=invoice.seller,
        buyer=invoice.buyer,
    )
    line = invoice.lines.using("system").first()
    CreditNoteLine.objects.using("system").create(
        organization=invoice.organization, credit_note=note, invoice_line=line, amount=10
    )
    Refund.objects.using("system").create(
        organization=invoice.organization,
        payment=Payment.objects.using("system").get(),
        credit_note=note,
        processor="stripe",
        amount=11,
        currency="KRW",
        status="failed",
        failure="expired_card",
        idempotency_key="refund-1",
        created_at=now,
    )
    WriteOff.objects.using("system").create(
        organization=invoice.organization, invoice=invoice, amount=1, reason="Insolvent", written_off_at=now
    )


def draft_of_globex(cast: Cast, *, at: datetime, now: datetime) -> None:
    globex = cast.globex.organization
    set_terms(
        organization=globex,
        month=at.astimezone(stories.SEOUL).date(),
        minimum_fee=stories.Decimal(50_000),
        discount=stories.Decimal("0.1"),
        zero_invoices="always",
        reviewed=True,
        reason="Contract 7",
        actor=cast.operator,
        now=now,
    )
    use(globex, at=at, now=at)
    period = BillingPeriod.objects.using("system").get(organization=globex)
    assert close_period(organization_id=globex.pk, period_id=period.pk, now=now) is None


def question_a_hold(cast: Cast, *, now: datetime) -> None:
    at = now - timedelta(hours=2)
    model_id = cast.acme.organization.pk and stories.LanguageModel.objects.get(slug=stories.DEVSTRAL).pk
    request = HoldRequest(
        organization_id=cast.acme.organization.pk,
        id=new_id(at),
        created_at=at,
        expires_at=at + timedelta(minutes=15),
        api_key_id=cast.acme.key.pk,
        model_id=model_id,
        amount=stories.Decimal(10),
        request_id="req_1",
        upstream="sandbox",
    )
    assert reserve([request]) == [None]
    assert question_expired(now=now) == 1


@pytest.fixture
def signed_in(story: Cast, operator: Client) -> Client:
    return operator


def rows_of_every_model() -> list[tuple[str, str, object]]:
    """App and model name of everything registered, and its newest row."""
    from console.areas import site  # its widgets want Unfold's templates, so not before this process is a console

    return [(m._meta.app_label, m._meta.model_name, m._default_manager.order_by("-pk").first()) for m in site._registry]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_list_and_detail_renders(signed_in: Client, language: str) -> None:
    signed_in.cookies["invoicedream_language"] = language
    for app, model, row in rows_of_every_model():
        address = reverse(f"admin:{app}_{model}_changelist")
        page = signed_in.get(address)
        assert page.status_code == 200, address
        assert f'lang="{language}"' in page.content.decode()
        assert "선택" not in page.context["title"] and "Select" not in page.context["title"], (
            "a title is what the list holds"
        )
        assert signed_in.get(address, {"q": "acme"}).status_code == 200, address
        assert row is not None, f"the story has no {model}"
        detail = signed_in.get(reverse(f"admin:{app}_{model}_change", args=[row.pk]))
        assert detail.status_code == 200, (app, model)
        assert " object (" not in detail.content.decode(), (app, model)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_pages_are_titled_as_the_menu_calls_them(signed_in: Client, language: str) -> None:
    signed_in.cookies["invoicedream_language"] = language
    groups = signed_in.get("/").context["sidebar_navigation"]
    entries = [(str(item["title"]), item["link"]) for group in groups for item in group["items"]]
    assert len(entries) > 40
    titles = [(str(signed_in.get(link).context["title"]), link) for _title, link in entries]
    assert titles == entries


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_page_of_our_own_renders(signed_in: Client, story: Cast, language: str) -> None:
    signed_in.cookies["invoicedream_language"] = language
    event = UsageEvent.objects.order_by("-id").first()
    addresses = [
        "/",
        "/usage/",
        "/usage/?month=2020-01",
        "/usage/?month=nonsense",
        "/usage/requests/",
        "/usage/requests/?organization=acme",
        f"/usage/requests/?organization=acme&evidence=1&model={stories.DEVSTRAL}",
        "/usage/requests/?request_id=nothing&before=nonsense",
        f"/usage/requests/acme/{event.id}/",
        "/usage/unrated/",
        "/usage/holds/",
        "/usage/holds/?status=open",
        f"/organizations/{story.acme.organization.pk}/ledger/",
        f"/organizations/{story.acme.organization.pk}/ledger/?kind=nonsense&before=nonsense",
        "/monthly-run/",
        "/monthly-run/?month=nonsense",
        "/deposits/",
        "/dunning/",
        "/deposits/?state=matched&q=nobody",
        "/deposits/?state=aside&page=nonsense",
        "/simulation/",
        "/search/?s=invoice",
        "/password_change/",
        "/second-factor/",
    ]
    for address in addresses:
        assert signed_in.get(address).status_code == 200, address


def test_what_a_request_cost_can_be_followed(signed_in: Client) -> None:
    event = UsageEvent.objects.order_by("-id").first()
    text = signed_in.get(f"/usage/requests/acme/{event.id}/").content.decode()
    assert "1000 × 0.00000004 × (1 + 0.1) × 1500 + 500 × 0.00000004 × (1 + 0.1) × 1500" in text
    assert signed_in.get(f"/usage/requests/globex/{event.id}/").status_code == 404


def test_what_a_customer_used_opens_by_model_and_then_to_its_requests(signed_in: Client) -> None:
    home = signed_in.get("/")
    month = home.context["month"].name
    assert f"/usage/?organization=acme&amp;month={month}" in home.content.decode()
    page = signed_in.get(f"/usage/?organization=acme&month={month}")
    [row] = page.context["rows"]
    assert (row.model.slug, row.requests) == (stories.DEVSTRAL, 1)
    assert row.revenue == home.context["totals"][0].revenue
    address = f"/usage/requests/?{row.query}&month={month}"
    assert address.replace("&", "&amp;") in page.content.decode()
    assert len(signed_in.get(address).context["rows"]) == 1
    assert len(signed_in.get("/usage/requests/?organization=acme").context["rows"]) == 4
    assert signed_in.get("/usage/?organization=nobody").status_code == 404


def test_long_lists_go_on_overleaf(
    signed_in: Client, story: Cast, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.paging.PER_PAGE", 1)
    use(story.globex.organization, at=now - timedelta(minutes=3))
    use(story.acme.organization, at=now - timedelta(minutes=2), model="nobody/knows-it-either")
    for address, rows in (("/usage/", "rows"), ("/usage/unrated/", "groups")):
        first = signed_in.get(address)
        assert first.context["first_page"] is None
        second = signed_in.get(address + first.context["next_page"])
        assert second.context["next_page"] is None and second.context["first_page"]
        assert [len(page.context[rows]) for page in (first, second)] == [1, 1]
        assert first.context[rows] != second.context[rows]
    assert len(first.context["rows"]) == 1
    one = signed_in.get("/usage/unrated/?model=nobody/knows-it")
    assert [row["event"].model for row in one.context["rows"]] == ["nobody/knows-it"]


def test_home_counts_what_wants_attention(signed_in: Client) -> None:
    tiles = {str(tile.url): tile for tile in signed_in.get("/").context["tiles"]}
    assert tiles["/usage/unrated/"].value == "1" and tiles["/usage/unrated/"].tone == "warning"
    assert tiles["/usage/holds/"].value == "1"
    for address in tiles:
        assert signed_in.get(address).status_code == 200


def test_what_waits_is_listed_with_the_way_out(signed_in: Client) -> None:
    assert UnratedUsage.objects.count() == 1
    text = signed_in.get("/usage/unrated/").content.decode()
    assert "nobody/knows-it" in text and "/do/models/new/?model=nobody/knows-it" in text


def test_nothing_can_be_added_changed_or_deleted(signed_in: Client) -> None:
    for app, model, row in rows_of_every_model():
        assert signed_in.get(reverse(f"admin:{app}_{model}_add")).status_code == 403, model
        assert (
            signed_in.post(reverse(f"admin:{app}_{model}_change", args=[row.pk]), {"_save": "1"}).status_code == 403
        ), model
        assert (
            signed_in.post(reverse(f"admin:{app}_{model}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        ), model
        assert signed_in.post(
            reverse(f"admin:{app}_{model}_changelist"), {"action": "delete_selected"}
        ).status_code in {
            200,
            302,
            403,
        }
        assert type(row).objects.filter(pk=row.pk).exists()


def test_secrets_are_nowhere(signed_in: Client, story: Cast) -> None:
    key = story.acme.key
    detail = signed_in.get(reverse("admin:accounts_apikey_change", args=[key.pk])).content.decode()
    assert key.prefix in detail and story.acme.secret not in detail and bytes(key.digest).hex() not in detail
    user = signed_in.get(reverse("admin:accounts_user_change", args=[story.acme.owner.pk])).content.decode()
    assert story.acme.owner.password not in user


def test_the_mail_of_an_invoice_leads_to_it(signed_in: Client) -> None:
    mail, invoice = OutboxMail.objects.get(), Invoice.objects.get()
    text = signed_in.get(reverse("admin:billing_outboxmail_change", args=[mail.pk])).content.decode()
    assert reverse("admin:billing_invoice_change", args=[invoice.pk]) in text


def test_dates_are_written_as_everywhere(signed_in: Client, story: Cast) -> None:
    address = reverse("admin:accounts_organization_changelist")
    signed_in.cookies["invoicedream_language"] = "ko"
    created = story.acme.organization.created_at.astimezone(stories.SEOUL)
    assert f"{created:%Y.%m.%d %H:%M}" in signed_in.get(address).content.decode()
    signed_in.cookies["invoicedream_language"] = "en"
    assert f"{created:%Y-%m-%d %H:%M}" in signed_in.get(address).content.decode()


def test_open_alarms_stand_on_top_of_the_home(signed_in: Client, now: datetime) -> None:
    signed_in.cookies["invoicedream_language"] = "en"
    home = signed_in.get("/")
    assert [row["alarm"].subject for row in home.context["alarms"]] == ["openrouter"]
    text = home.content.decode()
    assert "Price feed" in text and "The price list could not be read." in text
    for row in home.context["alarms"]:
        assert signed_in.get(row["url"]).status_code == signed_in.get(row["known"].place()).status_code == 200
    for number in range(7):
        raise_alarm(kind="something_new", subject=f"no {number}", summary="<b>Look</b>", now=now)
    text = signed_in.get("/").content.decode()
    assert "3 more alarms" in text and "<b>Look</b>" not in text and "something_new" in text
    for number in range(7):
        clear_alarm(kind="something_new", subject=f"no {number}", now=now)
    clear_alarm(kind="price_feed", subject="openrouter", now=now)
    assert "alarms-title" not in signed_in.get("/").content.decode()


def test_alarms_are_listed_open_or_over(signed_in: Client, now: datetime) -> None:
    clear_alarm(kind="price_feed", subject="openrouter", now=now)
    raise_alarm(kind="exchange_rate", subject="USD/KRW", summary="No rate for 8 days.", now=now)
    address = reverse("admin:accounts_alarm_changelist")

    def listed(**query: str) -> set[str]:
        return {alarm.subject for alarm in signed_in.get(address, query).context["cl"].result_list}

    assert listed() == {"openrouter", "USD/KRW"}
    assert (listed(state="open"), listed(state="over")) == ({"USD/KRW"}, {"openrouter"})
    assert (listed(q="8 days"), listed(kind="exchange_rate")) == ({"USD/KRW"}, {"USD/KRW"})


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("source_name", "InvoiceDream gateway", "인보이스랩 게이트웨이"),
        ("upstream", "openrouter", "OpenRouter"),
        ("reason", "Trial credit", "체험 크레딧"),
        ("reason", "Overpayment, INV-000007", "초과 입금, INV-000007"),
        ("outcome", "nothing to do", "처리할 내용 없음"),
        ("reason", "Sorry for the trouble", "Sorry for the trouble"),
        ("band", "0", "조건 0"),
        ("target", "top-up", "충전"),
        ("target", "INV-000007", "INV-000007"),
        ("outcome", None, None),
    ],
)
def test_texts_of_ours_are_read_in_ones_own_language(field: str, text: str | None, words: str | None) -> None:
    with translation.override("ko"):
        assert in_words(field, text) == words


def test_every_deed_of_the_audit_log_is_in_words() -> None:
    from console.audit import ACTIONS

    written = set()
    for app in ("accounts", "billing", "catalog", "console", "ledger", "metering"):
        for file in (settings.BASE_DIR / app).rglob("*.py"):
            if "write_audit_entry(" in (text := file.read_text()):
                calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
                given = (value for call in calls for value in (*call.args, *(word.value for word in call.keywords)))
                texts = (part.value for value in given for part in ast.walk(value) if isinstance(part, ast.Constant))
                written |= {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z_]+\.[a-z_]+", text)}
    assert written >= {"payment.succeeded", "webhook.removed"}, "so they are found"
    assert written <= set(ACTIONS)


def test_our_own_texts_are_translated_where_they_are_listed(signed_in: Client, story: Cast) -> None:
    signed_in.cookies["invoicedream_language"] = "ko"
    story.acme.organization.name = "Trial credit"  # what somebody typed is nobody's word
    story.acme.organization.save()
    text = signed_in.get(reverse("admin:ledger_creditgrant_changelist")).content.decode()
    assert "체험 크레딧" in text and "Trial credit" in text
    assert "인보이스랩 게이트웨이" in signed_in.get(reverse("admin:accounts_source_changelist")).content.decode()
    sold = signed_in.get("/do/markup/").content.decode()
    assert ">Mistralai<" in sold
