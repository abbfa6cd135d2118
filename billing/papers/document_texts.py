"""The words and figures of documents, Korean and English side by side.

They stand here and not in the message catalogs, because a document must come out the same, byte for byte, however often it is
rendered: a catalog is retranslated, an issued invoice is not. Terms follow the glossary of Korean billing.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType

from billing.papers.document_words import PAPER_WORDS
from pricing.exact import exact_product
from pricing.money_text import MINUS, grouped, money_in_full
from pricing.tokens import PIECE_CLASSES, TokenClass

KOREAN, ENGLISH = "ko", "en"
EN_DASH = "–"
TOKENS_PER_PRICE = 1_000_000

WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        **PAPER_WORDS,
        "brand": ("인보이스랩", "InvoiceDream"),
        "invoice": ("청구서", "Invoice"),
        "addressee": ("{company} 귀중", "To {company}"),
        "opening": (
            "{month} API 이용 요금을 아래와 같이 청구합니다.",
            "This is your invoice for API usage in {month}.",
        ),
        "final_invoice": ("최종 청구서", "Final invoice"),
        "final_opening": (
            "해지에 따라 {month} API 이용 요금을 아래와 같이 최종 청구합니다.",
            "This is your final invoice, for API usage in {month} up to the closing of your organization.",
        ),
        "number": ("청구서 번호", "Invoice number"),
        "period": ("청구 기간", "Billing period"),
        "written_on": ("작성일자", "Date of writing"),
        "issued_on": ("발행일", "Issue date"),
        "due_on": ("납부 기한", "Due date"),
        "supplier": ("공급자", "Supplier"),
        "buyer": ("공급받는 자", "Buyer"),
        "registration_number": ("등록번호", "Registration no."),
        "company": ("상호", "Company"),
        "representative": ("대표자", "Representative"),
        "address": ("주소", "Address"),
        "business": ("업태 / 종목", "Business type / item"),
        "mail_order_number": ("통신판매업", "Mail-order no."),
        "phone": ("전화", "Phone"),
        "email": ("이메일", "Email"),
        "person": ("담당자", "Contact"),
        "item": ("내역", "Description"),
        "quantity": ("수량 (토큰)", "Quantity (tokens)"),
        "unit_price": ("단가", "Unit price"),
        "amount": ("금액", "Amount"),
        "adjustment": ("{month} 이용분 (조정)", "used in {month} (adjustment)"),
        "agreed": ("약정", "As agreed"),
        "discount": ("사용량 할인", "Discount on usage"),
        "minimum_fee": ("최소 요금", "Minimum fee"),
        "minimum_of_month": ("이 달 최소 금액 {minimum}", "minimum of this month {minimum}"),
        "po_number": ("발주번호", "PO number"),
        "subtotal": ("공급가액", "Supply value"),
        "tax": ("부가세 ({rate})", "VAT ({rate})"),
        "tax_zero_rated": ("부가세 (영세율)", "VAT (zero-rated)"),
        "tax_out_of_scope": ("부가세 (과세 대상 아님)", "VAT (out of scope)"),
        "total": ("합계금액", "Total"),
        "credit": ("크레딧 사용", "Credit used"),
        "credit_given": ("크레딧으로 적립", "Kept as credit"),
        "amount_due": ("청구 금액", "Amount due"),
        "bank": ("입금 계좌", "Bank transfer"),
        "bank_holder": ("예금주: {holder}", "Account holder: {holder}"),
        "bank_note": (
            "계좌이체 시 입금자명에 청구서 번호를 기재해 주십시오.",
            "Please state the invoice number with your transfer.",
        ),
        "nothing_due": (
            "크레딧으로 모두 결제되어 납부하실 금액이 없습니다.",
            "Paid in full with your credit. There is nothing left to pay.",
        ),
        "nothing_due_zero": (
            "합계금액이 0이므로 납부하실 금액이 없습니다.",
            "The total is zero. There is nothing to pay.",
        ),
        "nothing_due_given": (
            "정정으로 돌려드릴 금액을 크레딧으로 적립하였으며, 납부하실 금액이 없습니다.",
            "What corrections give back to you is kept as credit. There is nothing to pay.",
        ),
        "exchange": ("적용 환율: {rates}", "Exchange rate applied: {rates}"),
        "exchange_rate": (
            "1 {base} = {rate}{unit} ({source}, {date} 고시)",
            "1 {base} = {rate} {unit} ({source}, published {date})",
        ),
        "prompt_above": ("프롬프트 {above} 토큰 초과", "prompts over {above} tokens"),
        "prompt_up_to": ("프롬프트 {up_to} 토큰 이하", "prompts up to {up_to} tokens"),
        "prompt_between": (
            "프롬프트 {above} 토큰 초과 {up_to} 토큰 이하",
            "prompts over {above} and up to {up_to} tokens",
        ),
        "hours": ("{start}–{end} (UTC)", "{start}–{end} UTC"),
        "weekdays": ("{days}요일 (UTC)", "{days} (UTC)"),
        "hours_on_weekdays": ("{days}요일 {start}–{end} (UTC)", "{days} {start}–{end} UTC"),
        "base_price": ("기본 단가", "standard price"),
        "price_since": ("단가 적용일 {moment}", "price effective {moment}"),
        "price_published_anew": ("단가 변동 없음, {moment}부터 새 가격표", "same price, newly published {moment}"),
        "markup": ("마진 {markup}", "markup {markup}"),
        "markup_since": ("마진 {markup} (적용일 {moment})", "markup {markup} (effective {moment})"),
        "at_exchange_rate": ("환율 {rate} ({date} 고시)", "at {rate} (published {date})"),
        "rate_number": ("단가 번호 {number}", "rate no. {number}"),
        "note_rounding": (
            "공급가액은 모든 항목을 더한 뒤 한 번만 반올림하여 항목별로 나누므로, "
            "항목 금액은 수량 × 단가와 {unit} 미만의 차이가 있을 수 있습니다.",
            "The supply value is rounded once and shared out among the items, so an amount may differ from quantity × unit price "
            "by less than {unit}.",
        ),
        "note_invoice": (
            "이 청구서는 세금계산서나 현금영수증을 대신하지 않습니다.",
            "This invoice does not take the place of a Korean tax invoice (세금계산서) or cash receipt (현금영수증).",
        ),
        "page": ("{page} / {pages}", "{page} / {pages}"),
        "inquiries": ("문의: {contact}", "Questions: {contact}"),
    }
)
"""(Korean, English) by name."""

TOKEN_CLASSES: Mapping[TokenClass, tuple[str, str]] = MappingProxyType(
    {
        TokenClass.INPUT: ("입력 토큰", "Input tokens"),
        TokenClass.CACHE_READ: ("캐시된 토큰", "Cached tokens"),
        TokenClass.CACHE_WRITE: ("캐시 쓰기", "Cache writes"),
        TokenClass.CACHE_WRITE_1H: ("캐시 쓰기 (1시간)", "Cache writes (1 hour)"),
        TokenClass.OUTPUT: ("출력 토큰", "Output tokens"),
        TokenClass.REASONING: ("추론 토큰", "Reasoning tokens"),
        TokenClass.AUDIO_INPUT: ("오디오 입력 토큰", "Audio input tokens"),
        TokenClass.AUDIO_CACHE_READ: ("캐시된 오디오 토큰", "Cached audio tokens"),
        TokenClass.AUDIO_OUTPUT: ("오디오 출력 토큰", "Audio output tokens"),
        TokenClass.IMAGE_INPUT: ("이미지 입력 토큰", "Image input tokens"),
        TokenClass.IMAGE_OUTPUT: ("이미지 출력 토큰", "Image output tokens"),
        TokenClass.IMAGES: ("이미지", "Images"),
        TokenClass.SEARCHES: ("웹 검색", "Web searches"),
        TokenClass.REQUESTS: ("요청", "Requests"),
    }
)

RATE_SOURCES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "koreaexim": ("서울외국환중개 매매기준율", "Seoul Money Brokerage basic rate"),
        "seoul-fx": ("서울외국환중개 매매기준율", "Seoul Money Brokerage basic rate"),
        "ecb": ("유럽중앙은행 기준환율", "European Central Bank reference rate"),
        "frankfurter": ("유럽중앙은행 기준환율", "European Central Bank reference rate"),
        "manual": ("당사 고시 환율", "our published rate"),
        "demo": ("예시 환율", "example rate"),
    }
)
"""Who published a rate, as an invoice names them; an unknown source is named as it is."""


def word(name: str, language: str, **values: str) -> str:
    """The word or sentence `name`, its places filled with `values`."""
    return in_language(WORDS[name], language).format(**values)


def in_language(pair: tuple[str, str], language: str) -> str:
    korean, english = pair
    return korean if language == KOREAN else english


def token_class(name: str, language: str) -> str:
    return in_language(TOKEN_CLASSES[TokenClass(name)], language)


def rate_source(name: str, language: str) -> str:
    return in_language(RATE_SOURCES[name], language) if name in RATE_SOURCES else name


# -- figures -------------------------------------------------------------------------------------------------------------


def money(amount: Decimal, currency: str) -> str:
    """`₩12,345`, `−$12.34`: all of its digits, at least the minor unit's."""
    return money_in_full(amount, currency)


def won_in_hangul(amount: Decimal) -> str:
    """`일금 일백삼십오만팔천이십삼원정` for ₩1,358,023, a whole amount from 0 on; with a 일 before every unit, as on papers."""
    groups, rest = [], int(amount)
    for unit in ("", "만", "억", "조", "경"):
        rest, group = divmod(rest, 10_000)
        said = "".join(
            _DIGITS[int(digit)] + place
            for digit, place in zip(f"{group:04d}", ("천", "백", "십", ""), strict=True)
            if digit != "0"
        )
        groups.append(said + unit if said else "")
    return f"일금 {''.join(reversed(groups)) or '영'}원정"


def unit_price(price: Decimal, token_class: str, currency: str, language: str) -> str:
    """`₩107.2995 / 1M` for tokens, `₩55 / 1건` for pieces: exact, so that it can be multiplied again."""
    if TokenClass(token_class) in PIECE_CLASSES:
        return f"{money(price, currency)} / 1{in_language(('건', ' piece'), language)}"
    return f"{money(exact_product(price, TOKENS_PER_PRICE), currency)} / 1M"


def quantity(count: Decimal, token_class: str, language: str) -> str:
    """`512,340`; pieces say so (`12건`)."""
    piece = TokenClass(token_class) in PIECE_CLASSES
    unit = in_language(("건", ""), language) if piece else ""
    return f"{count:,f}".replace("-", MINUS) + unit


def percent(ratio: Decimal) -> str:
    """`10%` for 0.1000."""
    return f"{grouped(exact_product(ratio, 100))}%"


def exchange_rate(rate: Mapping[str, str], language: str) -> str:
    """`1 USD = 1,393.50원 (서울외국환중개 매매기준율, 2026-10-30 고시)` from a snapshot's entry."""
    won = in_language(("원", "KRW"), language)
    return word(
        "exchange_rate",
        language,
        base=rate["base"],
        rate=grouped(Decimal(rate["rate"]), decimals=2),
        unit=won if rate["quote"] == "KRW" else rate["quote"],
        source=rate_source(rate["source"], language),
        date=rate["published_on"],
    )


def moment(at: datetime, language: str) -> str:
    """A local moment: the day, and the time unless it is midnight."""
    return day(at, language) + (f" {at:%H:%M}" if at.time() != time() else "")


def weekdays(days: Sequence[int], language: str) -> str:
    """ISO weekdays: `월·화`, `Mon, Tue`."""
    names = [in_language(_WEEKDAYS[day - 1], language) for day in days]
    return in_language(("·", ", "), language).join(names)


def day(moment: date, language: str) -> str:
    """`2026.11.22` in Korean, `2026-11-22` in English."""
    return moment.strftime(in_language(("%Y.%m.%d", "%Y-%m-%d"), language))


def prose_day(moment: date, language: str) -> str:
    """`2026년 11월 22일`, `November 22, 2026`."""
    if language == KOREAN:
        return f"{moment.year}년 {moment.month}월 {moment.day}일"
    return f"{_MONTHS[moment.month - 1]} {moment.day}, {moment.year}"


def prose_moment(moment: datetime, language: str) -> str:
    """`2026년 12월 1일 00:00`, `December 1, 2026, 00:00 KST`, in the moment's own zone; in Korean Korea's goes without saying."""
    zone = f"{moment:%Z}"
    zone = zone if zone.isalpha() else f"UTC{moment.isoformat()[-6:]}"
    if language == KOREAN:
        return f"{prose_day(moment, language)} {moment:%H:%M}{'' if zone == 'KST' else f'({zone})'}"
    return f"{prose_day(moment, language)}, {moment:%H:%M} {zone}"


def month(first_day: date, language: str) -> str:
    """`2026년 11월`, `November 2026`; the process's locale has no say."""
    return (
        f"{first_day.year}년 {first_day.month}월"
        if language == KOREAN
        else f"{_MONTHS[first_day.month - 1]} {first_day.year}"
    )


def registration_number(text: str) -> str:
    """`220-81-62517`, also where it was kept without hyphens."""
    return f"{text[:3]}-{text[3:5]}-{text[5:]}" if len(text) == 10 and text.isdecimal() else text


_DIGITS = "영일이삼사오육칠팔구"
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS = (
    ("월", "Mon"), ("화", "Tue"), ("수", "Wed"), ("목", "Thu"), ("금", "Fri"), ("토", "Sat"), ("일", "Sun"),
)  # fmt: skip
