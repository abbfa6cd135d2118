"""How figures are written wherever people read them: site, dashboard, mail. Arithmetic is exact; only here is it shortened.

Won has no decimals, other currencies two; a positive amount is never shown as zero. Tokens are grouped by three. Tables write
dates as numbers, prose as words, both in the reader's language. What is not known is an en dash.
"""

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext

from django import template
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from metering.waiting_reasons import reason_in_words
from pricing.money_text import MINUS, grouped, minor_digits, money_in_full, with_symbol

register = template.Library()

UNKNOWN = "–"
PRICE_DECIMALS = {"KRW": 0, "USD": 3}
"""The least that prices are written with."""
TOKENS_PER_PRICE = 1_000_000
DIGITS = 60
"""More than any amount has: NUMERIC(38,20) times a million."""

Number = Decimal | int | str | None


def decimal_of(value: Number) -> Decimal | None:
    return None if value is None or value == "" else Decimal(value)


def rounded(value: Decimal, digits: int) -> Decimal:
    with localcontext(prec=DIGITS):
        return value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


@register.filter
def money(value: Number, currency: str = "KRW") -> str:
    """`₩12,345`, `$12.34`: rounded half-up to the minor unit; less than half of it keeps two significant digits (`₩0.033`)."""
    amount = decimal_of(value)
    if amount is None:
        return UNKNOWN
    size = amount.copy_abs()
    digits = minor_digits(currency)
    shown = rounded(size, digits)
    if size and not shown:
        shown = rounded(size, 1 - size.adjusted())
        return with_symbol(grouped(shown), currency, negative=amount < 0)
    return with_symbol(f"{shown:,f}", currency, negative=amount < 0)


@register.filter
def money_exact(value: Number, currency: str = "KRW") -> str:
    """`₩12,345.678`: every digit that the amount has, at least the minor unit."""
    amount = decimal_of(value)
    if amount is None:
        return UNKNOWN
    return money_in_full(amount, currency)


@register.simple_tag
def money_titled(value: Number, currency: str = "KRW") -> SafeString:
    """The amount as `money` writes it, in a `<data>` whose title holds the exact one."""
    amount = decimal_of(value)
    if amount is None:
        return format_html('<span class="number">{}</span>', UNKNOWN)
    return format_html(
        '<data class="number" value="{}" title="{}">{}</data>',
        f"{amount:f}",
        money_exact(amount, currency),
        money(amount, currency),
    )


@register.simple_tag
def money_fine(value: Number, currency: str = "KRW") -> SafeString:
    """For single requests, which cost parts of a won: two decimals more than usual (`₩1.19`, `$0.0012`), exact in the title."""
    amount = decimal_of(value)
    if amount is None:
        return format_html('<span class="number">{}</span>', UNKNOWN)
    size = abs(amount)
    shown = rounded(size, minor_digits(currency) + 2)
    if size and not shown:
        shown = rounded(size, 1 - size.adjusted())
    return format_html(
        '<data class="number" value="{}" title="{}">{}</data>',
        f"{amount:f}",
        money_exact(amount, currency),
        with_symbol(f"{shown:,f}", currency, negative=amount < 0),
    )


@register.filter
def cost_per_million(price_per_token: Number, currency: str = "USD") -> str:
    """A price for one token as a price for a million: `$0.040`, `₩66`. Three decimals in dollars, more where it has more."""
    price = decimal_of(price_per_token)
    if price is None:
        return UNKNOWN
    with localcontext(prec=DIGITS):
        per_million = price * TOKENS_PER_PRICE
    return price_text(per_million, currency)


@register.filter
def price_text(price: Number, currency: str = "USD") -> str:
    """A price that is already for its unit (1M tokens, one image): all its digits, `$0.040`, `₩66`, `₩165.5`."""
    amount = decimal_of(price)
    if amount is None:
        return UNKNOWN
    text = grouped(amount.copy_abs(), decimals=PRICE_DECIMALS.get(currency, 3))
    return with_symbol(text, currency, negative=amount < 0)


@register.filter
def tokens(count: int | None) -> str:
    """`512,340`"""
    return UNKNOWN if count is None or count == "" else f"{int(count):,}".replace("-", MINUS)


@register.filter
def tokens_compact(count: int | None) -> str:
    """For overview cards only: `1억 2,340만` in Korean, `123.4M` in English. Small counts stay whole."""
    if count is None:
        return UNKNOWN
    if get_language() == "ko":
        return korean_units(count)
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if abs(count) >= 10 * size or (abs(count) >= size and unit != "K"):
            return f"{grouped(rounded(Decimal(count) / size, 1))}{unit}".replace("-", MINUS)
    return tokens(count)


def korean_units(count: int) -> str:
    """By ten thousands: 만 (10⁴), 억 (10⁸), 조 (10¹²). Two units at most, the smaller cut down to whole ones."""
    if abs(count) < 10**4:
        return tokens(count)
    sign, size = (MINUS if count < 0 else ""), abs(count)
    for large, small, factor in (("조", "억", 10**12), ("억", "만", 10**8)):
        if size >= factor:
            rest = size % factor // (factor // 10**4)
            return f"{sign}{size // factor:,}{large}" + (f" {rest:,}{small}" if rest else "")
    return f"{sign}{grouped(rounded(Decimal(size) / 10**4, 1 if size < 10**6 else 0))}만"


@register.filter
def short_context(length: int | None) -> str:
    """A context window in brief: `8K`, `131K`, `2.0M`."""
    if length is None:
        return UNKNOWN
    if length >= 10**6:
        return f"{rounded(Decimal(length) / 10**6, 1)}M"
    return f"{rounded(Decimal(length) / 1000, 0)}K" if length >= 1000 else str(length)


@register.filter
def percent(ratio: Number, digits: int = 1) -> str:
    """A ratio as a percentage, `0.1` → `10%`, `0.1234` → `12.3%`."""
    value = decimal_of(ratio)
    if value is None:
        return UNKNOWN
    return f"{grouped(rounded(value * 100, digits))}%".replace("-", MINUS)


def local(moment: date) -> date:
    """A datetime in the zone that the view activated; a date as it is."""
    return timezone.localtime(moment) if isinstance(moment, datetime) and timezone.is_aware(moment) else moment


@register.filter
def table_date(moment: date | None) -> str:
    """`2026.11.22` in Korean, `2026-11-22` in English."""
    if not moment:
        return UNKNOWN
    return local(moment).strftime("%Y.%m.%d" if get_language() == "ko" else "%Y-%m-%d")


@register.filter
def table_time(moment: datetime | None) -> str:
    """`2026.11.22 14:03`, 24 hours."""
    return f"{table_date(moment)} {local(moment):%H:%M}" if moment else UNKNOWN


@register.filter
def table_hour(moment: datetime | None) -> str:
    """`2026.11.22 14시경`, `2026-11-22, about 14:00`: of what is known to the hour."""
    if not moment:
        return UNKNOWN
    hour = f" {local(moment):%H}시경" if get_language() == "ko" else f", about {local(moment):%H:%M}"
    return f"{table_date(moment)}{hour}"


@register.filter
def table_second(moment: datetime | None) -> str:
    """`2026.11.22 14:03:07`, for single requests."""
    return f"{table_date(moment)} {local(moment):%H:%M:%S}" if moment else UNKNOWN


def in_words(moment: date, *, korean: str, english: str) -> str:
    return formats.date_format(local(moment), korean if get_language() == "ko" else english)


@register.filter
def prose_date(moment: date | None) -> str:
    """`2026년 11월 22일`, `November 22, 2026`"""
    return in_words(moment, korean="Y년 n월 j일", english="F j, Y") if moment else UNKNOWN


@register.filter
def prose_month(moment: date | None) -> str:
    """`2026년 11월`, `November 2026`"""
    return in_words(moment, korean="Y년 n월", english="F Y") if moment else UNKNOWN


@register.filter
def waiting_reason(reason: str) -> str:
    """Why usage waits for a price, in the reader's language."""
    return reason_in_words(reason)


@register.filter
def iso(moment: date | None) -> str:
    """For `<time datetime>`: `2026-11-22T14:03:00+09:00`."""
    return local(moment).isoformat() if moment else ""
