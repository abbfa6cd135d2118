"""A listed model as pages show it: upstream cost in dollars, and the month in won that every price list names."""

from dataclasses import dataclass
from decimal import Decimal

from accounts.models import TaxTreatment
from billing.onboarding import tax_rate_of
from catalog.models import LanguageModel
from catalog.price_list import ListedModel, ListPrice
from pricing.exact import ZERO, exact_sum
from pricing.rating import rate
from pricing.tokens import TokenClass, TokenUsage
from pricing.totals import Totals, invoice_totals

LISTED_TOKENS = 500_000
LISTED_MONTH = TokenUsage(input_tokens=LISTED_TOKENS, output_tokens=LISTED_TOKENS, requests=0)
"""The month of the price list: 0.5M tokens in, 0.5M out, in requests that are short enough for the base price."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Without a price, a model is no longer sold, or a router, which costs what the answering model costs."""

    model: LanguageModel
    price: ListPrice | None
    is_sold: bool

    @property
    def input_cost(self) -> Decimal | None:
        """USD a token."""
        return self.price and self.price.rate.unit_costs[TokenClass.INPUT]

    @property
    def output_cost(self) -> Decimal | None:
        return self.price and self.price.rate.unit_costs[TokenClass.OUTPUT]

    @property
    def cost_sum(self) -> Decimal | None:
        if self.input_cost is None or self.output_cost is None:
            return None
        return exact_sum((self.input_cost, self.output_cost))

    @property
    def currency(self) -> str:
        return self.price.rate.currency if self.price else ""

    @property
    def month(self) -> Totals | None:
        """Supply value, VAT and total of LISTED_MONTH, rounded as an invoice is."""
        if self.price is None:
            return None
        return invoice_totals(
            [rate(LISTED_MONTH, self.price.rate.unit_prices)],
            currency=self.currency,
            tax_rate=tax_rate_of(TaxTreatment.STANDARD),
        )

    @property
    def is_free(self) -> bool:
        return self.cost_sum == ZERO

    @property
    def is_variable(self) -> bool:
        """Has no price of its own, because it only passes requests on."""
        return self.price is None and self.is_sold


def offer_of(listed: ListedModel) -> Offer:
    return Offer(listed.model, listed.price, listed.is_sold)
