"""`setup_production` asks a real company for what its invoices need, checks the answers, and makes the first operator."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import User
from billing.models import InvoiceSeries
from billing.sellers import current_seller
from tests import stories
from tests.stories import NOON

ANSWERS: dict[str, Any] = {
    "legal_name": "주식회사 예시",
    "legal_name_en": "",
    "registration_number": "2208162517",
    "representative": "김대표",
    "address": "서울특별시 중구 세종대로 110",
    "address_en": "",
    "business_type": "정보통신업",
    "business_item": "소프트웨어",
    "mail_order_number": "",
    "email": "billing@company.example",
    "phone": "",
    "bank_name": "한빛은행",
    "bank_account": "123-456-789012",
    "bank_holder": "주식회사 예시",
    "operator_email": "first@company.example",
}


@pytest.fixture(autouse=True)
def keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "a long and boring password")


def test_a_company_can_invoice_after_answering(db: None) -> None:
    call_command("setup_production", series="EX", **ANSWERS)
    seller = current_seller(now=timezone.now())
    assert (seller.legal_name, seller.registration_number) == ("주식회사 예시", "220-81-62517")
    assert (InvoiceSeries.objects.get().prefix, seller.payment_days) == ("EX", 14)
    operator = User.objects.get(email="first@company.example")
    assert operator.is_staff and operator.check_password("a long and boring password")


def test_a_change_of_details_is_a_new_version_and_keeps_the_series(db: None) -> None:
    call_command("setup_production", series="EX", **ANSWERS)
    call_command("setup_production", series="OTHER", **(ANSWERS | {"address": "부산광역시"}))
    assert current_seller(now=timezone.now()).address == "부산광역시"
    assert [series.prefix for series in InvoiceSeries.objects.all()] == ["EX"]
    assert User.objects.filter(is_staff=True).count() == 1


@pytest.mark.parametrize(
    ("answer", "value"),
    [("registration_number", "123-45-67890"), ("email", "nobody"), ("legal_name", " "), ("operator_email", "nobody")],
)
def test_a_wrong_answer_is_named(db: None, answer: str, value: str) -> None:
    stories.make_catalog(now=NOON)
    with pytest.raises(CommandError):
        call_command("setup_production", **(ANSWERS | {answer: value}))
    assert not User.objects.filter(is_staff=True).exists()


def test_questions_are_asked_until_they_are_answered(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["", "주식회사 예시", "", "1234567890", "220-81-62517"])
    monkeypatch.setattr("builtins.input", lambda _question: next(typed))
    given = {
        name: value
        for name, value in ANSWERS.items()
        if name not in ("legal_name", "legal_name_en", "registration_number")
    }
    call_command("setup_production", **given)
    assert current_seller(now=timezone.now()).registration_number == "220-81-62517"
