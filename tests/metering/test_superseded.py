"""Invariant 11b: a charge by a price that had a successor by then is found, put right, and nothing else is taken for one."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from catalog import price_book
from catalog.correcting import correct_cost_price
from catalog.markups import set_markup
from catalog.models import LanguageModel
from metering.superseded import charged_by_superseded
from pricing.openrouter_pricing import parse_openrouter_pricing
from tests import stories
from tests.billing.test_audit import break_books
from tests.stories import NOON, use

HOUR = timedelta(hours=1)
SUCCESSOR = """
    INSERT INTO catalog_costprice (cost_table_id, language_model_id, effective_from, revision, sheet, raw, origin, created_at)
    SELECT cost_table_id, language_model_id, timestamptz '{since}', 1, {sheet}, raw, origin, timestamptz '{made}'
    FROM catalog_costprice"""
DEARER = """jsonb_set(sheet, '{base,input}', '"0.0000005"')"""
WITH_IMAGES = """jsonb_set(sheet, '{base,images}', '"0.5"')"""


@pytest.fixture
def cast(db: None) -> stories.Cast:
    cast = stories.meet_the_cast(now=NOON - 5 * HOUR)
    use(cast.acme.organization, at=NOON - HOUR)
    return cast


def succeed(*, sheet: str = DEARER, since: object = NOON - 2 * HOUR, made: object = NOON - 3 * HOUR) -> None:
    break_books(SUCCESSOR.format(sheet=sheet, since=since, made=made))
    price_book.forget()


def test_a_charge_by_a_price_that_had_a_successor_is_found(cast: stories.Cast) -> None:
    assert charged_by_superseded() == []
    succeed()
    [found] = charged_by_superseded()
    assert f"organization_id {cast.acme.organization.pk}" in found and "in force" in found
    with pytest.raises(CommandError, match="violated"):
        call_command("audit")


def test_a_charge_that_was_taken_back_is_right_again(cast: stories.Cast) -> None:
    succeed()
    stories.correct_usage(cast.acme.organization, now=NOON, recharge=False)
    assert charged_by_superseded() == []


@pytest.mark.parametrize(
    "when",
    [{"since": NOON - HOUR / 2}, {"made": NOON}, {"sheet": WITH_IMAGES}],
    ids=["began later", "was written later", "says the same for it"],
)
def test_what_makes_no_charge_wrong(cast: stories.Cast, when: dict[str, object]) -> None:
    succeed(**when)  # type: ignore[arg-type]
    assert charged_by_superseded() == []


def test_a_markup_that_had_a_successor_is_found(cast: stories.Cast) -> None:
    set_markup(markup=Decimal("0.5"), effective_from=NOON - 2 * HOUR, now=NOON - 3 * HOUR)
    price_book.forget()
    assert len(charged_by_superseded()) == 1


def test_a_correction_dated_back_leaves_earlier_charges_right_and_holds_for_later_ones(cast: stories.Cast) -> None:
    dearer = parse_openrouter_pricing({"prompt": "0.0000005", "completion": "0.00000004"})
    assert dearer is not None
    correct_cost_price(
        language_model=LanguageModel.objects.get(),
        sheet=dearer,
        effective_from=NOON - 4 * HOUR,
        reason="mistyped",
        now=NOON,
        actor=None,
    )
    price_book.forget()
    use(cast.acme.organization, at=NOON - HOUR, now=NOON + HOUR)
    call_command("audit")
