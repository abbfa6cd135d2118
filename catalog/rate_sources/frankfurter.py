"""Frankfurter: the European Central Bank's reference rates, without a key, a whole range of days in one answer.

Published about 16:00 in Frankfurt, which is midnight in Seoul. A range without a working day is answered with the one before it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.conf import settings

from catalog.rate_sources import answers
from catalog.rate_sources.interface import Publication, SourceFailed, parse_json, parse_rate

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Frankfurter:
    """Public; FRANKFURTER_BASE_URL names another server of the same kind."""

    name: str = "frankfurter"

    def fetch(self, first: date, last: date) -> Sequence[Publication]:
        url = f"{settings.FRANKFURTER_BASE_URL.rstrip('/')}/v1/{first.isoformat()}..{last.isoformat()}"
        return self.read(answers.get(url, {"base": "USD", "symbols": "KRW"}), first, last)

    def read(self, answer: bytes, first: date, last: date) -> Sequence[Publication]:
        content = parse_json(answer)
        if not isinstance(content, dict) or not isinstance(content.get("rates"), dict):
            raise SourceFailed("the answer holds no rates")
        if content.get("base") != "USD" or parse_rate(content.get("amount", "1")) != 1:
            raise SourceFailed("the answer is not about one dollar")
        found = [_publication(day, rates) for day, rates in content["rates"].items()]
        if any(publication.published_on > last for publication in found):
            raise SourceFailed("the answer holds days that were not asked for")
        return sorted((one for one in found if one.published_on >= first), key=lambda one: one.published_on)


def _publication(day: str, rates: Any) -> Publication:
    if not DAY.fullmatch(day):
        raise SourceFailed(f"this is no day: {day[:40]!r}")
    try:
        published_on = date.fromisoformat(day)
    except ValueError:
        raise SourceFailed(f"this is no day: {day!r}") from None
    if not isinstance(rates, dict) or set(rates) != {"KRW"}:
        raise SourceFailed(f"the rates of {published_on.isoformat()} are not those of the won alone")
    return Publication(published_on=published_on, text=str(rates["KRW"]), rate=parse_rate(rates["KRW"]))
