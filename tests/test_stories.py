"""The cast itself: what other tests take for granted."""

from decimal import Decimal

from metering.reports import Status
from pricing.tokens import TokenUsage
from tests import stories


def test_half_a_million_in_and_out_costs_66_won(db: None) -> None:
    cast = stories.meet_the_cast(now=stories.NOON)
    outcome = stories.use(
        cast.acme.organization, at=stories.NOON, usage=TokenUsage(input_tokens=500_000, output_tokens=500_000)
    )
    assert (outcome.status, outcome.amount, outcome.currency) == (Status.ACCEPTED, Decimal(66), "KRW")


def test_the_cast_stays_apart(db: None) -> None:
    cast = stories.meet_the_cast(now=stories.NOON)
    assert cast.acme.organization.slug == "acme"
    assert cast.globex.key.organization_id == cast.globex.organization.pk != cast.acme.organization.pk
    assert cast.operator.is_staff
