"""Credit on the site: bought on the page or with a card, found open again, and bought by itself; by everybody's rights."""

import re
from decimal import Decimal

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.models import Membership, Role
from accounts.tenancy import tenant_scope
from billing.cards import automatic_top_up
from billing.models import AutomaticTopUp, Payment
from tests.billing.collecting import House, moment, type_card
from tests.billing.keeping import leave_card
from tests.billing.test_payment_method_pages import browser
from tests.dashboard.conftest import text_of

PAGE = "/o/acme/credit"
AMOUNTS = {"automatic-threshold": "10,000", "automatic-amount": "20,000", "automatic-monthly_cap": "50,000"}


def form_key(client: Client) -> str:
    found = re.search(r'name="request_key" value="([0-9a-f-]{36})"', client.get(PAGE).content.decode())
    assert found is not None
    return found[1]


def test_credit_is_bought_on_the_page(house: House) -> None:
    client = browser(house)
    posted = {"amount": "₩50,000", "way": "page", "request_key": form_key(client)}
    answer = client.post(f"{PAGE}/top-up", posted)
    assert answer.status_code == 302
    assert "A top-up of ₩50,000 waits to be paid." in text_of(client.get(PAGE))
    assert client.post(f"{PAGE}/top-up", posted)["Location"] == answer["Location"], "the form once more"
    type_card(answer["Location"])
    shown = text_of(client.get(f"{PAGE}?payment=done"))
    assert "₩50,000 are credit now." in shown and "Credit ₩50,000" in shown
    assert "Payment page ₩50,000 Paid Receipt" in shown
    receipt = re.search(r'href="(/o/acme/payments/[^"]+/receipt)"', client.get(PAGE).content.decode())
    assert receipt is not None and client.get(receipt[1])["Content-Type"] == "application/pdf"


def test_a_card_on_file_buys_at_once_and_the_back_button_buys_nothing(house: House) -> None:
    method = leave_card(house)
    client = browser(house)
    posted = {"amount": "30000", "way": str(method.pk), "request_key": form_key(client)}
    for _time in range(2):
        assert "₩30,000 are credit now." in text_of(client.post(f"{PAGE}/top-up", posted, follow=True))
    assert house.taken() == 30_000


def test_a_refused_card_says_why(house: House) -> None:
    method = leave_card(house, "insufficient_funds")
    client = browser(house)
    posted = {"amount": "30000", "way": str(method.pk), "request_key": form_key(client)}
    said = text_of(client.post(f"{PAGE}/top-up", posted, follow=True))
    assert "Nothing was charged. The limit or balance of the card is not sufficient." in said


def test_a_page_that_was_left_can_be_gone_on_with_or_canceled(house: House) -> None:
    client = browser(house)
    client.post(f"{PAGE}/top-up", {"amount": "30000", "way": "page", "request_key": form_key(client)})
    assert "A payment page is open" in text_of(client.get(f"{PAGE}?payment=canceled"))
    said = text_of(client.post(f"{PAGE}/leave", follow=True))
    assert "The top-up is canceled. Nothing was charged." in said and "A payment page is open" not in said


def test_the_page_waits_while_nothing_is_known(house: House) -> None:
    method = leave_card(house)
    client = browser(house)
    house.processor.order({"fault": "accept-then-drop", "where": "POST /v1/payment_intents"})
    posted = {"amount": "30000", "way": str(method.pk), "request_key": form_key(client)}
    house.processor.order({"fault": "drop", "where": "/v1/payment_intents", "times": 2})
    said = text_of(client.post(f"{PAGE}/top-up", posted, follow=True))
    assert "A top-up of ₩30,000 is being confirmed" in said
    house.processor.call("DELETE", "/sandbox/faults")
    assert client.get(f"{PAGE}/progress")["HX-Refresh"] == "true"
    assert "₩30,000 are credit now." in text_of(client.get(f"{PAGE}?payment=done"))
    assert house.taken() == 30_000


@pytest.mark.parametrize(
    "posted",
    [{"amount": "4,999"}, {"amount": "10,000,001"}, {"amount": "x"}, {"way": "12345"}, {"request_key": "1"}],
    ids=["too little", "too much", "no amount", "a stranger's card", "no key"],
)
def test_what_cannot_be_bought_is_said_in_the_form(house: House, posted: dict[str, str]) -> None:
    client = browser(house)
    good = {"amount": "50000", "way": "page", "request_key": form_key(client)}
    assert client.post(f"{PAGE}/top-up", good | posted).status_code == 422
    assert client.post(f"{PAGE}/top-up", good | posted, headers={"HX-Request": "true"}).status_code == 200
    assert house.payments() == []


def test_automatic_top_ups_are_switched_on_stopped_and_started_again(house: House) -> None:
    client = browser(house)
    assert "With a card on file, credit is bought whenever it runs low" in text_of(client.get(PAGE))
    assert "Add a card first." in text_of(client.post(f"{PAGE}/automatic", AMOUNTS | {"action": "on"}, follow=True))
    leave_card(house, "declines_later")
    said = text_of(client.post(f"{PAGE}/automatic", AMOUNTS | {"action": "on"}, follow=True))
    assert "Automatic top-ups are on." in said and "Automatic top-up On Charged to this card: Visa 0341" in said
    assert automatic_top_up.top_up_all(now=moment()) == 1
    said = text_of(client.get(PAGE))
    assert "Automatic top-up Stopped" in said and "The card was declined." in said and "Start again" in said
    assert "Visa 0341 by itself ₩20,000 Failed" in said
    client.post(f"{PAGE}/automatic", AMOUNTS | {"action": "on"})
    with tenant_scope([house.organization_id]):
        setting = AutomaticTopUp.objects.get()
    assert (setting.runs, setting.monthly_cap) == (True, Decimal(50_000))
    assert "Automatic top-ups are off." in text_of(client.post(f"{PAGE}/automatic", AMOUNTS, follow=True))


@pytest.mark.parametrize(
    ("name", "amount"), [("threshold", "0"), ("amount", "1"), ("monthly_cap", "19,999"), ("threshold", "0.5")]
)
def test_amounts_that_make_no_sense_are_said_in_the_form(house: House, name: str, amount: str) -> None:
    posted = AMOUNTS | {f"automatic-{name}": amount, "action": "on"}
    assert browser(house).post(f"{PAGE}/automatic", posted).status_code == 422


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.VIEWER, Role.BILLING])
def test_who_may_buy(house: House, role: Role) -> None:
    Membership.objects.using("system").filter(user=house.owner).update(role=role)
    client = browser(house)
    page = text_of(client.get(PAGE))
    assert "Available to spend" in page
    assert ("Owners, admins and billing managers can top up credit." in page) == (role != Role.BILLING)
    status = client.post(f"{PAGE}/top-up", {}).status_code
    assert status == (422 if role == Role.BILLING else 403)


def test_an_installation_without_cards_says_so(house: House, settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = ""
    client = browser(house)
    assert "Cards are not taken here" in text_of(client.get(PAGE))
    for deed in ("top-up", "automatic"):
        assert client.post(f"{PAGE}/{deed}", AMOUNTS).status_code == 404


def test_top_ups_are_payments_over_rest(house: House) -> None:
    client = browser(house)
    answer = client.post(f"{PAGE}/top-up", {"amount": "30000", "way": "page", "request_key": form_key(client)})
    type_card(answer["Location"])
    client.get(f"{PAGE}?payment=done")
    [payment] = Client().get("/api/v1/payments", headers=house.cast.acme.headers).json()["data"]
    assert (payment["invoice_id"], payment["invoice_number"], payment["amount"]) == (None, "", "30000")
    assert (payment["status"], Payment.objects.using("system").get().invoice_id) == ("succeeded", None)
