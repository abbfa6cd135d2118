"""`POST /api/v1/invoices/{id}/pay` and `GET /api/v1/payments`: who may, what comes back, what each trouble answers."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.models import Role, Scope
from billing.bank.bank_transfers import record_transfer
from billing.payments import unresolved
from tests import stories
from tests.billing.collecting import DUE, House, moment, type_card


def signed_in(house: House, role: Role = Role.OWNER) -> Client:
    user = house.cast.acme.owner
    if role != Role.OWNER:
        user = stories.make_member(house.cast.acme.organization, role, now=moment())
    client = Client(headers={"X-Organization": "acme"}, raise_request_exception=False)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def pay(house: House, client: Client, invoice_id: object = None) -> HttpResponse:
    return client.post(f"/api/v1/invoices/{invoice_id or house.invoice.pk}/pay")


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN, Role.BILLING])
def test_starting_to_pay(house: House, role: Role) -> None:
    answer = pay(house, signed_in(house, role))
    assert answer.status_code == 200
    payment = answer.json()
    assert payment == {
        "id": str(house.payment().pk),
        "invoice_id": str(house.invoice.pk),
        "invoice_number": house.invoice.number,
        "processor": "stripe",
        "amount": "2260",
        "currency": "KRW",
        "status": "requires_action",
        "action_url": house.payment().action_url,
        "failure": "",
        "payer_name": "",
        "created_at": payment["created_at"],
        "settled_at": None,
    }
    type_card(payment["action_url"])
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    again = pay(house, signed_in(house))
    assert (again.status_code, again.json()["error"]["code"]) == (409, "invoice_not_open")


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.VIEWER])
def test_others_may_not_pay(house: House, role: Role) -> None:
    assert pay(house, signed_in(house, role)).status_code == 403


def test_keys_may_not_pay(house: House) -> None:
    answer = pay(house, Client(headers=house.cast.acme.headers))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
    assert house.payments() == []


def test_a_browser_needs_the_csrf_token(house: House) -> None:
    client = Client(headers={"X-Organization": "acme"}, enforce_csrf_checks=True)
    client.force_login(house.cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert pay(house, client).status_code == 403
    assert house.payments() == []


def test_neither_neighbours_nor_unknown_invoices(house: House) -> None:
    neighbour = Client()
    neighbour.force_login(house.cast.globex.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert pay(house, neighbour).status_code == 404
    assert pay(house, signed_in(house), uuid4()).status_code == 404
    assert neighbour.get("/api/v1/payments").json() == {"data": [], "next_cursor": None}
    assert house.payments() == []


def test_a_processor_that_does_not_answer(house: House) -> None:
    house.processor.order("accept-then-drop")
    answer = pay(house, signed_in(house))
    assert (answer.status_code, answer.json()["status"], answer.headers["Retry-After"]) == (202, "unknown", "5")


def test_without_cards_the_answer_is_the_bank_account(house: House, settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = ""
    answer = pay(house, signed_in(house))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "card_payment_not_possible")


def test_listing_payments(house: House) -> None:
    for number in range(5):
        record_transfer(
            organization_id=house.organization_id,
            invoice_id=house.invoice.pk,
            amount=Decimal(DUE if number == 4 else 1 + number),
            payer_name="에이크미(주)",
            key=f"line-{number}",
            received_at=moment(),
            actor=None,
            now=moment(),
        )
    client = Client(headers=house.cast.acme.headers)
    found, cursor, turns = [], "", 0
    while cursor is not None:
        page = client.get("/api/v1/payments", {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        found += page["data"]
        cursor, turns = page["next_cursor"], turns + 1
    assert turns == 3
    assert [payment["amount"] for payment in found] == ["2260", "4", "3", "2", "1"]
    assert {payment["payer_name"] for payment in found} == {"에이크미(주)"}
    only = client.get("/api/v1/payments", {"invoice": str(house.invoice.pk)}).json()["data"]
    assert len(only) == 5
    assert client.get("/api/v1/payments", {"invoice": str(uuid4())}).json()["data"] == []


@pytest.mark.parametrize("cursor", ["x", "WzFd", "WyIyMDI2LTExLTAyVDAwOjAwOjAwIiwieCJd"])
def test_a_cursor_of_another_list_is_refused(house: House, cursor: str) -> None:
    answer = Client(headers=house.cast.acme.headers).get("/api/v1/payments", {"cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "cursor")


def test_a_key_needs_to_read(house: House) -> None:
    _key, secret = stories.make_key(house.cast.acme.organization, now=moment(), scopes=[Scope.INFERENCE])
    assert Client(headers=stories.bearer(secret)).get("/api/v1/payments").status_code == 403
