"""A newcomer signs up, confirms the address, is welcomed with credit and a key, and sees the first request arrive."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.core import mail
from django.db import connections
from django.test import Client

from accounts.api_keys import identify_api_key
from accounts.models import ApiKey, Consent, Membership, Organization, Role, User
from accounts.tenancy import tenant_scope
from billing.onboarding import open_first_account
from ledger.models import Balance
from tests import stories
from tests.dashboard.conftest import Browse, text_of

FORM = {
    "email": "Minji@Acme-Labs.example",
    "password1": stories.PASSWORD,
    "password2": stories.PASSWORD,
    "name": "김민지",
    "organization_name": "아크메 연구소",
    "agree_terms": "on",
    "agree_privacy": "on",
}


@pytest.fixture(autouse=True)
def catalog(db: None, clock: time_machine.Traveller) -> None:
    stories.make_catalog(now=stories.NOON)


def confirm_by_mail(client: Client) -> str:
    """Open the link of the last mail, press the button, and say where that leads."""
    link = re.search(r"http://\S+/accounts/confirm-email/\S+?/", str(mail.outbox[-1].body))
    assert link is not None
    path = link[0].partition("testserver")[2]
    assert client.get(path).status_code == 200
    return client.post(path)["Location"]


def test_from_sign_up_to_the_first_request(browse: Browse) -> None:
    client = browse(language="ko")
    answer = client.post("/accounts/signup/", FORM)
    assert answer["Location"] == "/accounts/confirm-email/"
    assert [message.to for message in mail.outbox] == [["minji@acme-labs.example"]]
    assert "안녕하세요" in str(mail.outbox[0].body)
    assert not Organization.objects.using("system").exists(), "nothing is opened for an address that is not confirmed"

    assert confirm_by_mail(client) == "/dashboard"
    assert client.get("/dashboard")["Location"] == "/welcome"
    page = text_of(client.get("/welcome"))
    assert "김민지 님, 환영합니다" in page
    assert "₩5,000" in page

    answer = client.post("/welcome")
    assert "no-store" in answer["Cache-Control"]
    secret = re.search(r"idk_live_\w{38}", answer.content.decode())
    assert secret is not None
    assert answer.content.decode().count(secret[0]) == 4, "in the box, and filled in in three snippets"
    identity = identify_api_key(secret[0], now=stories.NOON)

    organization = Organization.objects.using("system").get()
    assert (organization.name, organization.language) == ("아크메 연구소", "ko")
    assert identity.organization_id == organization.pk
    hint = f"/o/{organization.slug}/first-request"
    assert 'hx-trigger="every' in client.get(hint).content.decode()
    stories.use(organization, at=stories.NOON, api_key_id=identity.api_key_id)
    arrived = client.get(hint)
    assert "hx-trigger" not in arrived.content.decode()
    assert "입력 1,000 토큰, 출력 500 토큰 · ₩0.10" in text_of(arrived)


def test_sign_up_keeps_who_agreed_to_what(browse: Browse) -> None:
    browse(language="en").post("/accounts/signup/", FORM)
    user = User.objects.get()
    assert (user.email, user.name, user.language) == ("minji@acme-labs.example", "김민지", "en")
    consents = Consent.objects.order_by("document").values_list("document", "version", "given_at")
    assert list(consents) == [("privacy", "2026-11-01", stories.NOON), ("terms", "2026-11-01", stories.NOON)]


@pytest.mark.parametrize("missing", ["name", "organization_name", "agree_terms", "agree_privacy"])
def test_sign_up_asks_for_everything(browse: Browse, missing: str) -> None:
    form = {name: value for name, value in FORM.items() if name != missing}
    answer = browse().post("/accounts/signup/", form)
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [missing]
    assert not User.objects.exists()
    assert not mail.outbox


def test_an_address_that_is_taken_is_not_given_away(browse: Browse) -> None:
    stories.make_user("minji@acme-labs.example")
    answer = browse().post("/accounts/signup/", FORM)
    assert answer["Location"] == "/accounts/confirm-email/"
    assert User.objects.count() == 1
    assert "already" in str(mail.outbox[0].body)


def test_however_often_the_account_is_opened_once() -> None:
    user = stories.make_user("minji@acme-labs.example", name="Minji", organization_name="Acme Labs")

    def arrive(_number: int) -> int:
        try:
            return open_first_account(owner=user, now=stories.NOON).pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as visitors:
        assert len(set(visitors.map(arrive, range(8)))) == 1
    organization = Organization.objects.using("system").get()
    assert organization.slug.startswith("acme-labs-")
    with tenant_scope([organization.pk]):
        assert Balance.objects.get().prepaid == 5000


def test_who_was_invited_gets_no_organization_of_their_own(browse: Browse) -> None:
    acme = stories.make_company("acme", now=stories.NOON).organization
    invited = stories.make_member(acme, Role.VIEWER, now=stories.NOON)
    client = browse(invited)
    assert client.get("/dashboard")["Location"] == "/o/acme/"
    assert client.get("/welcome")["Location"] == "/o/acme/"
    assert client.post("/welcome")["Location"] == "/o/acme/"
    assert Membership.objects.using("system").filter(user=invited).count() == 1


def test_the_welcome_page_issues_one_key_only(browse: Browse) -> None:
    client = browse(stories.make_user("minji@acme-labs.example", organization_name="Acme"))
    client.get("/welcome")
    assert client.post("/welcome").status_code == 200
    assert client.post("/welcome").status_code == 302, "sent again, by the browser's reload button"
    assert ApiKey.objects.using("system").count() == 1


def test_a_mail_server_that_is_away_loses_no_sign_up(
    browse: Browse, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: object, **_kwargs: object) -> None:
        raise ConnectionRefusedError

    client = browse(language="ko")
    with monkeypatch.context() as broken:
        broken.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", away)
        assert "다시 보내 드립니다" in text_of(client.post("/accounts/signup/", FORM, follow=True))

    clock.shift(timedelta(minutes=4))  # mails to one address keep three minutes apart
    client.post("/accounts/login/", {"login": FORM["email"], "password": FORM["password1"]})
    assert [message.to for message in mail.outbox] == [["minji@acme-labs.example"]]
