"""The worst case of a call: the output cap that goes upstream, and the amount that is held for it.

What is reserved bounds what can be charged, because the cap that was reserved for is the cap that the upstream is told.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from catalog import price_book
from catalog.price_snapshot import ModelEntry
from gateway.asks import Ask
from gateway.errors import InvalidRequest, ModelNotFound
from gateway.keys import Caller
from gateway.searching import SEARCHES_AT_MOST, always_searches
from gateway.sold import models_on_sale
from pricing.rating import AmountTooLarge, MissingUnitPrice
from pricing.tokens import TokenClass
from pricing.worst_case import worst_case_amount

UNKNOWN_CONTEXT = 131_072
"""Tokens that media may fill in a model whose context window is not known."""
ROOM_FOR_ANSWER = 8
"""A default cap leaves the prompt its bytes, but takes at least this part (one eighth) of the context window."""


def output_cap(ask: Ask, models: Sequence[ModelEntry], *, prompt_bytes: int) -> int:
    """Output tokens of one answer at most: what the caller asks for, else a default that fits beside the prompt.

    No more is ever asked for than the largest context window holds, because no more can be written.
    """
    windows = [model.context_length for model in models]
    window = None if None in windows else max(length for length in windows if length is not None)
    if ask.max_output is not None:
        return ask.max_output if window is None else min(ask.max_output, window)
    bounds: list[int] = [settings.GATEWAY_DEFAULT_MAX_OUTPUT]
    bounds += [model.max_completion_tokens for model in models if model.max_completion_tokens]
    for model in models:
        if model.context_length:
            bounds.append(max(model.context_length - prompt_bytes, model.context_length // ROOM_FOR_ANSWER, 1))
    return min(bounds)


def worst_case(
    ask: Ask, models: Sequence[ModelEntry], *, caller: Caller, prompt_bytes: int, cap: int, now: datetime
) -> Decimal:
    """The most that the call can cost in the caller's currency, tax included: the dearest of the models that may answer.

    Bytes say nothing of what media or searches count, so a prompt with either is taken to fill the context window. Raises
    ModelNotFound, InvalidRequest.
    """
    output = cap * ask.answers + (prompt_bytes if ask.predicted else 0)
    try:
        return max(
            _worst_case_of(model, ask, caller=caller, prompt_bytes=prompt_bytes, output=output, now=now)
            for model in models
        )
    except AmountTooLarge:
        raise InvalidRequest("The requested output is too large.", param="max_tokens") from None
    except MissingUnitPrice:
        raise InvalidRequest(
            "This model has no price for web searches, so plugins, web_search_options and built-in tools cannot be used with it.",
            param="plugins",
        ) from None


def _worst_case_of(
    model: ModelEntry, ask: Ask, *, caller: Caller, prompt_bytes: int, output: int, now: datetime
) -> Decimal:
    prices = highest_prices(model, caller=caller, now=now)
    unasked = always_searches(model)
    fills_window = ask.has_media or unasked
    searches = SEARCHES_AT_MOST if unasked and TokenClass.SEARCHES in prices else ask.searches
    return worst_case_amount(
        prompt_bytes=0 if fills_window and model.context_length else prompt_bytes,
        media_tokens=(model.context_length or UNKNOWN_CONTEXT) if fills_window else 0,
        max_output_tokens=output,
        images=ask.images,
        searches=searches,
        highest_unit_prices=prices,
        tax_rate=caller.tax_rate,
    )


def highest_prices(model: ModelEntry, *, caller: Caller, now: datetime) -> Mapping[TokenClass, Decimal]:
    """Unit prices that no answer to `model` can exceed. A router has none of its own: any model may answer for it."""
    if not price_book.is_sold(model, at=now):
        raise ModelNotFound(model.slug)
    if not model.is_router:
        try:
            return price_book.highest_unit_prices(terms=caller.terms, model=model, at=now)
        except price_book.NoRate:
            raise ModelNotFound(model.slug) from None
    dearest: dict[TokenClass, Decimal] = {}
    for other in models_on_sale(now=now):
        if not other.is_router:
            for token_class, price in highest_prices(other, caller=caller, now=now).items():
                dearest[token_class] = max(price, dearest.get(token_class, price))
    if not dearest:
        raise ModelNotFound(model.slug)
    return dearest
