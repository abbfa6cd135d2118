"""What would a month cost with this model, or with each of them side by side? The rates and totals are those of invoices.

A volume is spread over its requests as evenly as whole tokens go, so there are at most two lengths of prompt, and each is priced in
the band that a call of that length gets. What a model has no price for makes it unpriced, with the reason: never cheaper.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from billing.estimates import Buyer
from billing.usage_lines import billable_quantities, priced
from catalog import price_book
from catalog.models import LanguageModel
from catalog.models_in_memory import matching
from catalog.rate_details import RateDetails, details_of_quote
from pricing.conditions import AgreedLine, Charged, Conditions, charged
from pricing.exact import ZERO, exact_product, exact_sum
from pricing.rating import RatedLine
from pricing.tokens import TokenClass
from pricing.totals import Totals

LISTED_TOKENS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What is used in a month. `cached_share` (0 to 1) of the input is read from cache, to the nearest whole token.

    Without a number of requests, prompts are taken to be short, and fees per request are left out. Images go in.
    """

    input_tokens: int = LISTED_TOKENS
    output_tokens: int = LISTED_TOKENS
    cached_share: Decimal = ZERO
    requests: int = 0
    images: int = 0

    @property
    def cached_tokens(self) -> int:
        return int(exact_product(self.input_tokens, self.cached_share).to_integral_value(ROUND_HALF_UP))


@dataclass(frozen=True, slots=True)
class Portion:
    """Requests (0: not told) with prompts of one length, and what they use together."""

    requests: int
    prompt_tokens: int
    counts: Mapping[TokenClass, int]


class Lack(StrEnum):
    """Why a model has no price for a volume."""

    NOT_SOLD = "not_sold"
    VARIES = "price_varies"
    TAKES_NO_IMAGES = "takes_no_images"
    NO_PRICE_PER_IMAGE = "no_price_per_image"
    IMAGES_UNKNOWN = "images_unknown"
    PROMPT_TOO_LONG = "prompt_too_long"


@dataclass(frozen=True, slots=True)
class Part:
    """What one band prices: its requests (0: not told) and lines."""

    rate: price_book.Rate
    requests: int
    lines: Sequence[RatedLine]

    @property
    def amount(self) -> Decimal:
        return exact_sum(line.amount for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What counted usage costs at one rate. `cost_usd` is the upstream's, `totals` in the billing currency as on an invoice.

    `agreed` is the buyer's discount, if there is one.
    """

    rate: RateDetails
    lines: Sequence[RatedLine]
    agreed: Sequence[AgreedLine]
    cost_usd: Decimal
    totals: Totals

    @property
    def formula(self) -> str:
        """The exact sum before discount, rounding and tax."""
        return self.rate.formula((line.token_class, line.quantity) for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the volume costs with `model`: upstream cost in dollars, totals in the buyer's currency as on an invoice, the buyer's
    discount (`agreed`) taken off.

    Of what cannot be priced there is no cost and no total, only what is lacking.
    """

    model: LanguageModel
    lack: Lack | None = None
    parts: Sequence[Part] = ()
    agreed: Sequence[AgreedLine] = ()
    cost_usd: Decimal | None = None
    totals: Totals | None = None


def portions_of(volume: Volume) -> list[Portion]:
    """One portion, or two whose prompts differ by a token: the longer ones come first."""
    sums = {
        TokenClass.INPUT: volume.input_tokens - volume.cached_tokens,
        TokenClass.CACHE_READ: volume.cached_tokens,
        TokenClass.OUTPUT: volume.output_tokens,
        TokenClass.IMAGES: volume.images,
        TokenClass.REQUESTS: volume.requests,
    }
    if not volume.requests:
        return [Portion(0, 0, sums)]
    shortest, longer = divmod(volume.input_tokens, volume.requests)
    if not longer:
        return [Portion(volume.requests, shortest, sums)]
    cached = _taken(volume.cached_tokens, longer, of=volume.requests)
    first = {
        TokenClass.INPUT: longer * (shortest + 1) - cached,
        TokenClass.CACHE_READ: cached,
        TokenClass.OUTPUT: _taken(volume.output_tokens, longer, of=volume.requests),
        TokenClass.IMAGES: _taken(volume.images, longer, of=volume.requests),
        TokenClass.REQUESTS: longer,
    }
    rest = {token_class: sums[token_class] - count for token_class, count in first.items()}
    return [Portion(longer, shortest + 1, first), Portion(volume.requests - longer, shortest, rest)]


def _taken(total: int, first: int, *, of: int) -> int:
    """What the first so many of all requests get of a total that is spread evenly, the remainder one each from the first on."""
    each, remainder = divmod(total, of)
    return first * each + min(first, remainder)


def estimate_counts(
    *,
    model: str,
    counts: Mapping[TokenClass, int],
    buyer: Buyer,
    at: datetime,
    prompt_tokens_per_request: int = 0,
) -> Estimate:
    """What `counts` (reasoning inside output) would cost at `at`; raises `price_book.NoRate`.

    A volume is made of many calls, so the rate is that of short prompts unless the length of one is given.
    """
    rate = price_book.quote(
        terms=buyer.terms, model=price_book.find_model(model), prompt_tokens=prompt_tokens_per_request, at=at
    )
    part = _part(rate, Portion(0, prompt_tokens_per_request, counts))
    cost_usd, sums = _sums([part], buyer)
    return Estimate(
        rate=details_of_quote(rate), lines=part.lines, agreed=sums.agreed, cost_usd=cost_usd, totals=sums.totals
    )


def what_if(*, model: LanguageModel, volume: Volume, buyer: Buyer, at: datetime) -> Answer:
    """What `volume` would cost with `model` at the rates of `at`."""
    return _answer(model, portions_of(volume), volume, buyer, at)


def compare(*, volume: Volume, buyer: Buyer, at: datetime, search: str = "", provider: str = "") -> list[Answer]:
    """What `volume` would cost with every model sold at `at` that matches; the cheapest first, the unpriced last."""
    answers = answers_for(matching(search=search, provider=provider), volume=volume, buyer=buyer, at=at)
    return sorted((answer for answer in answers if answer.lack != Lack.NOT_SOLD), key=by_total)


def answers_for(models: Iterable[LanguageModel], *, volume: Volume, buyer: Buyer, at: datetime) -> list[Answer]:
    """What `volume` would cost with each of these, in their order."""
    portions = portions_of(volume)
    return [_answer(model, portions, volume, buyer, at) for model in models]


def by_total(answer: Answer) -> tuple[bool, Decimal, str]:
    """Sorts by the exact amount before rounding, so that cheap models are told apart; the unpriced stand last."""
    amount = exact_sum(part.amount for part in answer.parts)
    return (answer.totals is None, amount, answer.model.slug)


def _answer(model: LanguageModel, portions: Sequence[Portion], volume: Volume, buyer: Buyer, at: datetime) -> Answer:
    try:
        entry = price_book.find_model(model.slug)
        rates = [
            price_book.quote(terms=buyer.terms, model=entry, prompt_tokens=portion.prompt_tokens, at=at)
            for portion in portions
        ]
    except price_book.UnknownModel:
        return Answer(model=model, lack=Lack.NOT_SOLD)
    except price_book.NoRate:
        varies = entry.is_router and price_book.is_sold(entry, at=at)
        return Answer(model=model, lack=Lack.VARIES if varies else Lack.NOT_SOLD)
    lack = _lack(model, rates[0], portions[0], volume)
    if lack is not None:
        return Answer(model=model, lack=lack)
    parts = _parts(rates, portions)
    cost_usd, sums = _sums(parts, buyer)
    return Answer(model=model, parts=parts, agreed=sums.agreed, cost_usd=cost_usd, totals=sums.totals)


def _parts(rates: Sequence[price_book.Rate], portions: Sequence[Portion]) -> list[Part]:
    """A part for each band: two lengths of prompt that get the same one stand together."""
    if len(portions) == 2 and rates[0].band == rates[1].band:
        first, second = portions
        together = {token_class: count + second.counts[token_class] for token_class, count in first.counts.items()}
        portions = [Portion(first.requests + second.requests, first.prompt_tokens, together)]
    return [_part(rate, portion) for rate, portion in zip(rates, portions, strict=False)]


def _part(rate: price_book.Rate, portion: Portion) -> Part:
    return Part(rate, portion.requests, priced(billable_quantities(portion.counts), rate.unit_prices))


def _sums(parts: Sequence[Part], buyer: Buyer) -> tuple[Decimal, Charged]:
    """The upstream's cost in dollars, and the sums as an invoice has them: a minimum fee is of the whole month, not of a volume."""
    lines = [(part, line) for part in parts for line in part.lines]
    cost_usd = exact_sum(exact_product(line.quantity, part.rate.unit_costs[line.token_class]) for part, line in lines)
    amounts = [line.amount for _part, line in lines]
    conditions = Conditions(discount=buyer.discount)
    return cost_usd, charged(amounts, conditions=conditions, currency=buyer.terms.currency, tax_rate=buyer.tax_rate)


def _lack(model: LanguageModel, rate: price_book.Rate, longest: Portion, volume: Volume) -> Lack | None:
    if model.context_length is not None and longest.prompt_tokens > model.context_length:
        return Lack.PROMPT_TOO_LONG
    if not volume.images or rate.unit_costs[TokenClass.IMAGES]:
        return None
    if "image" not in model.input_modalities:
        return Lack.TAKES_NO_IMAGES if model.input_modalities else Lack.IMAGES_UNKNOWN
    is_free = not any(rate.unit_costs.values())
    return None if is_free else Lack.NO_PRICE_PER_IMAGE
