"""한국수출입은행 (Export-Import Bank of Korea): the day's 매매기준율, one question a day.

`exchangeJSON` answers with a list of currencies; amounts are texts with commas. The list is empty on weekends and holidays, and
before about 11:00 of the day itself. Errors come as HTTP 200 with one row whose `result` is not 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.conf import settings

from catalog.rate_sources import answers
from catalog.rate_sources.interface import Publication, SourceFailed, parse_json, parse_rate

PATH = "/site/program/financial/exchangeJSON"
EXCHANGE_RATES = "AP01"
GOOD = "1"
ERRORS = {
    "2": "it does not know the data that was asked for",
    "3": "it refuses the key (KOREAEXIM_API_KEY)",
    "4": "the day's number of questions is used up",
}


@dataclass(frozen=True, slots=True)
class Koreaexim:
    """Needs KOREAEXIM_API_KEY."""

    api_key: str = field(default_factory=lambda: settings.KOREAEXIM_API_KEY, repr=False)
    name: str = "koreaexim"

    def fetch(self, first: date, last: date) -> Sequence[Publication]:
        if not self.api_key:
            raise SourceFailed("there is no key: set KOREAEXIM_API_KEY")
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        return [publication for day in days for publication in self.read(self._ask(day), day, day)]

    def _ask(self, day: date) -> bytes:
        return answers.get(
            settings.KOREAEXIM_BASE_URL.rstrip("/") + PATH,
            {"authkey": self.api_key, "searchdate": f"{day:%Y%m%d}", "data": EXCHANGE_RATES},
        )

    def read(self, answer: bytes, first: date, last: date) -> Sequence[Publication]:
        """The answer does not say of which day it is, so `first` and `last` must be that day."""
        if first != last:
            raise SourceFailed("an answer of this source is of one day: name it")
        rows = parse_json(answer)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise SourceFailed("the answer is no list of currencies")
        for row in rows:
            _check_result(row)
        return [_publication(rows, first)] if rows else []


def _check_result(row: dict[str, Any]) -> None:
    result = row.get("result")
    if str(result) != GOOD:
        raise SourceFailed(ERRORS.get(str(result), f"an unknown result: {str(result)[:40]!r}"))


def _publication(rows: Sequence[dict[str, Any]], day: date) -> Publication:
    dollars = [row for row in rows if row.get("cur_unit") == "USD"]
    if len(dollars) != 1:
        raise SourceFailed(f"the answer names the dollar {len(dollars)} times")
    text = dollars[0].get("deal_bas_r")
    return Publication(published_on=day, text=str(text), rate=parse_rate(text))
