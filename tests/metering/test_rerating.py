"""Prices that were corrected after the fact reach an open period as reversals and new charges, once, and the books stay right."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing.invoicing import close_period
from billing.sellers import set_seller
from billing.usage_lines import usage_lines
from catalog import price_book
from catalog.exchange_rates import publish_exchange_rate
from catalog.markups import set_markup
from catalog.models import LanguageModel
from catalog.publishing import LEAD, delist, publish_cost_price
from ledger.models import Balance, BillingPeriod, SpendLimit
from ledger.periods import month_bounds
from metering import repricing, rerating, reversing
from metering.limiting import set_limit
from metering.models import EventKind, UsageEvent, UsageRollup
from metering.rerating import PricesTooNew, rerate_period
from metering.reversing import Correction, NotReversible, reverse
from pricing.exact import exact_sum
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import DEVSTRAL, NOON, use

WON_A_CALL = Decimal("0.099")
"""1,000 + 500 tokens × $0.00000004 × 1.1 × 1,500."""
A_WEEK_AGO = NOON - timedelta(days=7)
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Each example fills a database, so making a failing one smaller would take minutes."""
SEEN = NOON + LEAD
"""By then every process has seen what was corrected at noon."""
REASON = "the upstream had lowered its price"


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def correct_price(text: str, *, since: datetime = A_WEEK_AGO, slug: str = DEVSTRAL, **more: object) -> None:
    """The price that should have been in force since then all the time."""
    model = LanguageModel.objects.using("system").select_related("cost_table").get(slug=slug)
    pricing = {"prompt": text, "completion": text, **more}
    sheet = parse_openrouter_pricing(pricing)
    assert sheet is not None
    publish_cost_price(
        cost_table=model.cost_table,
        language_model=model,
        sheet=sheet,
        effective_from=since,
        raw=pricing,
        origin="test",
        now=NOON,
    )
    price_book.forget()


def period_of(company: stories.Company, at: datetime = NOON) -> BillingPeriod:
    return BillingPeriod.objects.using("system").get(
        organization=company.organization, starts_at__lte=at, ends_at__gt=at
    )


def rerate(company: stories.Company, at: datetime = NOON, now: datetime = SEEN, **options: object) -> rerating.Outcome:
    return rerate_period(
        organization=company.organization,
        period_id=period_of(company, at).pk,
        reason=REASON,
        actor=None,
        now=now,
        **options,  # type: ignore[arg-type]
    )


def events_of(company: stories.Company) -> list[UsageEvent]:
    with tenant_scope([company.organization.pk]):
        return list(UsageEvent.objects.for_organization(company.organization).order_by("received_at", "kind", "id"))


def unbilled(company: stories.Company) -> Decimal:
    with tenant_scope([company.organization.pk]):
        return Balance.objects.get(pk=company.organization.pk).unbilled


def test_a_corrected_price_reverses_the_charge_and_makes_it_anew(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON - timedelta(days=1), key="mine", reported_cost=Decimal("0.00003"))
    correct_price("0.00000002")

    outcome = rerate(cast.acme, now=NOON + timedelta(hours=1))

    assert (outcome.corrected, outcome.before, outcome.after) == (1, WON_A_CALL, WON_A_CALL / 2)
    first, again, back = events_of(cast.acme)
    assert [first.kind, back.kind, again.kind] == [EventKind.USAGE, EventKind.REVERSAL, EventKind.USAGE]
    assert (back.reverses_id, again.replaces_id) == (first.id, first.id)
    assert (back.amount, again.amount) == (-WON_A_CALL, WON_A_CALL / 2)
    assert (back.input_tokens, back.output_tokens, back.requests, back.cache_read_tokens) == (-1000, -500, -1, None)
    assert (again.input_tokens, again.output_tokens, again.requests, again.cache_read_tokens) == (1000, 500, 1, None)
    assert (back.reported_cost, again.reported_cost) == (Decimal("-0.00003"), Decimal("0.00003"))
    for correction in (back, again):
        assert (correction.key, correction.reason, correction.occurred_at) == ("mine", REASON, first.occurred_at)
        assert (correction.evidence, correction.period_id) == (first.evidence, first.period_id)
    assert back.applied_rate_id == first.applied_rate_id != again.applied_rate_id
    assert unbilled(cast.acme) == WON_A_CALL / 2
    entry = AuditEntry.objects.using("system").get(action="usage.rerated")
    assert entry.detail["reason"] == REASON
    assert (entry.detail["events"], Decimal(entry.detail["change"])) == (1, -WON_A_CALL / 2)
    call_command("audit")


def test_a_correction_is_waited_for_that_others_may_not_have_seen(cast: stories.Cast) -> None:
    """They charge from memory for a few seconds, and a run that is over by then would never look at it."""
    use(cast.acme.organization, at=NOON)
    correct_price("0.00000002")
    with pytest.raises(PricesTooNew, match="try again in 1 s"):
        rerate(cast.acme, now=SEEN - timedelta(milliseconds=500))
    assert unbilled(cast.acme) == WON_A_CALL
    assert rerate(cast.acme, now=SEEN).corrected == 1

    set_markup(markup=Decimal("0.21"), effective_from=A_WEEK_AGO, now=SEEN)
    with pytest.raises(PricesTooNew):
        rerate(cast.acme, now=SEEN)
    tomorrow = NOON + timedelta(days=1)
    publish_exchange_rate(rate=Decimal(1400), published_on=NOON.date(), source="test", now=tomorrow)
    with pytest.raises(PricesTooNew, match="try again in 10 s"):
        rerate(cast.acme, now=tomorrow)


def test_what_was_charged_before_the_correction_begins_or_for_other_models_stays(cast: stories.Cast) -> None:
    stories.make_model("acme-labs/other", now=NOON)
    use(cast.acme.organization, at=A_WEEK_AGO - timedelta(milliseconds=1))
    use(cast.acme.organization, at=A_WEEK_AGO)
    use(cast.acme.organization, at=NOON, model="acme-labs/other")
    use(cast.globex.organization, at=NOON)
    correct_price("0.00000008")

    assert rerate(cast.acme).corrected == 1

    reversals = [event.occurred_at for event in events_of(cast.acme) if event.kind == EventKind.REVERSAL]
    assert reversals == [A_WEEK_AGO]
    assert len(events_of(cast.globex)) == 1
    call_command("audit")


def test_only_the_model_that_is_named_is_corrected(cast: stories.Cast) -> None:
    other = stories.make_model("acme-labs/other", now=NOON)
    use(cast.acme.organization, at=NOON)
    use(cast.acme.organization, at=NOON, model=other.slug)
    correct_price("0.00000008")
    correct_price("0.00000008", slug=other.slug)
    assert rerate(cast.acme, model_id=other.pk).corrected == 1
    assert rerate(cast.acme).corrected == 1


def test_running_again_changes_nothing(cast: stories.Cast) -> None:
    for minutes in range(5):
        use(cast.acme.organization, at=NOON - timedelta(minutes=minutes))
    correct_price("0.00000002")
    rerate(cast.acme)
    before = [(event.id, event.amount) for event in events_of(cast.acme)]

    assert rerate(cast.acme).corrected == 0
    assert [(event.id, event.amount) for event in events_of(cast.acme)] == before
    assert AuditEntry.objects.using("system").filter(action="usage.rerated").count() == 1


def test_a_second_correction_reverses_what_replaced_the_first(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON - timedelta(hours=1))
    correct_price("0.00000002")
    rerate(cast.acme)
    correct_price("0.00000006", since=A_WEEK_AGO + timedelta(days=1))

    assert rerate(cast.acme).corrected == 1

    assert unbilled(cast.acme) == WON_A_CALL * 3 / 2
    assert [event.kind for event in events_of(cast.acme)].count(EventKind.REVERSAL) == 2
    call_command("audit")


def test_many_at_once_correct_each_event_once(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repricing, "PAGE", 3)
    for minutes in range(12):
        use(cast.acme.organization, at=NOON - timedelta(minutes=7 * minutes))
    correct_price("0.00000002")
    corrected: list[int] = []
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        corrected.append(rerate(cast.acme).corrected)
        connections.close_all()

    rivals = [threading.Thread(target=run) for _number in range(4)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()

    assert (len(corrected), sum(corrected)) == (4, 12)
    assert unbilled(cast.acme) == 12 * WON_A_CALL / 2
    call_command("audit")


def test_stopped_half_way_it_is_finished_by_running_again(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repricing, "PAGE", 2)
    for minutes in range(5):
        use(cast.acme.organization, at=NOON - timedelta(minutes=minutes))
    correct_price("0.00000002")
    whole = rerating.reverse
    calls: list[int] = []

    def fail_on_the_second(*args: object, **kwargs: object) -> object:
        calls.append(1)
        made = whole(*args, **kwargs)  # type: ignore[arg-type]
        if len(calls) == 2:
            raise IntegrityError("the power went out before the commit")
        return made

    with monkeypatch.context() as broken, pytest.raises(IntegrityError):
        broken.setattr(rerating, "reverse", fail_on_the_second)
        rerate(cast.acme)
    assert [event.kind for event in events_of(cast.acme)].count(EventKind.REVERSAL) == 2
    call_command("audit")

    assert rerate(cast.acme).corrected == 3
    assert unbilled(cast.acme) == 5 * WON_A_CALL / 2
    call_command("audit")


def test_a_closed_period_is_left_alone(cast: stories.Cast) -> None:
    start, end = month_bounds(NOON, zone="Asia/Seoul")
    use(cast.acme.organization, at=start)
    correct_price("0.00000002", since=start)
    set_seller(now=NOON, **stories.SELLER)
    close_period(organization_id=cast.acme.organization.pk, period_id=period_of(cast.acme).pk, now=end)
    with pytest.raises(rerating.PeriodClosed):
        rerate(cast.acme, now=end)
    assert len(events_of(cast.acme)) == 1


def test_the_invoice_after_a_correction_is_the_sum_of_what_is_charged(cast: stories.Cast) -> None:
    """The same usage at the right price from the start makes the same invoice."""
    _start, end = month_bounds(NOON, zone="Asia/Seoul")
    big = TokenUsage(input_tokens=1_234_567, output_tokens=765_433, reasoning_tokens=1)
    for hours in range(4):
        use(cast.acme.organization, at=NOON - timedelta(hours=hours), usage=big)
    correct_price("0.00000123")
    rerate(cast.acme)
    for hours in range(4):
        use(cast.globex.organization, at=NOON - timedelta(hours=hours), usage=big)
    set_seller(now=NOON, **stories.SELLER)
    invoices = [
        close_period(organization_id=company.organization.pk, period_id=period_of(company).pk, now=end)
        for company in (cast.acme, cast.globex)
    ]
    corrected, right = [invoice for invoice in invoices if invoice is not None]
    assert (corrected.total, corrected.exact_subtotal) == (right.total, right.exact_subtotal)
    assert corrected.lines.using("system").count() == right.lines.using("system").count() == 3
    call_command("audit")


def test_an_event_that_comes_late_is_charged_at_the_corrected_price(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON - timedelta(hours=1))
    correct_price("0.00000002")
    rerate(cast.acme)
    outcome = use(cast.acme.organization, at=NOON - timedelta(hours=1), now=NOON)
    assert outcome.amount == WON_A_CALL / 2
    assert rerate(cast.acme).corrected == 0
    call_command("audit")


def test_markups_are_corrected_too(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON)
    set_markup(markup=Decimal("0.21"), effective_from=A_WEEK_AGO, now=NOON, organization=cast.acme.organization)
    price_book.forget()
    assert rerate(cast.acme).after == WON_A_CALL * Decimal("1.1")
    call_command("audit")


def test_a_price_that_was_taken_away_leaves_the_charge_and_says_so(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON)
    model = LanguageModel.objects.using("system").select_related("cost_table").get(slug=DEVSTRAL)
    delist(cost_table=model.cost_table, language_model=model, effective_from=A_WEEK_AGO, origin="test", now=NOON)
    price_book.forget()
    outcome = rerate(cast.acme)
    assert (outcome.corrected, outcome.unpriced, len(events_of(cast.acme))) == (0, 1, 1)


def test_a_price_of_the_same_figures_is_no_correction(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON)
    correct_price("0.00000004", image="0.001")
    assert rerate(cast.acme).corrected == 0


def test_spend_limits_follow(cast: stories.Cast) -> None:
    set_limit(organization=cast.acme.organization, amount=Decimal(1000), actor=None, now=NOON)
    use(cast.acme.organization, at=NOON)
    correct_price("0.00000008")
    rerate(cast.acme)
    with tenant_scope([cast.acme.organization.pk]):
        assert SpendLimit.objects.get().spent == WON_A_CALL * 2
    call_command("audit")


def test_a_charge_is_taken_back_without_another_in_the_next_open_period(cast: stories.Cast) -> None:
    """What voiding will do: the month is closed, so the reversal is an adjustment line of the next one."""
    start, end = month_bounds(NOON, zone="Asia/Seoul")
    use(cast.acme.organization, at=NOON)
    set_seller(now=NOON, **stories.SELLER)
    close_period(organization_id=cast.acme.organization.pk, period_id=period_of(cast.acme).pk, now=end)
    later = end + timedelta(days=3)
    use(cast.acme.organization, at=later, usage=TokenUsage(input_tokens=500_000))
    with tenant_scope([cast.acme.organization.pk]):
        event = UsageEvent.objects.get(occurred_at=NOON)
        [made] = reverse([Correction(event=event)], reason="never happened", actor=cast.operator, now=later)
        assert made.change == -WON_A_CALL
        assert reverse([Correction(event=event)], reason="again", actor=None, now=later) == []
        back = UsageEvent.objects.get(kind=EventKind.REVERSAL)
        with pytest.raises(NotReversible):
            reverse([Correction(event=back)], reason="no", actor=None, now=later)
        period = BillingPeriod.objects.get(starts_at=end)
        lines = usage_lines(organization=cast.acme.organization, period=period)
    assert (back.period_id, back.actor_id) == (period.pk, cast.operator.pk)
    assert [(line.quantity, line.service_month) for line in lines] == [
        (500_000, None),
        (-1000, start.astimezone(stories.SEOUL).date()),
        (-500, start.astimezone(stories.SEOUL).date()),
    ]
    call_command("audit")


def test_the_database_itself_refuses_a_second_reversal(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON)
    with tenant_scope([cast.acme.organization.pk]):
        event = UsageEvent.objects.get()
        reverse([Correction(event=event)], reason="once", actor=None, now=NOON)
        back = UsageEvent.objects.get(kind=EventKind.REVERSAL)
        assert back.id == reversing.reversal_id(event.id)
        with pytest.raises(IntegrityError), transaction.atomic():
            UsageEvent.objects.bulk_create([back])


@settings(max_examples=12, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.tuples(st.integers(0, 300_000), st.integers(0, 50_000), st.integers(0, 9 * 24 * 60)), min_size=1, max_size=8
    ),
    price=st.integers(1, 10**6),
    days=st.integers(0, 9),
    page=st.integers(1, 4),
)
def test_corrected_books_are_those_of_the_right_price_from_the_start(
    cast: stories.Cast, calls: list[tuple[int, int, int]], price: int, days: int, page: int
) -> None:
    """Long context included: whatever the usage, reversals and new charges add up to what the right price would have made."""
    number = next(stories._numbers)
    slug = f"acme-labs/model-{number}"
    stories.make_model(slug, now=NOON, pricing=stories.DEVSTRAL_PRICE)
    company = stories.make_company(f"company-{number}", now=NOON)
    other = stories.make_company(f"other-{number}", now=NOON)

    def play(actor: stories.Company) -> None:
        for read, written, minutes in calls:
            usage = TokenUsage(input_tokens=read, output_tokens=written)
            use(actor.organization, at=NOON - timedelta(minutes=minutes), now=NOON, model=slug, usage=usage)

    play(company)
    text = format(Decimal(price).scaleb(-12), "f")
    band = {"min_prompt_tokens": 100_000, "prompt": "0.000001"}
    correct_price(text, since=NOON - timedelta(days=days, seconds=7), slug=slug, overrides=[band])
    repricing.PAGE, kept = page, repricing.PAGE
    try:
        rerate(company)
    finally:
        repricing.PAGE = kept
    play(other)

    def books(actor: stories.Company) -> tuple[Decimal, Decimal, dict[int, int]]:
        with tenant_scope([actor.organization.pk]):
            rows = UsageRollup.objects.for_organization(actor.organization)
            sums: dict[int, int] = {}
            for row in rows:
                sums[row.applied_rate_id] = sums.get(row.applied_rate_id, 0) + row.input_tokens + row.output_tokens
            return unbilled(actor), exact_sum(row.cost for row in rows), {key: n for key, n in sums.items() if n}

    assert books(company) == books(other)
    call_command("audit")


def test_a_derived_id_keeps_the_moment_and_differs_by_purpose() -> None:
    from ledger.event_ids import derived_id, moment_of, new_id

    at = datetime(2026, 11, 22, 3, 4, 5, 678_000, tzinfo=UTC)
    event = new_id(at)
    ids = {derived_id(event, purpose) for purpose in ("reversal", "replacement")} | {derived_id(event, "reversal")}
    assert len(ids) == 2
    assert all((moment_of(one), one.version, one.variant) == (at, 7, event.variant) for one in ids)
