"""What an organization may still spend, as people read it: in whole won (or cents), tax included, and adding up as shown.

What is used and not invoiced is the sum of what its invoices would say, each rounded once, and so an estimate until they are
issued. The gateway counts exactly (`ledger.balances.available`); the two are less than a minor unit a period apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing.estimates import PeriodEstimate
from ledger.models import Balance
from pricing.exact import exact_sum
from pricing.totals import round_to_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`credit` + `credit_line` − `unbilled` − `receivable` − `held` = `available`, in whole minor units of `currency`."""

    currency: str
    credit: Decimal
    credit_line: Decimal
    unbilled: Decimal
    receivable: Decimal
    held: Decimal

    @property
    def available(self) -> Decimal:
        taken = exact_sum((self.unbilled, self.receivable, self.held))
        return exact_sum((self.credit, self.credit_line, -taken))


def standing_of(balance: Balance, periods: Iterable[PeriodEstimate]) -> Standing:
    """`periods` are all that are not invoiced yet."""
    currency = balance.currency
    return Standing(
        currency=currency,
        credit=round_to_minor(balance.prepaid, currency),
        credit_line=round_to_minor(balance.credit_line, currency),
        unbilled=exact_sum(period.totals.total for period in periods),
        receivable=round_to_minor(balance.receivable, currency),
        held=round_to_minor(balance.held, currency),
    )
