"""A simulation on a terminal: no two lines look alike, and it says what VAT is in."""

from datetime import timedelta

import pytest

from billing import simulation_texts
from catalog import price_book
from catalog.hypothetical_prices import Hypothesis
from tests import stories
from tests.billing.test_simulation import correct_price, simulate
from tests.stories import NOON, TokenUsage, meet_the_cast, use

DEARER = {"prompt": "0.00000008", "completion": "0.00000008"}


@pytest.fixture
def cast(db: None) -> stories.Cast:
    stories.forget_what_processes_remember()
    return meet_the_cast(now=NOON)


def test_two_prices_of_one_model_are_told_apart(cast: stories.Cast) -> None:
    usage = TokenUsage(input_tokens=500_000_000)
    use(cast.acme.organization, at=NOON, usage=usage)
    correct_price(stories.DEVSTRAL, DEARER, since=NOON + timedelta(minutes=1))
    price_book.forget()
    use(cast.acme.organization, at=NOON + timedelta(hours=1), now=NOON + timedelta(hours=1), usage=usage)
    lines = list(simulation_texts.text_lines(simulate(cast.acme, Hypothesis())))
    assert "line by line, before VAT" in lines[1] and lines[0].startswith("acme")
    of_model = [line for line in lines if stories.DEVSTRAL in line]
    assert len(of_model) == 2 and all("price effective" in line for line in of_model)
    assert len({line[line.index("price effective") :] for line in of_model}) == 2


def test_a_single_price_needs_no_words(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON, usage=TokenUsage(input_tokens=500_000_000))
    [line] = [
        line for line in simulation_texts.text_lines(simulate(cast.acme, Hypothesis())) if stories.DEVSTRAL in line
    ]
    assert line.rstrip().endswith("+0")
