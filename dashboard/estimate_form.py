"""The what-if estimate on public pages, answered without scripts: `?input_tokens=500,000&output_tokens=0.5M`.

With scripts, static/js/estimate.js asks POST /api/v1/estimates instead: the same `what_if.estimate_counts` for the same buyer.
"""

from datetime import datetime
from typing import Any

from django.http import HttpRequest

from accounts.models import User
from accounts.organizations import memberships_of
from accounts.tenancy import tenant_scope
from billing.estimates import Buyer, buyer_of, public_buyer
from billing.what_if import estimate_counts
from catalog import price_book
from catalog.models import LanguageModel
from dashboard.formulas import formula_lines
from dashboard.offers import LISTED_TOKENS
from dashboard.rate_sources import source_name
from dashboard.token_counts import NoTokenCount, token_count
from pricing.tokens import TokenClass

FIELDS = ("input_tokens", "output_tokens")
LONGEST_ECHO = 40
"""Of a text that cannot be read, so much is shown again."""


def asked_estimate(request: HttpRequest, model: LanguageModel, *, at: datetime) -> dict[str, Any] | None:
    """The estimate of the volumes that the address names, for the reader.

    `texts` is what its fields show, `errors` what cannot be read of them; the price list's volume stands for that.
    """
    counts: dict[str, int] = dict.fromkeys(FIELDS, LISTED_TOKENS)
    errors: dict[str, str] = {}
    for name in FIELDS:
        if name in request.GET:
            try:
                counts[name] = token_count(request.GET[name])
            except NoTokenCount as problem:
                errors[name] = str(problem)
    buyer = buyer_of_reader(request, at=at)
    estimate = estimate_of(model, **counts, buyer=buyer, at=at)
    if estimate is None:
        return None
    texts = {name: request.GET[name][:LONGEST_ECHO] if name in errors else f"{counts[name]:,}" for name in FIELDS}
    return estimate | {"texts": texts, "errors": errors, "buyer": buyer}


def buyer_of_reader(request: HttpRequest, *, at: datetime) -> Buyer:
    """The reader's organization if they have just one, as the API has it; list prices for everybody else."""
    places = memberships_of(request.user) if isinstance(request.user, User) else []
    if len(places) != 1:
        return public_buyer()
    with tenant_scope([places[0].organization_id]):
        return buyer_of(places[0].organization, at=at)


def estimate_of(
    model: LanguageModel, *, input_tokens: int, output_tokens: int, buyer: Buyer, at: datetime
) -> dict[str, Any] | None:
    """What components/estimate.html shows, and the lines of components/formula.html; None without a price."""
    counts = {TokenClass.INPUT: input_tokens, TokenClass.OUTPUT: output_tokens}
    try:
        answer = estimate_counts(model=model.slug, counts=counts, buyer=buyer, at=at)
    except price_book.NoRate:
        return None
    exchange = answer.rate.exchange
    return {
        "model": model.slug,
        "model_name": model.name,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_usd": answer.cost_usd,
        "supply_value": answer.totals.subtotal,
        "tax": answer.totals.tax,
        "total": answer.totals.total,
        "currency": answer.rate.currency,
        "exchange_rate": exchange and exchange.rate,
        "exchange_rate_source": exchange and source_name(exchange.source),
        "exchange_rate_day": exchange and exchange.published_on,
        "lines": formula_lines(answer.lines, answer.rate),
    }
