"""Markups: what a rule would do is told before it is set, and nobody sells below cost without having said why."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connections
from pytest_django import Settings

from accounts.models import AuditEntry
from catalog import price_book
from catalog.markup_comparison import Proposal
from catalog.markup_preview import MarkupPreview, preview_markup
from catalog.markups import SellsBelowCost, set_markup
from catalog.models import LanguageModel, MarkupRule
from metering.markup_effects import markup_effects
from pricing.tokens import TokenClass
from tests import stories
from tests.stories import DEVSTRAL, NOON, use

LATER = NOON + timedelta(hours=1)
MORE = {"prompt": "0.000001", "completion": "0.000002"}


@pytest.fixture
def cast(db: None) -> stories.Cast:
    """Devstral and one more model of Mistral's, one of Acme's; everything sold at 10 %."""
    cast = stories.meet_the_cast(now=NOON)
    stories.make_model("mistralai/large", now=NOON, pricing=MORE)
    stories.make_model("anthropic/claude", now=NOON, pricing=MORE)
    return cast


def model(slug: str) -> LanguageModel:
    return LanguageModel.objects.using("system").get(slug=slug)


def rule(markup: str | None, **target: object) -> MarkupRule:
    made = set_markup(
        markup=None if markup is None else Decimal(markup),
        effective_from=NOON,
        now=NOON,
        **target,  # type: ignore[arg-type]
    )
    price_book.forget()
    return made


class TestBelowCost:
    @pytest.mark.parametrize("said", [{}, {"reason": "a favour"}, {"sell_below_cost": True}])
    def test_is_refused_unless_it_is_said_and_why(self, cast: stories.Cast, said: dict[str, object]) -> None:
        with pytest.raises(SellsBelowCost):
            rule("-0.0001", **said)
        assert not MarkupRule.objects.using("system").filter(markup__lt=0).exists()

    def test_is_done_for_a_reason_that_the_row_and_the_audit_log_keep(self, cast: stories.Cast) -> None:
        made = rule("-0.05", sell_below_cost=True, reason="Launch offer", actor=cast.operator)
        assert (made.below_cost_approved, made.reason) == (True, "Launch offer")
        entry = AuditEntry.objects.using("system").get(action="markup.set", actor=cast.operator)
        assert (entry.detail["below_cost"], entry.detail["reason"]) == (True, "Launch offer")

    def test_is_what_does_not_pay_for_its_fees_either(self, cast: stories.Cast, settings: Settings) -> None:
        settings.MARKUP_FLOOR = Decimal("0.055")
        with pytest.raises(SellsBelowCost):
            rule("0.0549")
        assert not rule("0.055").below_cost_approved

    def test_selling_at_cost_and_ending_a_rule_need_no_reason(self, cast: stories.Cast) -> None:
        assert not rule("0").below_cost_approved
        assert not rule(None, provider_slug="mistralai").below_cost_approved

    @pytest.mark.parametrize("row", ["false, 'because'", "true, ''"], ids=["unsaid", "no reason"])
    def test_is_refused_by_the_database_too(self, cast: stories.Cast, row: str) -> None:
        with (
            pytest.raises(DatabaseError, match="markup_below_cost_is_approved"),
            connections["system"].cursor() as cursor,
        ):
            cursor.execute(
                "INSERT INTO catalog_markuprule"
                " (provider_slug, markup, effective_from, below_cost_approved, reason, created_at)"
                f" VALUES ('', -0.1, now(), {row}, now())"
            )


class TestPrecedence:
    def test_of_all_five_targets_and_without_each(self, cast: stories.Cast) -> None:
        """From organization × model down to all: the next general rule holds where the more specific one has ended."""
        acme, devstral = cast.acme.organization, model(DEVSTRAL)
        targets: list[tuple[str, dict[str, object]]] = [
            ("0.15", {"organization": acme, "language_model": devstral}),
            ("0.14", {"organization": acme}),
            ("0.13", {"language_model": devstral}),
            ("0.12", {"provider_slug": "mistralai"}),
            ("0.11", {}),
        ]
        for markup, target in targets:
            rule(markup, **target)
        for markup, target in targets:
            assert self.markup_of(cast.acme) == Decimal(markup)
            set_markup(markup=None, effective_from=NOON + timedelta(minutes=1), now=NOON, **target)  # type: ignore[arg-type]
            price_book.forget()
        with pytest.raises(price_book.NoMarkup):
            self.markup_of(cast.acme)

    def test_others_models_of_a_provider_are_not_meant(self, cast: stories.Cast) -> None:
        rule("0.12", provider_slug="mistralai")
        rule("0.14", organization=cast.acme.organization)
        assert self.markup_of(cast.globex, "mistralai/large") == Decimal("0.12")
        assert self.markup_of(cast.globex, "anthropic/claude") == Decimal("0.10")
        assert self.markup_of(cast.acme, "anthropic/claude") == Decimal("0.14")

    @staticmethod
    def markup_of(company: stories.Company, slug: str = DEVSTRAL) -> Decimal:
        return price_book.applied_rate(
            organization=company.organization, model=slug, prompt_tokens=0, at=NOON + timedelta(minutes=1)
        ).markup


def preview(markup: str | None, **target: object) -> MarkupPreview:
    proposal = Proposal(markup=None if markup is None else Decimal(markup), effective_from=LATER, **target)  # type: ignore[arg-type]
    return markup_effects(proposal=proposal, now=NOON + timedelta(minutes=1))


class TestPreview:
    def test_tells_whom_it_touches_and_what_it_brings(self, cast: stories.Cast) -> None:
        acme, globex = cast.acme.organization, cast.globex.organization
        use(
            acme, at=NOON - timedelta(days=2)
        )  # 1,500 tokens of devstral at $0.04 a million: $0.00006, which is 0.09 won
        use(acme, at=NOON - timedelta(days=31))
        use(globex, at=NOON - timedelta(days=3), model="anthropic/claude")
        seen = preview("0.20", provider_slug="mistralai")
        assert (seen.models, seen.unsold, seen.until) == (2, [], None)
        by_id = {effect.organization_id: effect for effect in seen.effects}
        mine, other = by_id[acme.pk], by_id[globex.pk]
        assert (mine.touched, mine.shadowed, mine.cost) == (2, 0, Decimal("0.09"))
        assert (mine.before, mine.after) == (Decimal("0.099"), Decimal("0.108"))
        assert (mine.markup_before, mine.markup_after) == (Decimal("0.1"), Decimal("0.2"))
        assert mine.margin_after == Decimal("0.1666666666666666666666666667")
        assert other.touched == 2 and other.before == other.after == Decimal("3.3")

    def test_shows_unit_prices_of_the_biggest_models(self, cast: stories.Cast) -> None:
        use(cast.acme.organization, at=NOON - timedelta(days=2), model="mistralai/large")
        seen = preview("0.20")
        assert [example.model for example in seen.examples] == ["mistralai/large", "anthropic/claude", DEVSTRAL]
        example = seen.examples[0]
        assert example.before and example.before[TokenClass.INPUT] == Decimal("0.00165")
        assert example.after and example.after[TokenClass.OUTPUT] == Decimal("0.0036")

    def test_a_customer_with_a_rule_of_its_own_is_shadowed(self, cast: stories.Cast) -> None:
        acme, globex = cast.acme.organization, cast.globex.organization
        rule("0.02", organization=acme, language_model=model(DEVSTRAL))
        rule("0.05", organization=globex)
        effects = {effect.organization_id: (effect.touched, effect.shadowed) for effect in preview("0.20").effects}
        assert effects == {acme.pk: (2, 1), globex.pk: (0, 3)}
        seen = preview("0.20", model_id=model(DEVSTRAL).pk)
        assert {effect.organization_id for effect in seen.shadowed} == {acme.pk, globex.pk} and not seen.touched

    def test_a_customers_rule_touches_nobody_else(self, cast: stories.Cast) -> None:
        acme = cast.acme.organization
        rule("0.02", organization=acme, language_model=model(DEVSTRAL))
        [effect] = preview("0.20", organization_id=acme.pk).effects
        assert (effect.organization_id, effect.touched, effect.shadowed) == (acme.pk, 2, 1)

    def test_a_suspended_customer_is_not_counted(self, cast: stories.Cast) -> None:
        cast.globex.organization.status = "suspended"
        cast.globex.organization.save(using="system")
        assert [effect.organization_id for effect in preview("0.20").effects] == [cast.acme.organization.pk]

    def test_ending_a_rule_falls_back_on_the_next_general_one(self, cast: stories.Cast) -> None:
        acme = cast.acme.organization
        rule("0.30", organization=acme)
        use(acme, at=NOON + timedelta(seconds=1), now=NOON + timedelta(seconds=1))
        [effect] = preview(None, organization_id=acme.pk).effects
        assert (effect.touched, effect.markup_before, effect.markup_after) == (3, Decimal("0.3"), Decimal("0.1"))

    def test_ending_the_last_rule_leaves_models_unsold(self, cast: stories.Cast) -> None:
        seen = preview(None)
        assert seen.unsold == ["anthropic/claude", DEVSTRAL, "mistralai/large"]
        assert all(example.after is None and example.before for example in seen.examples)

    def test_a_later_rule_for_the_same_ends_it(self, cast: stories.Cast) -> None:
        next_week = NOON + timedelta(days=7)
        set_markup(markup=Decimal("0.3"), effective_from=next_week, now=NOON, provider_slug="mistralai")
        assert preview("0.2", provider_slug="mistralai").until == next_week

    def test_a_customer_in_dollars_is_told_in_dollars(self, cast: stories.Cast) -> None:
        acme = cast.acme.organization
        acme.billing_currency = "USD"
        acme.save(using="system")
        [claude, *_rest] = preview("0.5", organization_id=acme.pk).examples
        assert claude.after and claude.after[TokenClass.INPUT] == Decimal("0.0000015")

    def test_nothing_is_written(self, cast: stories.Cast) -> None:
        before = MarkupRule.objects.using("system").count()
        preview("-0.5")
        assert MarkupRule.objects.using("system").count() == before
        assert price_book.current().markups.keys() == {(None, None, "")}

    def test_many_customers_and_models_are_quick(self, cast: stories.Cast) -> None:
        """900 models and 3,000 customers: those without rules of their own are looked up once."""
        snapshot = price_book.refresh()
        entry = snapshot.models[DEVSTRAL]
        prices = snapshot.prices[entry.cost_table_id, entry.id]
        many = {f"p/{number}": replace(entry, id=number, slug=f"p/{number}") for number in range(900)}
        crowd = replace(snapshot, models=many, prices={(entry.cost_table_id, number): prices for number in range(900)})
        usage = {(customer, customer % 900): Decimal(1) for customer in range(1, 3001)}
        proposal = Proposal(markup=Decimal("0.2"), effective_from=LATER)
        seen = preview_markup(snapshot=crowd, proposal=proposal, organization_ids=range(1, 3001), usage=usage)
        assert len(seen.touched) == 3000 and seen.effects[0].after == Decimal("1.2")
