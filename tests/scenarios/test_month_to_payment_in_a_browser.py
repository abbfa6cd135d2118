"""The month ends, as people see it: customer, mailbox, payment page and console in a real browser, in Korean and in English.

Acme reads Korean, Globex English; both live through the same month's end. Every page on the way is looked at as
`tests.scenarios.watching` does.
"""

import pytest
from playwright.sync_api import Browser

from tests.scenarios import paper
from tests.scenarios.conftest import System
from tests.scenarios.protagonists import OTHER, Customer, Mailbox, Operator
from tests.scenarios.test_month_to_payment import last_moment_of_last_month
from tests.scenarios.watching import Visitor

LANGUAGES = pytest.mark.parametrize("language", ["ko", "en"], ids=["korean", "english"])


@pytest.fixture(scope="module")
def customers(system: System, chromium: Browser) -> dict[str, Customer]:
    """Both have chosen their language and seen what the month comes to; then it is closed, for both at once."""
    demo = system.demo
    acme = ("acme", demo["email"], demo["password"], demo["api_key"])
    globex = ("globex", demo["globex_email"], demo["globex_password"], demo["globex_api_key"])
    met = {}
    for language, details in (("ko", acme), ("en", globex)):
        met[language] = Customer(system, Visitor(chromium, language=OTHER[language]), *details)
        met[language].signs_in_and_chooses(language)
        met[language].sees_the_estimate()
    month = f"{last_moment_of_last_month():%Y-%m}"
    closed = system.manage("close_period", "--period", month, "--timeout", "60")
    assert closed.returncode == 0 and "closed 2 of 2" in closed.stdout, closed.stdout + closed.stderr
    return met


@pytest.fixture(scope="module")
def operator(system: System, chromium: Browser) -> Operator:
    operator = Operator(system, Visitor(chromium, language="ko"))
    operator.signs_in()
    return operator


@LANGUAGES
def test_a_month_becomes_a_paid_invoice(
    language: str, customers: dict[str, Customer], operator: Operator, chromium: Browser
) -> None:
    customer, mailbox = customers[language], Mailbox(customers[language], Visitor(chromium, language=language))
    customer.opens_the_invoice()
    customer.reads_amounts_and_lines()
    customer.unfolds_a_line()
    customer.downloads_the_pdf()
    paper.assert_equals(customer.pdf, customer.invoice)
    mailbox.shows_the_invoice()
    customer.pays_by_card()
    mailbox.shows_the_receipt()
    operator.chooses(language)
    operator.finds(customer)


@LANGUAGES
def test_every_page_fits_phone_and_desk(
    language: str, system: System, customers: dict[str, Customer], operator: Operator, chromium: Browser
) -> None:
    """One language by day, the other by night; one page of each kind."""
    dark, seen = language == "en", set[str]()
    stranger, customer = Visitor(chromium, language=language, dark=dark), customers[language]
    operator.chooses(language)
    for visitor, start, at_least in (
        (stranger, f"{system.demo['site']}/accounts/login/", 9),
        (customer.visitor, customer.address(""), 25),
        (operator.visitor, f"{system.demo['console']}/", 50),
    ):
        visitor.turn(dark=dark)
        assert visitor.walk(start, seen=seen) >= at_least, seen


def test_the_books_are_right_afterwards(system: System, customers: dict[str, Customer]) -> None:
    audit = system.manage("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr
