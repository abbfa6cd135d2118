"""Payment methods on the site: to the processor's page and back, by everybody's rights; and over REST."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.models import Membership, Role
from billing.cards import automatic
from billing.models import CardSetup
from tests.billing.collecting import DUE, House, moment, type_card
from tests.billing.keeping import leave_card, methods
from tests.dashboard.conftest import text_of

PAGE = "/o/acme/settings/payment"


def browser(house: House) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    client.cookies["invoicedream_language"] = "en"
    client.force_login(house.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def test_a_card_is_added_chosen_and_removed(house: House) -> None:
    client = browser(house)
    assert "No card yet" in text_of(client.get(PAGE))
    answer = client.post(f"{PAGE}/add")
    assert answer.status_code == 302
    _status, back = type_card(answer["Location"])
    assert back.endswith(f"{PAGE}?setup=done")
    shown = text_of(client.get(f"{PAGE}?setup=done"))
    assert "The card is on file" in shown and "Visa 4242 Default December 2034" in shown
    second = leave_card(house, "authenticates_once")
    said = text_of(client.post(PAGE, {"action": "default", "method": second.pk}, follow=True))
    assert "Visa 3155 is the card that you pay with now." in said and "Visa 3155 Default" in said
    said = text_of(client.post(PAGE, asked(client, open="charge"), follow=True))
    assert "As soon as it is issued, each invoice is charged to this card: Visa 3155" in said
    invoice = text_of(client.get(f"/o/acme/invoices/{house.invoice.pk}"))
    assert "It will be charged to your card by itself (Visa 3155," in invoice
    said = text_of(client.post(PAGE, {"action": "remove", "method": second.pk}, follow=True))
    assert "charged to this card by themselves" in said and "Visa 3155 Default" in said
    client.post(PAGE, {"action": "automatic_off"})
    said = text_of(client.post(PAGE, {"action": "remove", "method": second.pk}, follow=True))
    assert "Visa 3155 is removed. It will not be charged any more." in said
    assert "Visa 4242 Default" in said


def asked(client: Client, **choice: str) -> dict[str, str]:
    """What the page that asks before automatic payment sends."""
    page = client.get(f"{PAGE}?automatic=ask").content.decode()
    [seen] = re.findall(r'name="seen" value="([^"]*)"', page)
    return {"action": "automatic_on", "seen": seen} | choice


def test_automatic_payment_shows_what_it_would_charge_before_it_is_on(house: House) -> None:
    """Nothing is charged for what the customer was not shown; and they may let it begin with the next invoice."""
    client = browser(house)
    assert client.get(f"{PAGE}?automatic=ask").status_code == 302, "there is no card yet"
    leave_card(house)
    shown = text_of(client.get(f"{PAGE}?automatic=ask"))
    assert f"{house.invoice.number} Within minutes ₩{DUE:,} Sum, VAT included ₩{DUE:,}" in shown
    said = text_of(client.post(PAGE, {"action": "automatic_on"}, follow=True))
    assert "Your open invoices have changed. Please look at them again." in said and "Within minutes" in said
    said = text_of(client.post(PAGE, asked(client, open="leave"), follow=True))
    assert "Automatic payment is on." in said and "are not charged: please pay them on their pages." in said
    assert automatic.charge_due(now=moment()) == 0
    assert not automatic.charge(
        organization_id=house.organization_id, invoice_id=house.invoice.pk, earlier=0, now=moment()
    )
    assert "by itself" not in text_of(client.get(f"/o/acme/invoices/{house.invoice.pk}"))
    client.post(PAGE, {"action": "automatic_off"})
    client.post(PAGE, asked(client, open="charge"))
    assert automatic.charge_due(now=moment()) == 1
    client.post(PAGE, {"action": "automatic_off"})
    assert "No invoice is open that would be charged now." in text_of(client.get(f"{PAGE}?automatic=ask"))


def test_the_page_waits_while_the_processor_does_not_answer(house: House) -> None:
    client = browser(house)
    url = client.post(f"{PAGE}/add", headers={"HX-Request": "true"})["HX-Redirect"]
    type_card(url)
    house.processor.order({"fault": "drop", "where": "GET /v1/checkout", "times": 2})
    assert "Your card is being confirmed" in text_of(client.get(f"{PAGE}?setup=done"))
    assert client.get(f"{PAGE}/progress").status_code == 204
    assert client.get(f"{PAGE}/progress")["HX-Refresh"] == "true"
    assert "The card is on file" in text_of(client.get(f"{PAGE}?setup=done"))
    assert len(methods(house)) == 1


def test_leaving_the_page_adds_nothing(house: House) -> None:
    client = browser(house)
    client.post(f"{PAGE}/add")
    assert "You left the page" in text_of(client.get(f"{PAGE}?setup=canceled"))
    house.processor.order({"fault": "drop", "where": "/v1/checkout"})
    CardSetup.objects.using("system").update(status="ended", action_url="")
    said = text_of(client.post(f"{PAGE}/add", follow=True))
    assert "The payment service does not answer at the moment." in said


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.VIEWER, Role.BILLING])
def test_who_may_change(house: House, role: Role) -> None:
    method = leave_card(house)
    Membership.objects.using("system").filter(user=house.owner).update(role=role)
    client = browser(house)
    page = text_of(client.get(PAGE))
    assert "Visa 4242" in page and ("Switch automatic payment on" in page) == (role == Role.BILLING)
    expected = 302 if role == Role.BILLING else 403
    for deed in ({"action": "automatic_on"}, {"action": "default", "method": method.pk}):
        assert client.post(PAGE, deed).status_code == expected
    assert client.post(f"{PAGE}/add").status_code == expected


@pytest.mark.parametrize("deed", [{"action": "sell"}, {"action": "remove"}, {"action": "remove", "method": "9" * 30}])
def test_what_no_button_sends_is_refused(house: House, deed: dict[str, str]) -> None:
    assert browser(house).post(PAGE, deed).status_code == 400
    assert browser(house).post(PAGE, {"action": "remove", "method": "12345"}).status_code == 404


def test_an_expired_card_and_an_installation_without_cards_say_so(house: House, settings: Settings) -> None:
    method = leave_card(house)
    method.expires_on = (moment() - timedelta(days=1)).date()
    method.save(using="system")
    assert "Visa 4242 Default Expired" in text_of(browser(house).get(PAGE))
    method.removed_at = moment()
    method.save(using="system")
    settings.STRIPE_SECRET_KEY = ""
    assert "Cards are not taken here" in text_of(browser(house).get(PAGE))
    assert browser(house).post(f"{PAGE}/add").status_code == 404


def test_cards_are_read_over_rest(house: House) -> None:
    method = leave_card(house)
    answer = Client().get("/api/v1/payment_methods", headers=house.cast.acme.headers)
    [card] = answer.json()["data"]
    assert answer.json()["automatic_payment"] is False
    assert (card["id"], card["label"], card["is_default"]) == (str(method.pk), "Visa 4242", True)
    assert card["expires_on"] == "2034-12-31"
    assert "customer" not in str(card)
    neighbour = Client().get("/api/v1/payment_methods", headers=house.cast.globex.headers)
    assert neighbour.json() == {"data": [], "automatic_payment": False}
