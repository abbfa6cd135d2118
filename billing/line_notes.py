"""Why a model has two lines of the same kind: the condition that a line's price holds under, in the reader's language.

Lines of one model and service month stand together. What tells their prices apart is named on each of them: the length of the
prompt or the hours (a band), since when the upstream's price holds, the markup, the exchange rate.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from itertools import groupby
from zoneinfo import ZoneInfo

from billing.papers import document_texts as texts
from billing.papers.document_texts import word
from catalog.rate_details import RateDetails
from pricing.band_conditions import BandConditions, Window
from pricing.bands import BASE

LineKey = tuple[date | None, int]
"""Service month and applied rate of a line."""
Namer = Callable[[RateDetails], str]


def notes_of(
    keys: Iterable[LineKey], rates: Mapping[int, RateDetails], *, language: str, zone: ZoneInfo
) -> dict[LineKey, str]:
    """The note of every line's key; empty where a model has only its ordinary price. Times are those of `zone`."""
    found: dict[LineKey, str] = {}
    ordered = sorted(set(keys), key=lambda key: (key[0] or date.min, rates[key[1]].model, key[1]))
    for (month, _model), group in groupby(ordered, key=lambda key: (key[0], rates[key[1]].model)):
        together = {rate_id: rates[rate_id] for _month, rate_id in group}
        for rate_id, note in _notes(together, language=language, zone=zone).items():
            found[month, rate_id] = note
    return found


def conditions_text(conditions: BandConditions, language: str) -> str:
    """`프롬프트 200,000 토큰 초과`, `prompts over 200,000 tokens · 16:30–00:30 UTC`; of no condition at all, `기본 단가`."""
    parts = [_prompt(conditions, language), *(_window(window, language) for window in conditions.windows)]
    return " · ".join(part for part in parts if part) or word("base_price", language)


def _notes(rates: Mapping[int, RateDetails], *, language: str, zone: ZoneInfo) -> dict[int, str]:
    parts: list[Namer] = []
    if any(rate.band != BASE for rate in rates.values()):
        parts.append(lambda rate: conditions_text(rate.conditions, language))
    if _differ(rate.cost_price_id for rate in rates.values()):
        parts.append(lambda rate: _price(rate, rates.values(), language, zone))
    if _differ(rate.markup_rule_id for rate in rates.values()):
        parts.append(lambda rate: _markup(rate, language, zone))
    if _differ(rate.exchange for rate in rates.values()):
        parts.append(lambda rate: _exchange(rate, language))
    notes = {rate_id: " · ".join(part for name in parts if (part := name(rate))) for rate_id, rate in rates.items()}
    return {rate_id: _told_apart(rate_id, note, notes.values(), language) for rate_id, note in notes.items()}


def _told_apart(rate_id: int, note: str, all_notes: Collection[str], language: str) -> str:
    """Conditions that come out in the same words are told apart by the number of the rate, which opens to its origin."""
    if list(all_notes).count(note) == 1:
        return note
    number = word("rate_number", language, number=str(rate_id))
    return f"{note} · {number}" if note else number


def _price(rate: RateDetails, together: Collection[RateDetails], language: str, zone: ZoneInfo) -> str:
    """Since when the upstream's price holds; of one that was published anew with the same values, that it is the same."""
    earlier = [other for other in together if other.band == rate.band and other.price_since < rate.price_since]
    last = max((other.price_since for other in earlier), default=None)
    same = any(other.unit_prices == rate.unit_prices for other in earlier if other.price_since == last)
    moment = texts.moment(rate.price_since.astimezone(zone), language)
    return word("price_published_anew" if same else "price_since", language, moment=moment)


def _differ(values: Iterable[object]) -> bool:
    return len(set(values)) > 1


def _prompt(conditions: BandConditions, language: str) -> str:
    above, up_to = (f"{bound or 0:,}" for bound in (conditions.above, conditions.up_to))
    if conditions.above is not None and conditions.up_to is not None:
        return word("prompt_between", language, above=above, up_to=up_to)
    if conditions.above is not None:
        return word("prompt_above", language, above=above)
    return word("prompt_up_to", language, up_to=up_to) if conditions.up_to is not None else ""


def _window(window: Window, language: str) -> str:
    days = texts.weekdays(window.utc_days, language) if window.utc_days is not None else ""
    if window.hours is None:
        return word("weekdays", language, days=days)
    start, end = window.hours
    if days:
        return word("hours_on_weekdays", language, days=days, start=start, end=end)
    return word("hours", language, start=start, end=end)


def _markup(rate: RateDetails, language: str, zone: ZoneInfo) -> str:
    markup = texts.percent(rate.markup)
    if rate.markup_since is None:
        return word("markup", language, markup=markup)
    since = texts.moment(rate.markup_since.astimezone(zone), language)
    return word("markup_since", language, markup=markup, moment=since)


def _exchange(rate: RateDetails, language: str) -> str:
    if rate.exchange is None:
        return ""
    return word(
        "at_exchange_rate",
        language,
        rate=texts.money(rate.exchange.rate, rate.currency),
        date=texts.day(rate.exchange.published_on, language),
    )
