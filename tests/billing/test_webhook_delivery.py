"""An endpoint hears of a notice at least once, signed, under one id; failures are tried again, private addresses are refused."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing.models import Notice, OutboxMail, WebhookDelivery, WebhookEndpoint
from billing.notifications import webhook_delivery, webhook_endpoints
from billing.notifications.notices import tell_endpoints
from billing.notifications.noticing import notice_all
from billing.notifications.webhook_addresses import is_public
from billing.notifications.webhook_delivery import deliver, deliver_waiting
from metering.limiting import set_limit
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON


class Listener:
    """A customer's program: what it got, and what it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status, self.location, self.length = 204, "", 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.got.append((dict(self.headers), body))
                self.send_response(owner.status)
                if owner.location:
                    self.send_header("Location", owner.location)
                self.end_headers()
                self.wfile.write(b"x" * owner.length)

            def log_message(self, *_: Any) -> None:
                """Nothing on the tests' output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    thread = threading.Thread(target=listener.server.serve_forever, daemon=True)
    thread.start()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


@pytest.fixture
def cast(db: None, settings: Settings) -> stories.Cast:
    settings.DEMO = True
    return stories.meet_the_cast(now=NOON)


@pytest.fixture
def acme(cast: stories.Cast) -> stories.Company:
    return cast.acme


def register(company: stories.Company, url: str) -> tuple[WebhookEndpoint, str]:
    return webhook_endpoints.register(organization=company.organization, url=url, actor=company.owner, now=NOON)


def make_notice(company: stories.Company) -> Notice:
    """A limit of which more than half is used."""
    set_limit(organization=company.organization, amount=Decimal(100), actor=None, now=NOON)
    stories.use(company.organization, at=NOON, usage=TokenUsage(input_tokens=1_000_000, output_tokens=0))
    [notice] = notice_all(now=NOON)
    return notice


def only() -> WebhookDelivery:
    return WebhookDelivery.objects.using("system").select_related("endpoint").get()


def test_a_notice_arrives_signed_and_with_its_figures(acme: stories.Company, listener: Listener) -> None:
    _endpoint, secret = register(acme, listener.url)
    notice = make_notice(acme)
    assert deliver_waiting(now=NOON) == 1
    [(headers, body)] = listener.got
    seconds, signed = (part.partition("=")[2] for part in headers["InvoiceDream-Signature"].split(","))
    expected = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(signed, expected)
    assert int(seconds) == NOON.timestamp()
    event = json.loads(body)
    assert (event["id"], event["type"], event["organization"]) == (f"evt_{notice.pk.hex}", "limit.threshold", "acme")
    assert event["url"] == f"{django_settings.SITE_URL}/o/acme/limits"
    assert (event["data"]["spent"], event["data"]["amount"], event["data"]["percent"]) == ("72.6", "100", 50)
    assert (only().status, only().attempts) == ("delivered", 1)
    assert deliver_waiting(now=NOON + timedelta(days=1)) == 0


def test_the_documented_check_tells_ours_from_others() -> None:
    """The snippet of docs/webhooks.md, as customers copy it."""
    code = (django_settings.BASE_DIR / "docs" / "webhooks.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    header = webhook_delivery.signature(["whsec_x"], b'{"a":1}', at=timezone.now())
    assert names["is_genuine"]("whsec_x", header, b'{"a":1}')
    assert not names["is_genuine"]("whsec_x", header, b'{"a":2}')
    assert not names["is_genuine"]("whsec_y", header, b'{"a":1}')
    old = webhook_delivery.signature(["whsec_x"], b'{"a":1}', at=timezone.now() - timedelta(minutes=6))
    assert not names["is_genuine"]("whsec_x", old, b'{"a":1}')
    both = webhook_delivery.signature(["whsec_x", "whsec_y"], b'{"a":1}', at=timezone.now())
    assert [names["is_genuine"](f"whsec_{name}", both, b'{"a":1}') for name in "xyz"] == [True, True, False]


def signers(listener: Listener, secrets: dict[str, str]) -> list[str]:
    """Which of these secrets signed the latest call, in the order of its signatures."""
    headers, body = listener.got[-1]
    at, *signatures = (part.partition("=")[2] for part in headers["InvoiceDream-Signature"].split(","))
    signed = f"{at}.".encode() + body
    names = {hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest(): name for name, secret in secrets.items()}
    return [names[one] for one in signatures]


def test_both_secrets_sign_until_the_overlap_ends(acme: stories.Company, listener: Listener) -> None:
    endpoint, first = register(acme, listener.url)
    secrets = {"first": first}

    def rotate(name: str, hours: int, *, now: datetime) -> None:
        overlap = timedelta(hours=hours)
        secrets[name] = webhook_endpoints.rotate_secret(endpoint=endpoint, overlap=overlap, actor=acme.owner, now=now)

    def signers_of_a_test(now: datetime) -> list[str]:
        webhook_endpoints.send_test(endpoint=endpoint, actor=acme.owner, now=now)
        assert deliver_waiting(now=now) == 1
        return signers(listener, secrets)

    rotate("second", 24, now=NOON)
    assert len(set(secrets.values())) == 2
    assert signers_of_a_test(NOON + timedelta(hours=23, minutes=59)) == ["second", "first"]
    assert signers_of_a_test(NOON + timedelta(hours=24)) == ["second"]
    rotate("third", 168, now=NOON + timedelta(days=2))
    rotate("fourth", 24, now=NOON + timedelta(days=2, hours=1))
    assert signers_of_a_test(NOON + timedelta(days=2, hours=2)) == ["fourth", "third"]
    rotate("fifth", 0, now=NOON + timedelta(days=2, hours=3))
    assert signers_of_a_test(NOON + timedelta(days=2, hours=3)) == ["fifth"]


def test_the_previous_secret_can_be_ended_and_a_removed_endpoint_gets_no_other(
    acme: stories.Company, listener: Listener
) -> None:
    endpoint, first = register(acme, listener.url)
    second = webhook_endpoints.rotate_secret(endpoint=endpoint, overlap=timedelta(days=7), actor=acme.owner, now=NOON)
    assert webhook_endpoints.end_overlap(endpoint=endpoint, actor=acme.owner, now=NOON)
    assert not webhook_endpoints.end_overlap(endpoint=endpoint, actor=acme.owner, now=NOON)
    webhook_endpoints.send_test(endpoint=endpoint, actor=acme.owner, now=NOON)
    deliver_waiting(now=NOON)
    assert signers(listener, {"first": first, "second": second}) == ["second"]
    webhook_endpoints.remove(endpoint=endpoint, actor=acme.owner, now=NOON)
    with pytest.raises(webhook_endpoints.Removed):
        webhook_endpoints.rotate_secret(endpoint=endpoint, overlap=timedelta(0), actor=acme.owner, now=NOON)


def test_what_fails_is_tried_again_under_the_same_id(acme: stories.Company, listener: Listener) -> None:
    register(acme, listener.url)
    make_notice(acme)
    listener.status = 500
    deliver_waiting(now=NOON)
    assert (only().status, only().last_error, only().attempts) == ("waiting", "http_500", 1)
    assert only().endpoint.failing_since == NOON
    assert deliver_waiting(now=NOON + timedelta(seconds=29)) == 0
    listener.status = 200
    assert deliver_waiting(now=NOON + timedelta(seconds=30)) == 1
    (first_headers, first), (second_headers, second) = listener.got
    assert first == second
    assert first_headers["InvoiceDream-Signature"] != second_headers["InvoiceDream-Signature"]
    assert only().endpoint.failing_since is None


def test_redirects_are_failures_and_long_answers_are_not_read(acme: stories.Company, listener: Listener) -> None:
    register(acme, listener.url)
    make_notice(acme)
    listener.status, listener.location = 302, f"{listener.url}/elsewhere"
    deliver_waiting(now=NOON)
    assert only().last_error == "redirected"
    listener.status, listener.location, listener.length = 200, "", 50_000_000
    assert deliver_waiting(now=NOON + timedelta(hours=1)) == 1
    assert len(listener.got) == 2


def test_nobody_at_home_is_said_so(acme: stories.Company, listener: Listener) -> None:
    register(acme, "http://127.0.0.1:9/")
    make_notice(acme)
    deliver_waiting(now=NOON)
    assert only().last_error == "could_not_connect"


@pytest.mark.parametrize(
    ("answer", "failure"),
    [(b"hello\r\n\r\n", "answer_unreadable"), (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "answer_unreadable")],
    ids=["no HTTP", "a head without end"],
)
def test_an_answer_that_is_none_is_said_so(
    acme: stories.Company, listener: Listener, monkeypatch: pytest.MonkeyPatch, answer: bytes, failure: str
) -> None:
    monkeypatch.setattr(
        listener.server.RequestHandlerClass, "send_response", lambda handler, status: handler.wfile.write(answer)
    )
    register(acme, listener.url)
    make_notice(acme)
    deliver_waiting(now=NOON)
    assert only().last_error == failure


def test_who_does_not_answer_in_time_is_said_so(
    acme: stories.Company, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> int:
        raise TimeoutError

    monkeypatch.setattr(webhook_delivery, "_post", never)
    register(acme, listener.url)
    make_notice(acme)
    deliver_waiting(now=NOON)
    assert only().last_error == "timed_out"


def test_an_endpoint_that_fails_for_days_is_switched_off_and_told_by_mail(
    acme: stories.Company, listener: Listener
) -> None:
    endpoint, _secret = register(acme, f"{listener.url}?token=hush")
    make_notice(acme)
    listener.status = 410
    deliver_waiting(now=NOON)
    deliver_waiting(now=NOON + timedelta(days=3))
    endpoint.refresh_from_db(using="system")
    assert endpoint.disabled_at == NOON + timedelta(days=3)
    assert {row.status for row in WebhookDelivery.objects.using("system").all()} == {"failed"}
    told = Notice.objects.using("system").get(kind=Notice.Kind.WEBHOOK_DISABLED)
    assert told.data["url"] == listener.url, "neither mails nor other endpoints carry a token"
    mails = OutboxMail.objects.using("system").filter(context__notice=str(told.pk))
    assert [mail.recipient for mail in mails] == [acme.owner.email]
    assert deliver_waiting(now=NOON + timedelta(days=4)) == 0
    assert webhook_endpoints.switch_on(endpoint=endpoint, actor=acme.owner, now=NOON)
    assert not webhook_endpoints.switch_on(endpoint=endpoint, actor=acme.owner, now=NOON)


def test_a_delivery_is_given_up_in_the_end(acme: stories.Company, listener: Listener) -> None:
    register(acme, listener.url)
    make_notice(acme)
    WebhookDelivery.objects.using("system").update(attempts=webhook_delivery.MAX_ATTEMPTS - 1)
    listener.status = 500
    deliver_waiting(now=NOON)
    assert only().status == "failed"


def test_two_workers_send_once(acme: stories.Company, listener: Listener) -> None:
    register(acme, listener.url)
    make_notice(acme)
    delivery = only()
    seen: list[str | None] = []

    def work() -> None:
        seen.append(deliver(organization_id=acme.organization.pk, delivery_id=delivery.pk, now=NOON))
        connections.close_all()

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen, key=str) == [None, None, None, "delivered"]
    assert len(listener.got) == 1


def test_an_endpoint_with_many_calls_does_not_stand_before_the_others(
    acme: stories.Company, cast: stories.Cast, listener: Listener
) -> None:
    register(acme, listener.url)
    notice = make_notice(acme)
    first = only()
    with tenant_scope([acme.organization.pk]):
        for number in range(20):
            again = {"kind": notice.kind, "data": {}, "created_at": NOON, "key": f"again:{number}"}
            other = Notice.objects.create(organization=acme.organization, **again)
            webhook_delivery_of(first, other, at=NOON - timedelta(minutes=1))
    webhook_endpoints.send_test(endpoint=register(cast.globex, listener.url)[0], actor=None, now=NOON)
    assert deliver_waiting(now=NOON) == 22
    assert [json.loads(body)["organization"] for _headers, body in listener.got[:3]] == ["acme", "globex", "acme"]


def webhook_delivery_of(like: WebhookDelivery, notice: Notice, *, at: datetime) -> None:
    WebhookDelivery.objects.create(
        organization_id=like.organization_id, endpoint=like.endpoint, notice=notice, next_attempt_at=at, created_at=at
    )


def test_a_test_goes_to_one_endpoint_and_not_twice_at_once(acme: stories.Company, listener: Listener) -> None:
    endpoint, _secret = register(acme, listener.url)
    register(acme, listener.url)
    webhook_endpoints.send_test(endpoint=endpoint, actor=acme.owner, now=NOON)
    with pytest.raises(webhook_endpoints.TestsTooFast):
        webhook_endpoints.send_test(endpoint=endpoint, actor=acme.owner, now=NOON)
    assert deliver_waiting(now=NOON) == 1
    event = json.loads(listener.got[0][1])
    assert (event["type"], event["url"]) == ("webhook.test", f"{django_settings.SITE_URL}/o/acme/webhooks")
    assert not OutboxMail.objects.using("system").exists()


def test_no_table_holds_a_secret(acme: stories.Company, listener: Listener) -> None:
    endpoint, secret = register(acme, listener.url)
    assert secret.startswith("whsec_") and len(secret) == 70
    assert webhook_endpoints.secrets_of(endpoint, now=NOON) == [secret]
    [row] = WebhookEndpoint.objects.using("system").values()
    entries = [entry.detail for entry in AuditEntry.objects.using("system").filter(action__startswith="webhook")]
    assert secret not in str(row) + str(entries)
    assert entries == [{"url": listener.url.removesuffix("hooks") + "…"}], "what follows the host may be secret"


def test_a_removed_endpoint_hears_nothing_more(acme: stories.Company, listener: Listener) -> None:
    endpoint, _secret = register(acme, listener.url)
    make_notice(acme)
    assert webhook_endpoints.remove(endpoint=endpoint, actor=acme.owner, now=NOON)
    assert not webhook_endpoints.remove(endpoint=endpoint, actor=acme.owner, now=NOON)
    assert deliver_waiting(now=NOON) == 0
    assert listener.got == []


def test_an_organization_has_a_handful(acme: stories.Company, listener: Listener) -> None:
    for _number in range(webhook_endpoints.MOST):
        register(acme, listener.url)
    with pytest.raises(webhook_endpoints.TooMany):
        register(acme, listener.url)
    with tenant_scope([acme.organization.pk]):
        assert webhook_endpoints.endpoints_of(acme.organization).count() == webhook_endpoints.MOST


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.acme.example/",
        "ftp://hooks.acme.example/",
        "https://",
        "https://user:pass@hooks.acme.example/",
        "https://hooks.acme.example/#x",
        "https://hooks.acme.example/\r\nX: y",
        "https://localhost/",
        "https://db.internal/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://hooks.acme.example:99999/",
        f"https://hooks.acme.example/{'x' * 500}",
    ],
    ids=range(18),
)
def test_addresses_that_are_refused_outside_the_demo(acme: stories.Company, settings: Settings, url: str) -> None:
    settings.DEMO = False
    with pytest.raises(webhook_endpoints.BadUrl):
        register(acme, url)


def test_a_public_address_is_taken(acme: stories.Company, settings: Settings) -> None:
    settings.DEMO = False
    assert register(acme, "https://hooks.acme.example:8443/a?b=c")[0].url == "https://hooks.acme.example:8443/a?b=c"


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
    ],
)
def test_what_is_on_the_internet(text: str, public: bool) -> None:
    assert is_public(ip_address(text)) == public


def test_a_name_that_leads_home_is_not_called(
    acme: stories.Company, listener: Listener, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is public when it is registered; its address is looked at when something is sent."""
    settings.DEMO = False
    port = listener.server.server_port
    register(acme, f"https://hooks.acme.example:{port}/")
    make_notice(acme)

    async def lead_home(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", lead_home)
    deliver_waiting(now=NOON)
    assert only().last_error == "address_refused"
    assert listener.got == []


def test_an_endpoint_that_was_down_long_ago_is_not_given_up_for_one_failure(
    acme: stories.Company, listener: Listener
) -> None:
    """Nothing was sent to it in between, so nobody knows how long it was down."""
    register(acme, listener.url)
    make_notice(acme)
    listener.status, now = 503, NOON
    while only().status == "waiting":
        now = only().next_attempt_at if only().attempts else now
        deliver_waiting(now=now)
    assert (only().attempts, now < NOON + timedelta(days=3)) == (20, True)
    later = NOON + timedelta(days=10)
    with tenant_scope([acme.organization.pk]):
        tell_endpoints(organization=acme.organization, kind=Notice.Kind.KEY_CREATED, key="later", data={}, now=later)
    deliver_waiting(now=later)
    listener.status = 204
    deliver_waiting(now=later + timedelta(minutes=2))
    assert WebhookDelivery.objects.using("system").get(notice__key="later").status == "delivered"


def test_a_rotation_that_is_sent_twice_keeps_the_secret_that_programs_have(
    acme: stories.Company, listener: Listener
) -> None:
    endpoint, in_use = register(acme, listener.url)
    given = [
        webhook_endpoints.rotate_secret(
            endpoint=endpoint, overlap=timedelta(hours=24), actor=acme.owner, now=NOON + timedelta(milliseconds=after)
        )
        for after in (0, 200)
    ]
    rotated = WebhookEndpoint.objects.using("system").get()
    assert webhook_endpoints.secrets_of(rotated, now=NOON + timedelta(minutes=1)) == [given[1], in_use]
