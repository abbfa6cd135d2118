"""A simulation on a terminal: no two lines look alike, and it says what VAT is in."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from billing.replay import simulation_texts
from billing.terms import set_terms
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


def test_what_terms_make_of_it_has_lines_of_its_own(cast: stories.Cast) -> None:
    """₩6,600 less 10 %, brought to ₩9,000 (9 of 30 days): whatever the usage would have cost, the fee makes up for it."""
    set_terms(
        organization=cast.acme.organization,
        month=NOON.date(),
        minimum_fee=Decimal(30_000),
        discount=Decimal("0.1"),
        zero_invoices="with_usage",
        reviewed=False,
        reason="Contract 7",
        actor=None,
        now=NOON,
    )
    use(cast.acme.organization, at=NOON, usage=TokenUsage(input_tokens=100_000_000))
    found = simulate(cast.acme, Hypothesis(exchange_rate=Decimal(1650)))
    told = json.loads(simulation_texts.as_json([found]))[0]
    assert [(row["kind"], row["before"], row["after"]) for row in told["agreed"]] == [
        ("discount", "-660", "-726"),
        ("minimum_fee", "3060", "2466"),
    ]
    assert told["total"]["difference"] == "0"
    assert any("minimum fee" in line and "-594" in line for line in simulation_texts.text_lines(found))
    assert [line.split(",")[2] for line in simulation_texts.as_csv([found]).splitlines()][-5:-3] == [
        "discount",
        "minimum_fee",
    ]


def test_a_single_price_needs_no_words(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON, usage=TokenUsage(input_tokens=500_000_000))
    [line] = [
        line for line in simulation_texts.text_lines(simulate(cast.acme, Hypothesis())) if stories.DEVSTRAL in line
    ]
    assert line.rstrip().endswith("+0")
