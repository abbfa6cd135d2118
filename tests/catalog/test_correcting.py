"""A price that was wrong gets a right one of the same time beside it; charges follow when they are told to."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing.replay.simulation import simulate_period
from catalog import price_book
from catalog.exchange_rates import publish_exchange_rate
from catalog.hypothetical_prices import Hypothesis
from catalog.models import CostPrice, ExchangeRate, MarkupRule
from ledger.models import Balance, BillingPeriod
from tests import stories
from tests.stories import DEVSTRAL, NOON, use

WON_A_CALL = Decimal("0.099")
SINCE = NOON - timedelta(days=3)


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def correct(*options: str, since: str = SINCE.isoformat()) -> None:
    with time_machine.travel(NOON, tick=False):
        call_command("correct_price", "--since", since, "--reason", "mistyped", *options)
    price_book.forget()


def rerate() -> None:
    with time_machine.travel(NOON + timedelta(hours=2), tick=False):
        call_command("rerate", "--period", "2026-11", "--reason", "mistyped")


def unbilled(company: stories.Company) -> Decimal:
    with tenant_scope([company.organization.pk]):
        return Balance.objects.get(pk=company.organization.pk).unbilled


def test_a_price_that_was_wrong_from_its_very_first_moment(cast: stories.Cast) -> None:
    correct("--price", f"{DEVSTRAL}=0.4:0.4")
    for milliseconds in (-1, 0, 1):
        use(cast.acme.organization, at=SINCE + timedelta(milliseconds=milliseconds))
    assert unbilled(cast.acme) == 21 * WON_A_CALL

    correct("--price", f"{DEVSTRAL}=0.08:0.08", "--by", cast.operator.email)

    assert unbilled(cast.acme) == 21 * WON_A_CALL
    rerate()
    assert unbilled(cast.acme) == 5 * WON_A_CALL
    assert use(cast.acme.organization, at=SINCE).amount == 2 * WON_A_CALL
    rows = CostPrice.objects.using("system").filter(effective_from=SINCE).order_by("revision")
    assert [(row.revision, row.sheet["base"]["input"]) for row in rows] == [
        (1, "0.000000400000"),
        (2, "0.000000080000"),
    ]
    entry = AuditEntry.objects.using("system").filter(action="cost_price.corrected").latest("pk")
    assert (entry.actor, entry.detail["reason"], entry.detail["revision"]) == (cast.operator, "mistyped", 2)
    call_command("audit")


def test_a_markup_that_was_wrong_from_its_first_moment(cast: stories.Cast) -> None:
    correct("--markup", "0.9", "--organization", "acme")
    use(cast.acme.organization, at=SINCE)
    use(cast.globex.organization, at=SINCE)
    correct("--markup", "0.21", "--organization", "acme")
    rerate()
    assert (unbilled(cast.acme), unbilled(cast.globex)) == (WON_A_CALL * Decimal("1.1"), WON_A_CALL)
    assert MarkupRule.objects.using("system").filter(organization=cast.acme.organization).count() == 2
    call_command("audit")


def test_an_exchange_rate_that_was_mistyped_for_the_month(cast: stories.Cast) -> None:
    """A rate that is merely published late changes nothing; one that is dated back on purpose does."""
    use(cast.acme.organization, at=NOON)
    eve = NOON.astimezone(stories.SEOUL).replace(day=1) - timedelta(days=1)
    publish_exchange_rate(rate=Decimal(1300), published_on=eve.date(), source="manual", now=NOON + timedelta(hours=1))
    price_book.forget()
    rerate()
    assert unbilled(cast.acme) == WON_A_CALL

    for _turn in range(2):
        correct("--exchange-rate", "1400", since=eve.isoformat())
        rerate()
        assert unbilled(cast.acme) == WON_A_CALL * 14 / 15
    assert use(cast.acme.organization, at=NOON).amount == WON_A_CALL * 14 / 15
    assert ExchangeRate.objects.using("system").filter(backdated=True).count() == 1
    call_command("audit")


def test_correcting_twice_is_correcting_once(cast: stories.Cast, capsys: pytest.CaptureFixture[str]) -> None:
    for _turn in range(2):
        correct("--price", f"{DEVSTRAL}=0.08:0.08")
        correct("--markup", "0.2")
    assert "nothing was changed" in capsys.readouterr().out
    assert CostPrice.objects.using("system").filter(effective_from=SINCE).count() == 1
    assert MarkupRule.objects.using("system").filter(effective_from=SINCE).count() == 1


def test_a_list_in_a_file_corrects_what_we_know_of_it(cast: stories.Cast, tmp_path: Path) -> None:
    use(cast.acme.organization, at=NOON)
    path = tmp_path / "right.csv"
    path.write_text(f"model,prompt_per_1m,completion_per_1m\n{DEVSTRAL},0.08,0.08\nno/such,1,1\n")
    correct("--price", str(path))
    rerate()
    assert unbilled(cast.acme) == 2 * WON_A_CALL


def test_a_price_that_was_superseded_at_its_moment_can_still_be_simulated(cast: stories.Cast) -> None:
    correct("--price", f"{DEVSTRAL}=0.4:0.4")
    use(cast.acme.organization, at=SINCE)
    correct("--price", f"{DEVSTRAL}=0.08:0.08")
    period = BillingPeriod.objects.using("system").get()
    found = simulate_period(
        organization_id=cast.acme.organization.pk,
        period_id=period.pk,
        hypothesis=Hypothesis(markups={(None, None, ""): Decimal("0.21")}),
    )
    assert [line.after / line.before for line in found.lines] == [Decimal("1.1")] * 2


def test_figures_end_what_they_cannot_say_only_if_that_is_meant(cast: stories.Cast, tmp_path: Path) -> None:
    rich: dict[str, object] = {
        "prompt": "0.000001",
        "completion": "0.000002",
        "input_cache_read": "0.0000001",
        "input_cache_write": "0.000001",
        "image": "0",
        "web_search": "0.01",
        "overrides": [
            {"min_prompt_tokens": 200_000, "prompt": "0.000003"},
            {"utc_start": 1630, "utc_end": 30, "utc_days": ["saturday", "sunday"], "completion": "0.000001"},
        ],
    }
    slug = stories.make_model("acme-labs/rich", now=NOON, pricing=rich).slug
    with pytest.raises(CommandError) as refused:
        correct("--price", f"{slug}=2:4")
    assert str(refused.value).startswith(
        f"{slug}: the price in force also has a price for cache_read, a price for searches, other prices above 200,000 prompt "
        "tokens, other prices from 16:30 to 00:30 UTC on some weekdays, which these figures would end."
    )
    with pytest.raises(CommandError, match=r"has a price for searches, other prices above"):
        correct("--price", f"{slug}=2:4:0.2")
    assert not AuditEntry.objects.using("system").filter(action="cost_price.corrected").exists()

    correct("--price", f"{slug}=2:4", "--drop-the-rest")
    row = CostPrice.objects.using("system").get(language_model__slug=slug, effective_from=SINCE)
    assert (row.sheet["overrides"], sorted(row.sheet["base"])) == ([], ["input", "output"])
    correct("--price", f"{slug}=3:4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Name one of --price"),
        (["--markup", "0.1", "--price", f"{DEVSTRAL}=1:1"], "Name one of --price"),
        (["--price", "no/such=1:1"], "unknown model"),
        (["--markup", "0.1", "--organization", "nobody"], "unknown organization"),
        (["--markup", "-0.5"], "sells below cost"),
        (["--markup", "0.1", "--since", "2027-01-01T00:00+09:00"], "is in the future"),
        (["--markup", "0.1", "--since", "2026-11-01T00:00"], "say the offset"),
        (["--markup", "0.1", "--since", "yesterday"], "is not a moment"),
        (["--markup", "0.1", "--by", "owner@acme.example"], "no operator has this address"),
    ],
    ids=["nothing", "both", "model", "organization", "below cost", "future", "offset", "moment", "operator"],
)
def test_what_is_no_correction_is_refused(cast: stories.Cast, options: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        correct(*options)
