"""A bank statement on the console: looked over before it is taken, matched by a click or by hand, set aside with a reason."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from billing.bank.bank_statements import ZONE
from billing.models import BankDeposit, DepositDecision, Invoice, PayerAlias
from billing.settlement import outstanding
from console.home import deposits_tile
from console.read_only import address_of
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast


def statement(invoice: Invoice, *lines: tuple[str, int]) -> bytes:
    at = (invoice.finalized_at - timedelta(minutes=1)).astimezone(ZONE)
    rows = [f"{at:%Y-%m-%d %H:%M},{payer},{amount},{number}" for number, (payer, amount) in enumerate(lines)]
    return "\n".join(["거래일시,적요,입금액,잔액", *rows]).encode("cp949")


def upload(client: Client, content: bytes, *, language: str = "en", account: str = "123-456-789012") -> tuple[Any, Any]:
    """The page that shows what would be taken, and the answer after it was confirmed."""
    client.cookies["invoicedream_language"] = language
    address = reverse("admin:import_statement")
    assert client.get(address).status_code == 200
    sent = {"account": account, "currency": "KRW"}
    review = client.post(address, sent | {"file": SimpleUploadedFile("statement.csv", content)})
    if review.status_code != 200:
        return review, None
    kept = {name: review.context["form"][name].value() for name in ("account", "currency", "content", "name")}
    return review, client.post(address, kept | {"confirm": "1"})


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_statement_is_looked_over_and_taken(operator: Client, cast: Cast, invoice: Invoice, language: str) -> None:
    due = int(outstanding(invoice))
    content = statement(invoice, ("Acme", due), ("홍길동", due - 1))
    review, answer = upload(operator, content, language=language)
    assert [is_certain for _row, is_certain in review.context["preview"]["rows"]] == [True, False]
    assert {"ko": "매칭됨", "en": "Matched"}[language] in review.content.decode()
    assert answer.status_code == 302
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.PAID
    assert audited("bank_statement.imported", cast).detail["new"] == 2
    assert (deposits_tile().value, deposits_tile().tone) == ("1", "warning")
    for state, payer in (("", "홍길동"), ("matched", "Acme")):
        page = operator.get(reverse("admin:deposits"), {"state": state}).content.decode()
        assert payer in page, state
    assert invoice.number in operator.get(reverse("admin:deposits"), {"state": "matched"}).content.decode()
    review, _answer = upload(operator, content, language=language)
    assert review.context["preview"]["rows"] == []
    assert BankDeposit.objects.count() == 2


def test_a_suggestion_is_confirmed_by_one_click_and_the_payer_remembered(
    operator: Client, cast: Cast, invoice: Invoice
) -> None:
    due = int(outstanding(invoice))
    upload(operator, statement(invoice, ("홍길동", due)))
    page = operator.get(reverse("admin:deposits"))
    [row] = page.context["rows"]
    [one] = row.proposals
    address = reverse("admin:confirm_deposit", args=[row.deposit.pk, one.suggestion.debtor.organization_id])
    assert address in page.content.decode()
    assert operator.get(address).status_code == 405
    operator.post(address, {"plan": "something else"})
    assert not DepositDecision.objects.exists()
    assert operator.post(address, {"plan": one.plan}).status_code == 302
    assert operator.post(address, {"plan": one.plan}).status_code == 302
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.PAID
    assert audited("deposit.matched", cast).detail["because"] == ["exact"]
    assert PayerAlias.objects.get().name == "홍길동"


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_deposit_is_matched_by_hand(operator: Client, cast: Cast, invoice: Invoice, language: str) -> None:
    due = int(outstanding(invoice))
    upload(operator, statement(invoice, ("누구", due + 500), ("아무", 7)))
    first, second = BankDeposit.objects.order_by("line")
    review = carry_out(
        operator, reverse("admin:match_deposit", args=[first.pk]), {"target": invoice.number}, language=language
    )
    assert "500" in review.content.decode()
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.PAID
    carry_out(operator, reverse("admin:match_deposit", args=[second.pk]), {"target": "acme"}, language=language)
    address = reverse("admin:match_deposit", args=[second.pk])
    assert "decided" in refused(operator, address, {"target": "acme"}, steps=1)


def test_a_match_by_hand_does_what_was_read_or_nothing(operator: Client, cast: Cast, invoice: Invoice) -> None:
    """Between reading and confirming, another deposit pays the invoice: this one would become credit."""
    due = int(outstanding(invoice))
    upload(operator, statement(invoice, ("누구", due), ("아무", due)))
    first, second = BankDeposit.objects.order_by("line")
    address = reverse("admin:match_deposit", args=[second.pk])
    read = operator.post(address, {"target": invoice.number}).context["form"]
    carry_out(operator, reverse("admin:match_deposit", args=[first.pk]), {"target": invoice.number})
    answer = operator.post(address, {"target": invoice.number, "plan": read["plan"].value(), "confirm": "1"})
    assert answer.status_code == 422 and "changed meanwhile" in str(answer.context["form"].errors)
    assert BankDeposit.objects.undecided().get() == second


def test_what_cannot_be_matched_says_why(operator: Client, cast: Cast, invoice: Invoice) -> None:
    upload(operator, statement(invoice, ("누구", 500)))
    address = reverse("admin:match_deposit", args=[BankDeposit.objects.get().pk])
    assert "no invoice and no organization" in refused(operator, address, {"target": "nobody"})
    cast.globex.organization.billing_currency = "USD"
    cast.globex.organization.save(using="system")
    assert "another currency" in refused(operator, address, {"target": "globex"})
    assert operator.get(reverse("admin:match_deposit", args=[0])).status_code == 404


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_deposit_is_set_aside_with_a_reason(operator: Client, cast: Cast, invoice: Invoice, language: str) -> None:
    upload(operator, statement(invoice, ("이자", 12)))
    deposit = BankDeposit.objects.get()
    carry_out(
        operator, reverse("admin:set_aside_deposit", args=[deposit.pk]), {"reason": "Interest"}, language=language
    )
    assert "Interest" in operator.get(reverse("admin:deposits"), {"state": "aside"}).content.decode()
    assert audited("deposit.set_aside", cast).detail["reason"] == "Interest"
    assert deposits_tile().tone == "good"


def test_a_bad_file_names_the_line_and_takes_nothing(operator: Client, cast: Cast, invoice: Invoice) -> None:
    for content, said in (
        (statement(invoice, ("Acme", 5)) + b"\n2026-13-01,x,1,", "Line 3"),
        (b"PK\x03\x04\x00", "Excel"),
        (b"nothing,at,all\n1,2,3\n", "No table"),
        (b"a" * (4 * 1024 * 1024 + 1), "4 MB"),
    ):
        answer, _none = upload(operator, content)
        assert answer.status_code == 422
        assert said in answer.content.decode()
    assert not BankDeposit.objects.exists()


def test_deposits_are_searched_by_payer_and_amount(operator: Client, cast: Cast, invoice: Invoice) -> None:
    upload(operator, statement(invoice, ("이자", 1234), ("월세<b>", 99)))
    for wanted, count in (("이자", 1), ("1,234", 1), ("월세", 1), ("nobody", 0), ("", 2), ("9" * 40, 0)):
        page = operator.get(reverse("admin:deposits"), {"q": wanted})
        assert len(page.context["rows"]) == count, wanted
        assert "월세<b>" not in page.content.decode()


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_wrong_match_is_undone(operator: Client, cast: Cast, invoice: Invoice, language: str) -> None:
    due = int(outstanding(invoice))
    upload(operator, statement(invoice, ("Acme", due)))
    decision = DepositDecision.objects.get()
    address = reverse("admin:undo_deposit", args=[decision.pk])
    matched = reverse("admin:deposits") + "?state=matched"
    assert address in operator.get(matched).content.decode()
    review = carry_out(operator, address, {"reason": "Of somebody else"}, language=language).content.decode()
    assert invoice.number in review and f"₩{due:,}" in review
    invoice.refresh_from_db()
    assert (invoice.status, outstanding(invoice)) == (Invoice.Status.OPEN, due)
    assert audited("deposit.undone", cast).detail["reason"] == "Of somebody else"
    assert "Of somebody else" in operator.get(reverse("admin:deposits")).content.decode()
    assert address not in operator.get(matched).content.decode()
    assert operator.get(address).status_code == 404
    assert operator.get(address_of(invoice)).status_code == 200


@pytest.mark.parametrize("language", ["ko", "en"])
def test_what_the_bank_took_back_is_shown_with_its_match_to_undo(
    operator: Client, cast: Cast, invoice: Invoice, language: str
) -> None:
    due = int(outstanding(invoice))
    upload(operator, statement(invoice, ("Acme", due)))
    review, answer = upload(operator, statement(invoice, ("Acme", due), ("Acme", -due)), language=language)
    [said] = [value for label, value in review.context["review"] if str(label) in ("The bank took back", "입금 취소")]
    assert "Acme" in said and f"₩{due:,}" in said and {"ko": "3행", "en": "line 3"}[language] in said
    assert answer["Location"].endswith("?state=taken-back")
    page = operator.get(answer["Location"]).content.decode()
    decision = DepositDecision.objects.get(undone_at=None)
    undo = reverse("admin:undo_deposit", args=[decision.pk])
    assert undo in page and {"ko": "매칭 취소", "en": "Undo the match"}[language] in page
    carry_out(operator, undo, {"reason": "The bank took it back"})
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.OPEN
    assert DepositDecision.objects.get(undone_at=None).kind == DepositDecision.Kind.SET_ASIDE
    page = operator.get(reverse("admin:deposits"), {"state": "taken-back"}).content.decode()
    assert undo not in page
