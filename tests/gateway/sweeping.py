"""The sweeper as a worker runs it, before the same stand-in; and the stand-in's bill beside what we charged."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from pytest_django import Settings

from catalog import price_book
from gateway.questions import answer_questions
from ledger import questions
from tests.gateway.conftest import UPSTREAM_KEY
from tests.gateway.running import House, wait_until

Sweep = Callable[..., int]


def sweeper(house: House, settings: Settings) -> Sweep:
    """Runs one sweep `later` than now (a timedelta): holds whose time is over are questioned first."""
    settings.OPENROUTER_API_KEY = ""
    settings.UPSTREAM_BASE_URL = f"{house.llm.url}/v1"
    settings.UPSTREAM_API_KEY = UPSTREAM_KEY
    settings.UPSTREAM_URLS = [settings.UPSTREAM_BASE_URL]
    price_book.forget()

    def sweep(later: timedelta = timedelta(0)) -> int:
        def clock() -> Any:
            return timezone.now() + later

        questions.question_expired(now=clock())
        return answer_questions(clock=clock)

    return sweep


def billed(house: House) -> dict[str, tuple[int, int, Decimal]]:
    """What the stand-in charges for, by generation: prompt and completion tokens, and US dollars."""

    def ended() -> Any:
        """All entries, in a list of their own, once none of them can change any more."""
        generations = house.llm.get("/sandbox/bill")["generations"]
        runs = any(entry["state"] == "running" and Decimal(entry["cost"]) for entry in generations)
        return None if runs else [generations]

    [found] = wait_until(ended, seconds=10)
    return {
        entry["id"]: (entry["native_tokens_prompt"], entry["native_tokens_completion"], Decimal(entry["cost"]))
        for entry in found
        if Decimal(entry["cost"])
    }


def charged(house: House, *, since: Any) -> dict[str, tuple[int, int, Decimal]]:
    """What we charged for since then, the same way; an event that names no cost is not among them."""
    rows = house.rows(
        "SELECT generation_id, coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) AS prompt, output_tokens, reported_cost"
        " FROM metering_usageevent WHERE occurred_at >= %s AND reported_cost IS NOT NULL",
        since,
    )
    assert len({row["generation_id"] for row in rows}) == len(rows), "a generation was charged twice"
    return {row["generation_id"]: (row["prompt"], row["output_tokens"], row["reported_cost"]) for row in rows}
