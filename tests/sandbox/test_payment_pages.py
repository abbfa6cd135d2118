"""The processor's hosted pages: choose a card, pass 3-D Secure, come back to the shop."""

import http.client
import time
from urllib.parse import urlencode, urlsplit

import pytest
import stripe

SHOP = "https://shop.example"


def send(url: str, fields: dict[str, str] | None = None, *, language: str = "ko") -> tuple[int, str, str]:
    """Status, Location and body, without following a redirect, as a browser sends it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    headers = {"Accept-Language": language, "Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode(fields) if fields is not None else None
    connection.request("POST" if fields is not None else "GET", f"{parts.path}?{parts.query}", body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("Location", ""), text


def open_session(client: stripe.StripeClient, mode: str, **more):
    params = {
        "mode": mode,
        "success_url": f"{SHOP}/done?session={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{SHOP}/back",
        "customer": client.v1.customers.create({"email": "kim@acme.example", "name": "김하나"}).id,
    }
    if mode == "payment":
        price = {"currency": "krw", "unit_amount": 6_000, "product_data": {"name": "10월 <사용량>"}}
        params["line_items"] = [{"price_data": price, "quantity": 2}]
    return client.v1.checkout.sessions.create({**params, **more})


def test_paying_on_the_page(client, listener):
    session = open_session(client, "payment", client_reference_id="inv-7", metadata={"invoice": "7"})
    status, _, page = send(session.url)
    assert status == 200
    assert "₩12,000" in page and "10월 &lt;사용량&gt;" in page and "결제하기" in page
    assert "Pay</button>" in send(session.url, language="en")[2]
    status, location, _ = send(session.url, {"card": "succeeds"})
    assert (status, location) == (303, f"{SHOP}/done?session={session.id}")
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})
    assert (done.status, done.payment_status) == ("complete", "paid")
    assert done.payment_intent.amount_received == 12_000
    assert done.customer_details.email == "kim@acme.example"
    (event,) = listener.wait_for("checkout.session.completed")
    assert event.data.object.client_reference_id == "inv-7"
    assert "이미 완료된" in send(session.url)[2]


def test_a_long_description_wraps_instead_of_pushing_the_amount_away(processor, client):
    name = "주식회사 이름이아주긴회사 INV-000042 " * 6
    price = {"currency": "krw", "unit_amount": 6_000, "product_data": {"name": name}}
    session = open_session(client, "payment", line_items=[{"price_data": price, "quantity": 1}])
    assert f'<td class="text">{name.strip()} × 1</td>' in send(session.url)[2].replace(f"{name} ×", f"{name.strip()} ×")
    assert "td.text { white-space: normal; }" in send(f"{processor.url}/style.css")[2]


@pytest.mark.parametrize(("card", "message"), [("declines", "거절되었습니다"), ("insufficient_funds", "부족합니다")])
def test_another_card_after_a_refusal(processor, client, card, message):
    session = open_session(client, "payment")
    status, _, page = send(session.url, {"card": card})
    assert status == 402 and message in page
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert send(session.url, {"card": "succeeds"})[0] == 303
    (intent,) = processor.get("/sandbox/ledger")["intents"]
    assert (intent["attempts"], intent["succeeded"]) == (2, 1)
    assert send(session.url, {"card": "succeeds"})[0] == 200
    assert processor.get("/sandbox/ledger")["totals"]["krw"]["charged"] == 12_000


def test_leaving_a_card_for_later(client):
    session = open_session(client, "setup", currency="krw")
    assert "카드 등록하기" in send(session.url)[2]
    assert send(session.url, {"card": "succeeds"})[0] == 303
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert done.status == "complete" and done.setup_intent.status == "succeeded"
    method = client.v1.payment_methods.retrieve(done.setup_intent.payment_method)
    assert method.customer == session.customer
    assert client.v1.customers.payment_methods.list(session.customer).data[0].id == method.id


def test_three_d_secure_on_the_page(client):
    session = open_session(client, "setup", currency="krw")
    address = "{0.scheme}://{0.netloc}".format(urlsplit(session.url))
    _, location, _ = send(session.url, {"card": "authenticates_once"})
    assert "인증 완료" in send(address + location)[2]
    status, back, _ = send(address + location, {"outcome": "failed"})
    assert (status, back) == (303, f"/checkout/{session.id}?problem=authentication")
    assert "본인 인증에 실패" in send(address + back)[2]
    _, location, _ = send(session.url, {"card": "authenticates_once"})
    assert send(address + location, {"outcome": "passed"})[1] == f"{SHOP}/done?session={session.id}"
    method = client.v1.setup_intents.retrieve(session.setup_intent).payment_method
    charge = {"amount": 1_000, "currency": "krw", "customer": session.customer, "payment_method": method}
    assert client.v1.payment_intents.create({**charge, "confirm": True, "off_session": True}).status == "succeeded"


def test_three_d_secure_outside_of_a_session(client):
    charge = {"amount": 1_000, "currency": "krw", "payment_method": "pm_card_authenticationRequired", "confirm": True}
    intent = client.v1.payment_intents.create({**charge, "return_url": f"{SHOP}/return?x=1"})
    assert intent.status == "requires_action"
    url = intent.next_action.redirect_to_url.url
    _, location, _ = send(url, {"outcome": "passed"})
    assert location.startswith(f"{SHOP}/return?x=1&payment_intent={intent.id}&")
    assert location.endswith("redirect_status=succeeded")
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
    assert "끝났습니다" in send(url)[2]


def test_expired_sessions_take_no_card(processor, client):
    session = open_session(client, "payment", locale="en")
    url = session.url
    client.v1.checkout.sessions.expire(session.id)
    assert "has expired" in send(url, {"card": "succeeds"})[2]
    assert processor.get("/sandbox/ledger")["entries"] == []
    assert send(f"{processor.url}/checkout/cs_nothing")[0] == 404


def test_an_expiring_session_ends_what_was_begun_on_it(processor, client, listener):
    session = open_session(client, "payment", expires_at=int(time.time()) + 2)
    address = "{0.scheme}://{0.netloc}".format(urlsplit(session.url))
    _, location, _ = send(session.url, {"card": "authenticates"})
    assert listener.wait_for("checkout.session.expired")
    assert client.v1.checkout.sessions.retrieve(session.id).status == "expired"
    send(address + location, {"outcome": "passed"})
    (intent,) = processor.get("/sandbox/ledger")["intents"]
    assert (intent["status"], intent["succeeded"]) == ("canceled", 0)


def test_sessions_need_lines_of_one_currency(client):
    with pytest.raises(stripe.InvalidRequestError, match="line_items"):
        open_session(client, "payment", line_items=[])
    with pytest.raises(stripe.InvalidRequestError, match="URL"):
        open_session(client, "setup", success_url="javascript:alert(1)")


def test_the_overview_shows_payments(processor, client):
    assert "아직 결제가 없습니다" in send(processor.url + "/")[2]
    client.v1.payment_intents.create(
        {"amount": 12_345, "currency": "krw", "payment_method": "pm_card_visa", "confirm": True}
    )
    assert "₩12,345" in send(processor.url + "/")[2]
