"""Who tells the month's end in a browser: the customer on the dashboard and in the mailbox, the operator in the console."""

import re
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Locator, Page

from tests.scenarios.conftest import System
from tests.scenarios.paper import WORDS, won
from tests.scenarios.watching import Visitor

OTHER = {"ko": "en", "en": "ko"}
TOTP_SECONDS = 30


@dataclass
class Customer:
    """An organization's owner with a browser, and the owner's program with a key."""

    system: System
    visitor: Visitor
    slug: str
    email: str
    password: str
    api_key: str
    invoice: dict[str, Any] = field(default_factory=dict)
    pdf: bytes = b""

    @property
    def page(self) -> Page:
        return self.visitor.page

    @property
    def words(self) -> dict[str, str]:
        return WORDS[self.visitor.language]

    def address(self, path: str) -> str:
        return f"{self.system.demo['site']}/o/{self.slug}/{path}"

    def ask(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.api_key}"}
        answer = requests.get(f"{self.system.demo['site']}/api/v1/{path}", headers=headers, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def signs_in_and_chooses(self, language: str) -> None:
        """The language by the switch on the sign-in page, and that of invoices and mail in the settings; there also to pay by card,
        so that no tax invoice comes first when the month ends after its deadline."""
        self.visitor.open(f"{self.system.demo['site']}/accounts/login/")
        self.page.locator(f"header button[name=language][value={language}]").locator("visible=true").click()
        self.page.locator(f"html[lang={language}]").wait_for()
        self.visitor.language = language
        self.visitor.look()
        self.page.fill("[name=login]", self.email)
        self.page.fill("[name=password]", self.password)
        self.page.click("main form button")
        self.page.wait_for_url(self.address(""))
        self.visitor.open(self.address("settings/billing")).select_option("select[name=language]", language)
        self.page.select_option("select[name=pays_by]", "card")
        self.page.click("main form .form-foot button")
        self.page.get_by_text(self.words["saved"]).wait_for()
        self.visitor.look()

    def sees_the_estimate(self) -> None:
        """Of the running month and of the one that is over, the same won as the API says."""
        overview = self.visitor.open(self.address(""))
        assert overview.inner_text("h1") == self.words["overview"]
        estimate = self.ask("estimates/current")
        [earlier] = estimate["earlier"]
        so_far = overview.locator(".stat").first.inner_text()
        assert won(estimate["current"]["supply_value"]) in so_far and won(estimate["current"]["total"]) in so_far
        assert won(earlier["total"]) in overview.inner_text(".earlier")

    def opens_the_invoice(self) -> None:
        listed = self.visitor.open(self.address("invoices"))
        assert listed.inner_text("h1") == self.words["invoices"]
        [self.invoice] = [self.ask(f"invoices/{found['id']}") for found in self.ask("invoices?limit=1")["data"]]
        row = listed.locator("tr", has_text=self.invoice["number"])
        assert won(self.invoice["total"]) in row.inner_text()
        row.locator("th a").click()
        self.page.wait_for_url(self.address(f"invoices/{self.invoice['id']}"))
        self.visitor.look()

    def reads_amounts_and_lines(self) -> None:
        rows = self.page.locator("dl.breakdown > div").all()
        shown = dict(row.inner_text().split("\n") for row in rows)
        amounts = (
            (name, won(self.invoice[key]))
            for name, key in (("supply", "supply_value"), ("tax", "tax"), ("total", "total"))
        )
        for name, amount in amounts:
            assert shown[self.words[name]] == amount
        assert self.page.locator("details.line").count() == len(self.invoice["lines"])
        for line in self.invoice["lines"]:
            cells = self.page.locator(f"#line-{line['position']} > summary").inner_text()
            assert f"{line['quantity']:,}" in cells and won(line["amount"]) in cells, (line, cells)

    def unfolds_a_line(self) -> None:
        """To the formula, whose factors give the exact amount, and to the requests, one of which is opened."""
        line = max(self.invoice["lines"], key=lambda line: Decimal(line["amount"]))
        drill = self.page.locator(f"#line-{line['position']}")
        drill.locator("summary").click()
        drill.locator(".line-requests").wait_for()
        quantity, cost, markup, rate, result = drill.locator(".formula .factor > span:first-child").all_inner_texts()
        exact = number(quantity) * number(cost) / 1_000_000 * (1 + number(markup) / 100) * number(rate)
        assert number(quantity) == line["quantity"] and exact == number(result) == Decimal(line["exact_amount"])
        behind = self.ask(f"invoices/{self.invoice['id']}/lines/{line['position']}/events")["data"]
        requests_shown = drill.locator(".line-requests tbody a")
        found = [link.get_attribute("href") for link in requests_shown.all()]
        assert found == [f"/o/{self.slug}/requests/{event['id']}" for event in behind[: len(found)]] != []
        self.visitor.look()
        requests_shown.first.click()
        self.page.wait_for_url("**/requests/*")
        self.visitor.look()
        self.page.go_back()

    def downloads_the_pdf(self) -> None:
        self.pdf = downloaded(self.page, f"a[href$='/{self.invoice['id']}/pdf']")

    def pays_by_card(self) -> None:
        """On the processor's page; back on ours, the page itself notices that the money came."""
        self.visitor.open(self.address(f"invoices/{self.invoice['id']}"))
        self.page.click("form.pay-form button")
        self.page.wait_for_url("**/checkout/**")
        self.visitor.look()
        self.visitor.look_on_phone_and_desk()
        assert won(self.invoice["amount_due"]) in self.page.inner_text("main")
        self.page.check("[name=card][value=succeeds]")
        self.page.click("main form button.main")
        self.page.wait_for_url("**payment=done")
        self.page.locator(".heading-badge .badge-good").wait_for()
        self.visitor.look()
        assert self.page.inner_text(".heading-badge") == self.words["paid"]
        assert self.ask(f"invoices/{self.invoice['id']}")["status"] == "paid"


@dataclass
class Mailbox:
    """The page of the mailbox's stand-in, open beside the dashboard."""

    customer: Customer
    visitor: Visitor

    def shows_the_invoice(self) -> None:
        """Its subject, its amount, and the very PDF that was downloaded."""
        mail = self._open("invoice_mail")
        invoice = self.customer.invoice
        letter = mail.frame_locator("iframe.mail").locator("body").inner_text()
        assert won(invoice["amount_due"]) in letter and invoice["number"] in letter
        assert mail.inner_text("ul.files a").startswith(f"{invoice['number']}.pdf")
        assert downloaded(mail, "ul.files a") == self.customer.pdf

    def shows_the_receipt(self) -> None:
        mail = self._open("receipt_mail")
        assert (
            won(self.customer.invoice["amount_due"]) in mail.frame_locator("iframe.mail").locator("body").inner_text()
        )

    def _open(self, kind: str) -> Page:
        """The mail of this kind about the invoice; others, as that of its tax invoice, may come any time."""
        address, number = self.customer.email, self.customer.invoice["number"]
        found = self.customer.system.mail_to(address, subject_has=self.customer.words[kind].format(number=number))
        inbox = self.visitor.open(f"{self.customer.system.demo['mailbox']}/?to={address}")
        inbox.click(f"a[href='/messages/{found['id']}']")
        inbox.wait_for_url(f"**/messages/{found['id']}")
        self.visitor.look()
        self.visitor.look_on_phone_and_desk()
        assert number in inbox.inner_text("h1")
        return inbox


@dataclass
class Operator:
    """Somebody at the console."""

    system: System
    visitor: Visitor

    @property
    def page(self) -> Page:
        return self.visitor.page

    def signs_in(self) -> None:
        """With password and authenticator app."""
        demo = self.system.demo
        self.visitor.open(demo["console"])
        self.page.fill("[name=login]", demo["operator_email"])
        self.page.fill("[name=password]", demo["operator_password"])
        self.page.click("main form button")
        self.page.locator("[name=code]").wait_for()
        self.visitor.look()
        counter = int(time.time()) // TOTP_SECONDS
        self.page.fill("[name=code]", str(format_hotp_value(hotp_value(demo["operator_totp_secret"], counter))))
        self.page.click("main form button")
        self.page.wait_for_url(f"{demo['console']}/")
        self.visitor.look()

    def chooses(self, language: str) -> None:
        """By the menu at the operator's name."""
        if language != self.visitor.language:
            self.visitor.open(f"{self.system.demo['console']}/")
            self.page.locator("[x-on\\:click='openUserLinks = !openUserLinks']").click()
            self.page.locator(f"form[action*=language]:has([value={language}]) button").click()
            self.page.locator(f"html[lang={language}]").wait_for()
            self.visitor.language = language
            self.visitor.look()

    def finds(self, customer: Customer) -> None:
        """Organization, usage, invoice, payment and mails of the customer's story, each reached by the menu."""
        number, name = customer.invoice["number"], customer.invoice["buyer"]["organization"]
        self._list("/accounts/organization/", name).click()
        self.page.wait_for_url("**/change/")
        self.visitor.look()
        organization = self.page.text_content("#main") or ""  # its invoices stand in a tab
        assert name in organization and number in organization
        self._list("/usage/", name)
        self._list("/usage/requests/", name)
        self._list("/billing/invoice/", number).click()
        self.page.wait_for_url("**/change/")
        self.visitor.look()
        assert won(customer.invoice["total"]) in self.page.inner_text("#main")
        payment = self._list("/billing/payment/", number).locator("xpath=ancestor::tr")
        assert won(customer.invoice["amount_due"]) in payment.inner_text()
        self._list("/billing/outboxmail/", number)

    def _list(self, path: str, text: str) -> Locator:
        """Open the menu's list at `path`; the link in it that says `text`."""
        self.page.locator(f"nav a[href='{path}'], aside a[href='{path}']").first.click()
        self.page.wait_for_url(f"{self.system.demo['console']}{path}")
        self.visitor.look()
        found = self.page.locator("#main").get_by_text(text).locator("visible=true").first
        found.wait_for()
        return found


def downloaded(page: Page, link: str) -> bytes:
    """What the browser saves when the link is clicked."""
    with page.expect_download() as download:
        page.click(link)
    return Path(download.value.path()).read_bytes()


def number(text: str) -> Decimal:
    """The number in a figure: 1,500 in `₩1,500`, 0.04 in `$0.040 / 1M`, 10 in `(1 + 10%)`."""
    return Decimal(re.findall(r"[\d,.]+", text.replace("1M", "").replace("(1 + ", ""))[0].replace(",", ""))
