"""How much of a spend limit is spent, held and left, as a page shows it."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.urls import reverse

from dashboard.time_ranges import address
from ledger.balances import with_tax
from ledger.models import LimitWindow, SpendLimit
from pricing.exact import exact_sum
from pricing.totals import invoice_totals, round_to_minor

BAR = 1000
"""Units of width in which the bar is drawn."""
WARNING = Decimal("0.8")


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit as a page shows it: `amount` − `spent` − `held` = `left`, with tax, in whole minor units.

    `spent` is what an invoice of it would say. The gateway counts exactly (`ledger.limits.left`), and so do `used` and `tone`, by
    `counted`. `spent_width` and `held_width` are parts of BAR.
    """

    limit: SpendLimit
    spent: Decimal
    held: Decimal
    counted: Decimal

    @property
    def left(self) -> Decimal:
        return exact_sum((self.limit.amount, -self.spent, -self.held))

    @property
    def daily(self) -> bool:
        return self.limit.window == LimitWindow.DAY

    @property
    def spent_width(self) -> int:
        return self._width(self.spent)

    @property
    def held_width(self) -> int:
        return min(self._width(self.limit.held), BAR - self.spent_width)

    @property
    def used(self) -> Decimal:
        """As a ratio; a limit of nothing is used up."""
        taken = self.counted + self.limit.held
        return taken / self.limit.amount if self.limit.amount else Decimal(1)

    @property
    def tone(self) -> str:
        return "danger" if self.used >= 1 else "warning" if self.used >= WARNING else ""

    @property
    def spent_url(self) -> str:
        """What was spent, day by day or request by request, in the window; members' is among all members'."""
        limit, zone = self.limit, ZoneInfo(self.limit.organization.zone)
        last = limit.window_end - timedelta(microseconds=1)
        days = {
            "from": limit.window_start.astimezone(zone).date().isoformat(),
            "to": last.astimezone(zone).date().isoformat(),
        }
        if limit.api_key_id is not None:
            page, more = "dashboard:requests", {"key": str(limit.api_key_id)}
        else:
            page, more = "dashboard:usage", {"group": "member" if limit.member_id is not None else ""}
        return reverse(page, args=[limit.organization.slug]) + address(**days, **more)

    def _width(self, amount: Decimal) -> int:
        return max(min(int(amount / self.limit.amount * BAR), BAR), 0) if self.limit.amount else BAR


def standing(limit: SpendLimit) -> Standing:
    """What to show of a limit that was moved on to the present window."""
    currency, tax_rate = limit.organization.billing_currency, limit.organization.balance.tax_rate
    return Standing(
        limit,
        spent=invoice_totals([limit.spent], currency=currency, tax_rate=tax_rate).total,
        held=round_to_minor(limit.held, currency),
        counted=with_tax(limit.spent, tax_rate),
    )
