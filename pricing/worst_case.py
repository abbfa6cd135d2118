"""The most a call can cost, known before it is made: what `ledger` holds while the call runs.

A hold that is too small lets a limit be overspent, so every choice here errs upwards.
"""

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Context, Decimal

from pricing.exact import ONE, ZERO, exact_product, exact_sum
from pricing.rating import AMOUNT_DECIMALS, MissingUnitPrice, fitting
from pricing.tokens import COMPLETION_CLASSES, PROMPT_CLASSES, TokenClass

_STEP = Decimal(1).scaleb(-AMOUNT_DECIMALS)
_UPWARDS = Context(prec=80, rounding=ROUND_CEILING)


def worst_case_amount(
    *,
    prompt_bytes: int,
    max_output_tokens: int,
    media_tokens: int = 0,
    images: int = 0,
    searches: int = 0,
    highest_unit_prices: Mapping[TokenClass, Decimal],
    tax_rate: Decimal,
) -> Decimal:
    """The worst case of one request, tax included, in the currency of the unit prices, with at most 20 decimals.

    `prompt_bytes` are those of the whole request body: no tokenizer makes more than one token of a byte, and the
    body's JSON outweighs the tokens that a chat template adds. They and `media_tokens` (the model's maximum for what
    is attached) are priced as the dearest class of input, `max_output_tokens` as the dearest of output.
    `highest_unit_prices` come from `PriceSheet.highest_unit_costs`. If tax makes more than 20 decimals, the last is
    rounded up. Raises `ValueError` for a negative count or tax rate, `MissingUnitPrice` (searches of a model that lists no
    price for them), `AmountTooLarge`.
    """
    for name, count in (
        ("prompt_bytes", prompt_bytes),
        ("max_output_tokens", max_output_tokens),
        ("media_tokens", media_tokens),
        ("images", images),
        ("searches", searches),
        ("tax_rate", tax_rate),
    ):
        if count < 0:
            raise ValueError(f"{name} {count} is negative")
    net = exact_sum(
        (
            exact_product(prompt_bytes + media_tokens, _dearest(PROMPT_CLASSES, highest_unit_prices)),
            exact_product(max_output_tokens, _dearest(COMPLETION_CLASSES, highest_unit_prices)),
            exact_product(images, _dearest([TokenClass.IMAGES], highest_unit_prices)),
            exact_product(searches, _dearest([TokenClass.SEARCHES], highest_unit_prices)) if searches else ZERO,
            _dearest([TokenClass.REQUESTS], highest_unit_prices),
        )
    )
    gross = exact_product(net, exact_sum((ONE, tax_rate)))
    return fitting(gross.quantize(_STEP, context=_UPWARDS))


def _dearest(token_classes: Iterable[TokenClass], prices: Mapping[TokenClass, Decimal]) -> Decimal:
    try:
        return max(prices[token_class] for token_class in token_classes)
    except KeyError as missing:
        raise MissingUnitPrice(missing.args[0]) from None
