"""`GET /api/v1/credit_notes` and what invoices say of their notes and refunds."""

from django.test import Client

from tests.billing.collecting import DUE, House, moment
from tests.billing.correcting import REFUND, note_on, refund
from tests.billing.test_bank_transfers import transfer
from tests.billing.test_refunds import by_hand


def get(house: House, path: str) -> dict[str, object]:
    answer = Client(headers=house.cast.acme.headers).get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.content
    body: dict[str, object] = answer.json()
    return body


def test_a_note_with_its_lines_and_refunds(house: House) -> None:
    transfer(house)
    note = note_on(house, {1: 1005}, money_back=REFUND)
    by_hand(house, note.pk, amount=note.total)
    found = get(house, f"credit_notes/{note.pk}")
    amounts = ("supply_value", "tax", "total", "applied", "to_credit", "to_refund", "credit_returned")
    assert [found[name] for name in amounts] == ["1005", "100", "1105", "0", "0", "1105", "0"]
    assert (found["number"], found["invoice_number"], found["reason_code"]) == ("CN-000001", house.invoice.number, "02")
    assert found["lines"] == [
        {
            "invoice_line": 1,
            "kind": "usage",
            "model": "mistralai/devstral-small",
            "token_class": "input",
            "service_month": None,
            "amount": "1005",
        }
    ]
    [sent] = found["refunds"]  # type: ignore[misc]
    assert (sent["amount"], sent["status"], sent["processor"]) == ("1105", "succeeded", "bank_transfer")
    assert sent["id"] == str(refund(house).pk)


def test_the_list_goes_on_by_cursor_and_by_invoice(house: House) -> None:
    numbers = [note_on(house, {1: 1}, now=moment()).number for _time in range(3)]
    first = get(house, "credit_notes?limit=2")
    rest = get(house, f"credit_notes?limit=2&cursor={first['next_cursor']}")
    shown = [row["number"] for row in (*first["data"], *rest["data"])]  # type: ignore[misc]
    assert (shown, rest["next_cursor"]) == (numbers[::-1], None)
    assert len(get(house, f"credit_notes?invoice={house.invoice.pk}")["data"]) == 3  # type: ignore[arg-type]
    assert get(house, "credit_notes?invoice=00000000-0000-4000-8000-000000000000")["data"] == []


def test_an_invoice_names_its_notes_and_what_is_still_to_be_paid(house: House) -> None:
    note = note_on(house, {1: 1000})
    found = get(house, f"invoices/{house.invoice.pk}")
    assert (found["amount_due"], found["amount_outstanding"]) == (str(DUE), str(DUE - 1100))
    assert [row["id"] for row in found["credit_notes"]] == [str(note.pk)]  # type: ignore[attr-defined]
    assert found["refunds"] == []
    [listed] = get(house, "invoices")["data"]  # type: ignore[misc]
    assert listed["amount_outstanding"] == str(DUE - 1100)


def test_pages_show_them_in_both_languages(house: House) -> None:
    transfer(house)
    note = note_on(house, {1: 1000}, money_back=REFUND)
    client = Client()
    client.force_login(house.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    for language, word in (("ko", "수정 청구서"), ("en", "Credit note")):
        client.cookies["invoicedream_language"] = language
        for path in ("credit-notes", f"credit-notes/{note.pk}", f"invoices/{house.invoice.pk}", "invoices"):
            page = client.get(f"/o/{house.cast.acme.organization.slug}/{path}")
            assert page.status_code == 200, path
            assert word in page.content.decode(), (language, path)
