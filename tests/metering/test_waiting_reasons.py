"""Whatever makes usage wait is told in the reader's language: each reason as the code raises it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import translation

from accounts.models import Organization
from catalog import price_book
from metering.models import UnratedUsage
from metering.waiting_reasons import reason_in_words
from pricing.rating import AmountTooLarge, MissingUnitPrice, rate
from pricing.tokens import TokenClass, TokenUsage
from tests import stories
from tests.stories import NOON, use


@pytest.fixture
def reasons(db: None) -> list[str]:
    """What can be lacking, one after the other: the model, its price, an exchange rate, a markup, a unit price."""
    cast = stories.meet_the_cast(now=NOON)
    acme = cast.acme.organization
    stories.make_model("acme-labs/late", now=NOON, since=NOON)
    use(acme, at=NOON, model="acme-labs/unknown")
    use(acme, at=NOON - timedelta(days=1), now=NOON, model="acme-labs/late")
    waiting = list(UnratedUsage.objects.using("system").values_list("reason", flat=True))
    assert len(waiting) == 2, waiting
    return [*waiting, *_raised(acme)]


def _raised(acme: Organization) -> list[str]:
    terms = price_book.terms_of(acme)
    model = price_book.find_model(stories.DEVSTRAL)
    found = []
    for at in (NOON - timedelta(days=149), NOON + timedelta(days=200)):
        with pytest.raises(price_book.NoExchangeRate) as missing:
            price_book.quote(terms=terms, model=model, prompt_tokens=0, at=at)
        found.append(str(missing.value))
    found.append(str(price_book.NoMarkup("no markup covers acme-labs/late at 2026-11-22T03:00:00+00:00")))
    with pytest.raises(AmountTooLarge) as large:
        rate(TokenUsage(input_tokens=2**31 - 1), {TokenClass.INPUT: Decimal(10) ** 17, TokenClass.REQUESTS: Decimal(0)})
    return [*found, str(large.value), str(MissingUnitPrice(TokenClass.SEARCHES))]


def test_every_reason_is_told_in_korean(reasons: list[str]) -> None:
    with translation.override("ko"):
        words = [reason_in_words(reason) for reason in reasons]
    assert all(any("가" <= letter <= "힣" for letter in text) for text in words), list(zip(reasons, words, strict=True))
    assert "알 수 없는 모델: acme-labs/unknown" in " ".join(words)
    assert any("웹 검색" in text for text in words)


def test_another_text_stays_as_it_is() -> None:
    assert reason_in_words("somebody wrote this") == "somebody wrote this"
