"""The PDF says what the invoice says, page after page, in both languages, whatever customers call themselves."""

import io
import unicodedata
from decimal import Decimal

import pypdf
import pytest

from billing.papers.document_parts import stated
from billing.papers.typesetting import keywords_of
from tests.billing.papers import SELLER, content_of, pages, paper, pdf_of, squeezed, texts_in

TYPST_CODE = (
    '#panic("x") #read("/etc/passwd") #{1+1} $x^2$ \\ [a] *b* _c_ @d <e> `f` "g" \'h\' ~ -- ... -> https://i.example/'
)
LONG = "아주긴이름" * 18 + "Extraordinarily" * 6


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize(
    "fields",
    [
        {"lines": 3},
        {"lines": 20, "credit_applied": 5000},
        {"lines": 200, "late": 9},
        {"lines": 7, "currency": "USD", "tax_treatment": "zero_rated"},
        {"lines": 2, "tax_treatment": "out_of_scope", "credit_applied": 10**9},
    ],
    ids=["short", "with credit", "long", "dollars", "paid by credit"],
)
def test_the_pdf_says_all_that_the_invoice_says(language: str, fields: dict[str, object]) -> None:
    invoice = paper(language=language, **fields)  # type: ignore[arg-type]
    content = content_of(invoice)
    said = "".join(pages(pdf_of(invoice)))

    missing = [text for text in texts_in(content) if squeezed(text) not in said]
    assert missing == []
    for group in content["groups"]:
        for row in group["lines"]:
            assert squeezed("".join(row)) in said


@pytest.mark.parametrize(("language", "words"), [
    ("ko", ["청구서", "주식회사 아크메 귀중", "공급자", "공급받는 자", "작성일자 2026.10.31",
            "공급가액", "부가세 (10%)", "합계금액",
            "적용 환율: 1 USD = 1,393.50원 (서울외국환중개 매매기준율, 2026-10-30 고시)", "한빛은행 123-456-789012"]),
    ("en", ["Invoice", "To 주식회사 아크메", "Supplier", "InvoiceLab Inc.", "Supply value", "VAT (10%)", "Amount due",
            "Exchange rate applied: 1 USD = 1,393.50 KRW (Seoul Money Brokerage basic rate, published 2026-10-30)"]),
])  # fmt: skip
def test_what_an_invoice_must_name(language: str, words: list[str]) -> None:
    content = content_of(paper(language=language))
    [said] = pages(pdf_of(paper(language=language)))
    pairs = squeezed("".join(label + value for label, value in content["facts"]))
    for word in words:
        assert squeezed(word) in said + pairs


def test_the_lines_on_paper_add_up_to_the_sums_on_paper() -> None:
    invoice = paper(lines=200, credit_applied=5000)
    content = content_of(invoice)
    amounts = [Decimal(row[4].lstrip("₩").replace(",", "")) for group in content["groups"] for row in group["lines"]]
    subtotal, tax, total, credit = (
        Decimal(amount.replace("₩", "").replace(",", "").replace("−", "-")) for _label, amount in content["totals"]
    )
    assert sum(amounts) == subtotal == invoice.subtotal
    assert subtotal + tax == total
    assert total + credit == invoice.amount_due
    assert content["due"][1] == f"₩{invoice.amount_due:,.0f}"


def test_long_invoices_carry_head_and_number_on_every_page() -> None:
    said = pages(pdf_of(paper(lines=200, late=9)))
    assert len(said) > 3
    for number, page in enumerate(said, start=1):
        assert f"{number}/{len(said)}" in page
        assert "INV-000042" in page
        if "vendor-" in page:
            assert "내역수량(토큰)단가금액" in page
    assert "2026년9월이용분(조정)" in said[-2] + said[-1]


def test_a_group_that_goes_on_repeats_its_heading() -> None:
    invoice = paper(lines=120)
    for line in invoice.drawn_lines:  # type: ignore[attr-defined]
        line.model, line.applied_rate_id = "vendor/one-model", 1
    said = [page for page in pages(pdf_of(invoice)) if "입력토큰" in page]
    assert len(said) == 4
    assert [page.count("vendor/one-model") for page in said] == [1, 1, 1, 1]


def test_what_customers_write_is_text_and_never_code() -> None:
    names = dict.fromkeys(("legal_name", "address", "representative", "business_item", "contact_name"), TYPST_CODE)
    invoice = paper(buyer=names)
    invoice.drawn_lines[0].model = TYPST_CODE  # type: ignore[attr-defined]
    said = "".join(pages(pdf_of(invoice)))
    assert said.count(squeezed(TYPST_CODE)) >= 6
    assert "root:" not in said


def test_long_names_stay_on_the_sheet() -> None:
    invoice = paper(buyer=dict.fromkeys(("legal_name", "address", "contact_email", "representative"), LONG))
    reader = pypdf.PdfReader(io.BytesIO(pdf_of(invoice)))
    width = float(reader.pages[0].mediabox.width)
    found: list[tuple[str, float]] = []
    for page in reader.pages:
        page.extract_text(visitor_text=lambda text, _cm, tm, _font, _size: found.append((text, tm[4])))
    assert {place for _text, place in found if _text.strip() and not 0 <= place < width} == set()
    assert "".join(pages(pdf_of(invoice))).count(LONG) >= 4


@pytest.mark.parametrize("language", ["ko", "en"])
def test_what_is_copied_is_what_is_printed(language: str) -> None:
    """No breaking aids inside of account numbers, addresses and names."""
    long_ones = {"contact_email": "accounts-payable.team@finance.acme-korea.example", "legal_name": "A" * 60}
    seller = SELLER | {"bank_account": "1002-345-678901-2345", "email": "billing-department@invoicedream.example"}
    said = "".join(pages(pdf_of(paper(buyer=long_ones, seller=seller, language=language))))
    assert {sign for sign in said if unicodedata.category(sign) == "Cf"} == set()
    for words in (*long_ones.values(), seller["bank_account"], seller["email"]):
        assert words in said


@pytest.mark.parametrize("name", ["株式會社 東京商社", "Société Générale Québec", "Ελληνική Юнион", "㈜한글"])
def test_names_of_the_neighbourhood_have_letters(name: str) -> None:
    pdf = pdf_of(paper(buyer={"legal_name": name}))
    assert squeezed(name) in pages(pdf)[0]
    assert b"pdfaid" in pdf


def test_a_letter_that_no_font_has_stops_no_invoice() -> None:
    pdf = pdf_of(paper(buyer={"legal_name": "아크메 😀 주식회사"}))
    assert "주식회사귀중" in pages(pdf)[0]
    assert b"pdfaid" not in pdf


def test_metadata_tell_number_total_and_language() -> None:
    invoice = paper()
    pdf = pdf_of(invoice)
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    assert reader.metadata is not None
    assert (reader.metadata.title, reader.metadata.author) == ("청구서 INV-000042", "주식회사 인보이스랩")
    assert reader.trailer["/Root"]["/Lang"] == "ko"
    assert keywords_of(pdf) == ["INV-000042", stated(invoice.total, invoice.currency)]
    assert keywords_of(b"%PDF-1.7 something else") == []


def test_what_is_not_known_is_left_out() -> None:
    buyer = dict.fromkeys(("registration_number", "representative", "address", "business_type", "business_item"), "")
    rows = content_of(paper(buyer=buyer))["parties"][1]["rows"]
    assert [label for label, _value in rows] == ["상호", "담당자", "이메일"]


def test_nothing_due_asks_for_nothing() -> None:
    content = content_of(paper(credit_applied=10**9))
    assert content["payment"]["rows"] == ["크레딧으로 모두 결제되어 납부하실 금액이 없습니다."]
    assert content["facts"][-1] == ["납부 기한", "–"]
    assert "한빛은행" not in "".join(pages(pdf_of(paper(credit_applied=10**9))))


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_invoice_of_reversals_says_that_its_total_became_credit(language: str) -> None:
    content = content_of(paper(sign=-1, language=language))
    amounts = [amount for _label, amount in content["totals"]]
    assert amounts[-1] == amounts[-2].lstrip("-−")
    [words] = content["payment"]["rows"]
    assert {"ko": "크레딧으로 적립", "en": "kept as credit"}[language] in words


def test_an_invoice_of_nothing_does_not_say_that_credit_paid_it() -> None:
    assert content_of(paper(sign=0))["payment"]["rows"] == ["합계금액이 0이므로 납부하실 금액이 없습니다."]


def test_other_zones_are_named() -> None:
    invoice = paper()
    invoice.period.zone = "Asia/Kolkata"
    assert content_of(invoice)["facts"][1][1] == "2026.09.30 – 2026.10.31 (Asia/Kolkata)"


def test_rates_of_every_day_are_all_printed() -> None:
    rates = [
        {
            "base": "USD",
            "quote": "KRW",
            "rate": f"{1390 + day}.5000",
            "source": "koreaexim",
            "published_on": f"2026-10-{day:02d}",
        }
        for day in range(1, 31)
    ]
    said = "".join(pages(pdf_of(paper(exchange_rates=rates))))
    assert said.count("매매기준율") == 30
