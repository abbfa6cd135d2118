"""Lines and estimates: what a period's rollups say is what was charged, exactly, and what an invoice would round."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tenancy import tenant_scope
from billing import estimates
from billing.usage_lines import UsageLine, billable_quantities, usage_lines
from ledger.models import BillingPeriod
from ledger.periods import month_bounds
from metering.models import UsageEvent
from pricing.exact import exact_sum
from pricing.tokens import FIELD_OF, TokenClass, TokenUsage
from pricing.totals import invoice_totals
from tests import stories

NOW = stories.NOON
LAST_MONTH = NOW - timedelta(days=25)


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOW)


def lines_of(cast: stories.Cast, at: datetime = NOW) -> list[UsageLine]:
    acme = cast.acme.organization
    with tenant_scope([acme.pk]):
        return usage_lines(organization=acme, period=stories.period_of(acme, at))


def open_periods(cast: stories.Cast, now: datetime = NOW) -> list[estimates.PeriodEstimate]:
    with tenant_scope([cast.acme.organization.pk]):
        return estimates.open_periods(organization=cast.acme.organization, now=now)


def test_a_line_per_rate_and_class(cast: stories.Cast) -> None:
    acme = cast.acme.organization
    stories.make_model(
        "acme-labs/dear", now=NOW, pricing={"prompt": "0.000001", "completion": "0.000003", "request": "0.01"}
    )
    stories.use(acme, at=NOW)
    stories.use(acme, at=NOW - timedelta(days=3), usage=TokenUsage(input_tokens=1, output_tokens=5, reasoning_tokens=5))
    stories.use(acme, at=NOW, model="acme-labs/dear", usage=TokenUsage(input_tokens=10, output_tokens=0, requests=2))
    found = [(line.rate.model, line.token_class, line.quantity, line.amount) for line in lines_of(cast)]
    assert found == [
        ("acme-labs/dear", TokenClass.INPUT, 10, Decimal("0.0165")),
        ("acme-labs/dear", TokenClass.REQUESTS, 2, Decimal("33")),
        (stories.DEVSTRAL, TokenClass.INPUT, 1001, Decimal("0.066066")),
        (stories.DEVSTRAL, TokenClass.OUTPUT, 500, Decimal("0.033")),
        (stories.DEVSTRAL, TokenClass.REASONING, 5, Decimal("0.00033")),
    ]
    assert lines_of(cast)[0].formula == "10 × 0.000001 × (1 + 0.1) × 1500"


def test_a_late_charge_names_its_month_of_service(cast: stories.Cast) -> None:
    acme = cast.acme.organization
    stories.use(acme, at=LAST_MONTH)
    with tenant_scope([acme.pk]):
        stories.period_of(acme, NOW)
    ended = BillingPeriod.objects.using("system").filter(organization=acme, ends_at__lte=NOW)
    ended.update(status=BillingPeriod.Status.CLOSED, closed_at=NOW)
    stories.use(acme, at=LAST_MONTH, now=NOW, usage=TokenUsage(input_tokens=215_000_000))
    stories.use(acme, at=NOW, usage=TokenUsage(input_tokens=215_000_000))
    assert [(line.quantity, line.service_month and line.service_month.isoformat()) for line in lines_of(cast)] == [
        (215_000_000, None),
        (215_000_000, "2026-10-01"),
    ]
    [current] = open_periods(cast)
    assert (current.totals.subtotal, current.forecast and current.forecast.subtotal) == (28_380, 14_190 + 19_800), (
        "what is left over from October does not grow"
    )


def test_no_forecast_on_the_first_day(cast: stories.Cast) -> None:
    start, end = month_bounds(NOW, zone="Asia/Seoul")
    stories.use(cast.acme.organization, at=start + timedelta(hours=1))
    assert open_periods(cast, start + timedelta(hours=23))[-1].forecast is None
    assert open_periods(cast, start + timedelta(hours=25))[-1].forecast is not None
    ended, empty = open_periods(cast, end)
    assert (ended.forecast, empty.lines, empty.starts_at) == (None, [], end)


def test_looking_makes_no_period(cast: stories.Cast) -> None:
    [empty] = open_periods(cast)
    assert (empty.totals.total, empty.status) == (0, "open")
    assert not BillingPeriod.objects.using("system").exists()


counts = st.integers(min_value=0, max_value=2**31 - 1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    usages=st.lists(
        st.tuples(
            counts, counts, counts, counts, st.sampled_from([stories.DEVSTRAL, "odd/price"]), st.integers(0, 24 * 20)
        ),
        max_size=8,
    )
)
def test_the_lines_are_what_was_charged_to_the_last_digit(
    priced_cast: stories.Cast, usages: list[tuple[int, int, int, int, str, int]]
) -> None:
    acme = stories.open_account(name="A", owner=None, now=NOW)
    for fresh, cached, visible, thought, model, hours in usages:
        output = min(visible + thought, 2**31 - 1)
        stories.use(
            acme,
            at=NOW - timedelta(hours=hours),
            model=model,
            usage=TokenUsage(
                input_tokens=fresh,
                cache_read_tokens=cached,
                output_tokens=output,
                reasoning_tokens=min(thought, output),
            ),
        )
    with tenant_scope([acme.pk]):
        charged = exact_sum(UsageEvent.objects.for_organization(acme).values_list("amount", flat=True))
        lines = usage_lines(organization=acme, period=stories.period_of(acme, NOW))
        *_earlier, current = estimates.open_periods(organization=acme, now=NOW)
    assert exact_sum(line.amount for line in lines) == charged
    totals = invoice_totals([line.amount for line in lines], currency="KRW", tax_rate=Decimal("0.1"))
    assert current.totals == totals and sum(totals.lines) == totals.subtotal


@pytest.fixture
def priced_cast(cast: stories.Cast) -> stories.Cast:
    """Devstral, and a model whose price has all twelve decimals and a band for long prompts."""
    stories.make_model(
        "odd/price",
        now=NOW,
        pricing={
            "prompt": "0.000000123457",
            "completion": "0.000000987653",
            "input_cache_read": "0.000000012347",
            "internal_reasoning": "0.000001111111",
            "overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000000333333"}],
        },
    )
    return cast


@given(st.builds(lambda fields: fields, st.dictionaries(st.sampled_from(list(TokenClass)), counts)))
def test_quantities_of_one_call_are_those_of_its_usage(given_counts: dict[TokenClass, int]) -> None:
    reasoning = given_counts.get(TokenClass.REASONING, 0)
    given_counts[TokenClass.OUTPUT] = max(given_counts.get(TokenClass.OUTPUT, 0), reasoning)
    usage = TokenUsage(**({"requests": 0} | {FIELD_OF[name]: count for name, count in given_counts.items()}))
    assert billable_quantities(given_counts) == list(usage.billable_quantities())
