"""What a month would have cost under other prices is what it does cost where they are in force, to the won. Nothing is written."""

import csv
import io
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db.utils import InternalError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accounts.tenancy import tenant_scope
from billing import estimates
from billing.invoicing import close_period
from billing.replay import simulation
from billing.replay.replaying import NotPriced
from billing.replay.simulation import Simulation, simulate_period
from billing.sellers import set_seller
from catalog import price_book
from catalog.hypothetical_prices import Hypothesis, Implausible
from catalog.markups import set_markup
from catalog.models import LanguageModel
from catalog.publishing import LEAD, publish_cost_price
from ledger.models import BillingPeriod
from ledger.periods import month_bounds
from metering.rerating import rerate_period
from pricing.bands import PriceSheet
from pricing.exact import exact_sum
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenClass, TokenUsage
from tests import stories
from tests.stories import DEVSTRAL, NOON, use

_numbers = count(1)
NOTHING = Hypothesis()
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Each example fills a database, so making a failing one smaller would take minutes."""
BANDED = {
    "prompt": "0.000001",
    "completion": "0.000002",
    "overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000003"}],
}


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def sheet_of(pricing: Mapping[str, object]) -> PriceSheet:
    sheet = parse_openrouter_pricing(pricing)
    assert sheet is not None
    return sheet


def period_of(company: stories.Company, at: datetime = NOON) -> BillingPeriod:
    return BillingPeriod.objects.using("system").get(
        organization=company.organization, starts_at__lte=at, ends_at__gt=at
    )


def simulate(company: stories.Company, hypothesis: Hypothesis = NOTHING, at: datetime = NOON) -> Simulation:
    return simulate_period(
        organization_id=company.organization.pk, period_id=period_of(company, at).pk, hypothesis=hypothesis
    )


def correct_price(slug: str, pricing: Mapping[str, object], *, since: datetime) -> None:
    model = LanguageModel.objects.using("system").select_related("cost_table").get(slug=slug)
    publish_cost_price(
        cost_table=model.cost_table,
        language_model=model,
        sheet=sheet_of(pricing),
        effective_from=since,
        raw=pricing,
        origin="test",
        now=NOON,
    )
    price_book.forget()


def test_a_markup_for_all_shows_the_difference_by_line(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON, usage=TokenUsage(input_tokens=500_000_000, output_tokens=500_000_000))

    found = simulate(cast.acme, Hypothesis(markups={(None, None, ""): Decimal("0.25")}))

    assert [(line.token_class, line.quantity, line.before, line.after) for line in found.lines] == [
        (TokenClass.INPUT, 500_000_000, 33_000, 37_500),
        (TokenClass.OUTPUT, 500_000_000, 33_000, 37_500),
    ]
    assert (found.before.total, found.after.total, found.difference) == (72_600, 82_500, 9_900)
    assert found.cost_before == found.cost_after == 40
    assert found.events_read == 0


def test_a_customers_own_rule_shields_it_from_a_general_one(cast: stories.Cast) -> None:
    set_markup(markup=Decimal("0.05"), effective_from=NOON, now=NOON, organization=cast.acme.organization)
    price_book.forget()
    for company in (cast.acme, cast.globex):
        use(company.organization, at=NOON + timedelta(hours=1), usage=TokenUsage(input_tokens=500_000_000))
    general = Hypothesis(markups={(None, None, ""): Decimal("0.25")})
    own = Hypothesis(markups={(cast.acme.organization.pk, None, ""): Decimal("0.25")})
    provider = Hypothesis(markups={(None, None, "mistralai"): Decimal("0.25")})
    assert [simulate(cast.acme, one).difference for one in (general, own, provider)] == [0, 6_600, 0]
    assert [simulate(cast.globex, one).difference for one in (general, own, provider)] == [4_950, 0, 4_950]


def test_an_exchange_rate_moves_won_but_not_dollars(cast: stories.Cast) -> None:
    abroad = stories.make_company("abroad", now=NOON, currency="USD")
    for company in (cast.acme, abroad):
        use(company.organization, at=NOON, usage=TokenUsage(input_tokens=500_000_000))
    hypothesis = Hypothesis(exchange_rate=Decimal(1400))
    assert (simulate(cast.acme, hypothesis).after.subtotal, simulate(abroad, hypothesis).difference) == (30_800, 0)


def test_without_a_supposition_it_is_the_invoice_to_the_won_even_after_a_late_correction(cast: stories.Cast) -> None:
    _start, end = month_bounds(NOON, zone="Asia/Seoul")
    stories.make_model("acme-labs/banded", now=NOON, pricing=BANDED)
    use(cast.acme.organization, at=NOON, usage=TokenUsage(input_tokens=123_457, output_tokens=77, reasoning_tokens=7))
    use(cast.acme.organization, at=NOON, model="acme-labs/banded", usage=TokenUsage(input_tokens=200_001))
    use(cast.acme.organization, at=NOON, model="acme-labs/banded", usage=TokenUsage(cache_read_tokens=200_000))
    correct_price(DEVSTRAL, {"prompt": "0.000007", "completion": "0.000007"}, since=NOON - timedelta(days=9))
    with tenant_scope([cast.acme.organization.pk]):
        [estimate] = estimates.open_periods(organization=cast.acme.organization, now=NOON)
    running = simulate(cast.acme)
    assert running.before == running.after == estimate.totals
    set_seller(now=NOON, **stories.SELLER)
    invoice = close_period(organization_id=cast.acme.organization.pk, period_id=period_of(cast.acme).pk, now=end)
    closed = simulate(cast.acme)
    assert invoice is not None
    assert (closed.before.total, closed.after.total, closed.invoice) == (invoice.total, invoice.total, invoice)
    assert exact_sum(line.after for line in closed.lines) == invoice.exact_subtotal


def test_calls_are_read_only_where_sums_do_not_tell_their_band(cast: stories.Cast) -> None:
    sizes = (199_999, 200_000, 200_001, 900_000)
    for minutes, size in enumerate(sizes):
        use(cast.acme.organization, at=NOON + timedelta(minutes=minutes), usage=TokenUsage(input_tokens=size))
    stories.make_model("acme-labs/banded", now=NOON, pricing=BANDED)
    for minutes, size in enumerate(sizes):
        use(
            cast.acme.organization,
            at=NOON + timedelta(minutes=minutes),
            model="acme-labs/banded",
            usage=TokenUsage(input_tokens=size),
        )
    dearer = BANDED | {"overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000005"}]}

    same_thresholds = simulate(cast.acme, Hypothesis(prices={"acme-labs/banded": sheet_of(dearer)}))
    assert same_thresholds.events_read == 0
    new_thresholds = simulate(cast.acme, Hypothesis(prices={DEVSTRAL: sheet_of(BANDED)}))
    assert new_thresholds.events_read == len(sizes)
    [line] = [line for line in new_thresholds.lines if line.rate.model == DEVSTRAL]
    assert line.after == (399_999 * Decimal("0.000001") + 1_100_001 * Decimal("0.000003")) * Decimal("1650")
    assert line.new_unit_prices == [Decimal("0.00165"), Decimal("0.00495")]


def test_what_was_taken_back_is_taken_back_in_the_simulation_too(cast: stories.Cast) -> None:
    """Original and reversal fall into the same band of a sheet with another threshold, so they cancel out."""
    for size in (150_000, 300_000):
        use(cast.acme.organization, at=NOON, usage=TokenUsage(input_tokens=size))
    correct_price(DEVSTRAL, {"prompt": "0.00000002", "completion": "0.00000002"}, since=NOON - timedelta(days=1))
    rerate_period(
        organization=cast.acme.organization,
        period_id=period_of(cast.acme).pk,
        reason="wrong",
        actor=None,
        now=NOON + LEAD,
    )
    found = simulate(cast.acme, Hypothesis(prices={DEVSTRAL: sheet_of(BANDED)}))
    assert found.events_read == 6
    assert exact_sum(line.after for line in found.lines) == (Decimal("0.15") + Decimal("0.9")) * 1650
    assert found.before == simulate(cast.acme).after


def test_a_price_that_leaves_out_what_was_used_is_refused(cast: stories.Cast) -> None:
    stories.make_model("acme-labs/search", now=NOON, pricing={**stories.DEVSTRAL_PRICE, "web_search": "0.01"})
    use(cast.acme.organization, at=NOON, model="acme-labs/search", usage=TokenUsage(input_tokens=1, searches=2))
    with pytest.raises(NotPriced, match="acme-labs/search: no unit price for searches"):
        simulate(cast.acme, Hypothesis(prices={"acme-labs/search": sheet_of(stories.DEVSTRAL_PRICE)}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"markups": {(None, None, ""): Decimal("-1")}},
        {"markups": {(None, None, ""): Decimal("0.00001")}},
        {"markups": {(None, None, ""): Decimal("NaN")}},
        {"exchange_rate": Decimal(0)},
        {"exchange_rate": Decimal("Infinity")},
    ],
    ids=["gift", "too fine", "nan", "zero", "infinite"],
)
def test_an_impossible_supposition_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Implausible):
        Hypothesis(**wrong)  # type: ignore[arg-type]


def test_an_unknown_model_is_refused(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON)
    with pytest.raises(Implausible, match="unknown model: no/such"):
        simulate(cast.acme, Hypothesis(prices={"no/such": sheet_of(stories.DEVSTRAL_PRICE)}))


def test_the_database_itself_refuses_to_write_while_simulating(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON)
    with pytest.raises(InternalError, match="read-only transaction"), simulation._reading(cast.acme.organization.pk):
        BillingPeriod.objects.update(zone="UTC")


def test_the_process_goes_on_with_the_real_prices(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON)
    before = price_book.current()
    simulate(
        cast.acme,
        Hypothesis(
            prices={DEVSTRAL: sheet_of(BANDED)},
            markups={(None, None, ""): Decimal(9)},
            exchange_rate=Decimal(1),
        ),
    )
    assert price_book.current() == before
    assert use(cast.acme.organization, at=NOON).amount == Decimal("0.099")


@settings(max_examples=12, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 400_000), st.integers(0, 90_000), st.integers(0, 90_000), st.integers(0, 20 * 24 * 60)
        ),
        min_size=1,
        max_size=8,
    ),
    charged=st.sampled_from([stories.DEVSTRAL_PRICE, BANDED]),
    price=st.integers(0, 10**6),
    threshold=st.sampled_from([1, 100_000, 200_000, 250_000]),
    hours=st.sampled_from([None, (0, 1), (510, 1230), (1300, 20)]),
    markup=st.none() | st.integers(0, 30_000),
    exchange=st.none() | st.integers(1, 30_000_000),
)
def test_a_simulated_change_is_what_is_charged_where_it_is_in_force(
    cast: stories.Cast,
    calls: list[tuple[int, int, int, int]],
    charged: dict[str, object],
    price: int,
    threshold: int,
    hours: tuple[int, int] | None,
    markup: int | None,
    exchange: int | None,
) -> None:
    """The same usage twice: simulated under a change, and charged with the change in force from the start."""
    number = next(_numbers)
    text = format(Decimal(price).scaleb(-12), "f")
    condition: dict[str, object] = {"min_prompt_tokens": threshold, "prompt": "0.000009"}
    if hours:
        condition |= {"utc_start": hours[0], "utc_end": hours[1]}
    changed = {"prompt": text, "completion": "0.000004", "request": "0.1", "overrides": [condition]}
    real, other = f"test/real-{number}", f"test/other-{number}"
    stories.make_model(real, now=NOON, pricing=charged)
    stories.make_model(other, now=NOON, pricing=changed)
    company, twin = (stories.make_company(f"{name}-{number}", now=NOON) for name in ("company", "twin"))
    factor = None if markup is None else Decimal(markup).scaleb(-4)
    rate = None if exchange is None else Decimal(exchange).scaleb(-4)
    if factor is not None:
        set_markup(markup=factor, effective_from=NOON - timedelta(days=99), now=NOON, organization=twin.organization)
        price_book.forget()
    for read, cached, written, minutes in calls:
        usage = TokenUsage(input_tokens=read, cache_read_tokens=cached, output_tokens=written)
        at = NOON - timedelta(minutes=minutes)
        use(company.organization, at=at, now=NOON, model=real, usage=usage)
        use(twin.organization, at=at, now=NOON, model=other, usage=usage)
    hypothesis = Hypothesis(
        prices={real: sheet_of(changed)},
        markups={} if factor is None else {(company.organization.pk, None, ""): factor},
        exchange_rate=rate,
    )

    simulated = simulate(company, hypothesis)

    actual = simulate(twin, Hypothesis(exchange_rate=rate))
    with tenant_scope([twin.organization.pk]):
        [estimate] = estimates.open_periods(organization=twin.organization, now=NOON)
    assert simulated.after.total == actual.after.total
    assert simulated.cost_after == actual.cost_after == actual.cost_before
    if rate is None:
        assert simulated.after.total == estimate.totals.total
    assert simulated.before.total == simulate(company).after.total


def run(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    call_command("simulate", "--period", "2026-11", *options)
    return capsys.readouterr().out


def test_the_command_shows_customers_and_lines(cast: stories.Cast, capsys: pytest.CaptureFixture[str]) -> None:
    for company in (cast.acme, cast.globex):
        use(company.organization, at=NOON, usage=TokenUsage(input_tokens=500_000_000))
    text = run(capsys, "--markup", "0.25")
    assert [line.split() for line in text.splitlines() if line.startswith(("acme", "all"))] == [
        ["acme", "36,300", "→", "41,250", "+4,950", "KRW"],
        ["all", "72,600", "→", "82,500", "+9,900", "KRW"],
    ]
    assert "nothing was written" in text
    text = run(capsys, "--markup", "0.25", "--organization", "acme", "--model", DEVSTRAL)
    assert "acme" in text and "globex" not in text
    assert "all " in run(capsys, "--exchange-rate", "1400", "--price", f"{DEVSTRAL}=0.05:0.06")


def test_figures_are_not_compared_with_a_month_that_had_conditions_unless_that_is_meant(
    cast: stories.Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    """The price with the condition is over by now, but held for a day of the month."""
    use(cast.acme.organization, at=NOON)
    correct_price(DEVSTRAL, BANDED, since=NOON - timedelta(days=3))
    correct_price(DEVSTRAL, stories.DEVSTRAL_PRICE, since=NOON - timedelta(days=2))
    with pytest.raises(CommandError, match="also has other prices above 200,000 prompt tokens"):
        run(capsys, "--price", f"{DEVSTRAL}=0.05:0.06")
    assert "acme" in run(capsys, "--price", f"{DEVSTRAL}=0.05:0.06", "--drop-the-rest")


def test_the_command_writes_json_and_csv(
    cast: stories.Cast, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    use(cast.acme.organization, at=NOON, usage=TokenUsage(input_tokens=500_000_001))
    prices = tmp_path / "prices.csv"
    prices.write_text(f"model,prompt_per_1m,completion_per_1m\n{DEVSTRAL},0.08,0.08\nno/such,1,1\n")
    [found] = json.loads(run(capsys, "--price", str(prices), "--format", "json"))
    assert found["subtotal"] == {"before": "33000", "after": "66000", "difference": "33000"}
    assert found["lines"][0]["exact"] == {"before": "33000.000066", "after": "66000.000132"}
    assert found["cost_usd"] == {"before": "20.00000004", "after": "40.00000008", "difference": "20.00000004"}
    rows = list(csv.DictReader(io.StringIO(run(capsys, "--price", str(prices), "--format", "csv"))))
    assert [(row["kind"], row["difference"]) for row in rows] == [
        ("line", "33000"),
        ("subtotal", "33000"),
        ("tax", "3300"),
        ("total", "36300"),
    ]


def test_no_spreadsheet_takes_a_model_for_a_formula(cast: stories.Cast, capsys: pytest.CaptureFixture[str]) -> None:
    """The name is a stranger's; our own negative figures are no text and stay."""
    model = stories.make_model("=cmd/calc", now=NOON, pricing=stories.DEVSTRAL_PRICE).slug
    use(cast.acme.organization, at=NOON, model=model, usage=TokenUsage(input_tokens=500_000_000))
    rows = list(csv.DictReader(io.StringIO(run(capsys, "--markup", "0", "--format", "csv"))))
    assert rows[0]["model"] == f"'{model}"
    assert [row["difference"] for row in rows] == ["-3000", "-3000", "-300", "-3300"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--period", "November"], "is not a month"),
        (["--organization", "nobody"], "unknown organization: nobody"),
        (["--markup", "ten"], "not a decimal number"),
        (["--markup", "-1"], "a markup is above -1"),
        (["--markup", "0.1", "--provider", "mistralai", "--model", DEVSTRAL], "stands alone"),
        (["--model", DEVSTRAL], "say what a --markup is for"),
        (["--price", f"{DEVSTRAL}=0.00000004:0.00000004"], "looks like the price of one"),
        (["--price", f"{DEVSTRAL}=0.04"], "write a price as model=prompt:completion"),
        (["--price", "no/such=1:1"], "unknown model: no/such"),
        (["--price", "nowhere.json"], "No such file"),
        (["--exchange-rate", "0"], "an exchange rate is above 0"),
    ],
    ids=str,
)
def test_the_command_says_what_it_cannot_suppose(cast: stories.Cast, options: list[str], message: str) -> None:
    use(cast.acme.organization, at=NOON)
    with pytest.raises(CommandError, match=message):
        call_command("simulate", *(["--period", "2026-11"] if "--period" not in options else []), *options)
