"""What an operator is told before a markup or an exchange rate is set, and how rates stand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone, translation
from pytest_django import Settings

from catalog import price_book
from catalog.exchange_rates import publish_exchange_rate
from catalog.models import ExchangeRate, LanguageModel, MarkupRule
from console.months import ZONE
from console.rate_standing import holds_for
from tests import stories
from tests.console.test_deeds import audited, carry_out, refused
from tests.stories import DEVSTRAL, Cast, use

MARKUP, RATE = "/do/markup/", "/do/exchange-rate/"
RATES = "/catalog/exchangerate/"


class TestMarkupReview:
    @pytest.mark.parametrize("language", ["ko", "en"])
    def test_it_says_whom_a_rule_touches_and_what_it_brings(
        self, cast: Cast, operator: Client, now: datetime, language: str
    ) -> None:
        acme, globex = cast.acme.organization, cast.globex.organization
        use(acme, at=now - timedelta(days=2), usage=stories.TokenUsage(input_tokens=1_000_000))
        model = LanguageModel.objects.get(slug=DEVSTRAL)
        own = {"organization": str(globex.pk), "model": DEVSTRAL, "percent": "5", "reason": "Friends"}
        carry_out(operator, MARKUP, own)
        assert MarkupRule.objects.latest("pk").language_model == model
        review = carry_out(operator, MARKUP, {"percent": "20", "reason": "Dearer"}, language=language)
        touched = {"en": "1 customer, 1 model", "ko": "고객 1곳, 모델 1개"}[language]
        assert touched in review.content.decode()
        seen = {organization.slug: effect for organization, effect in review.context["preview"].customers}
        assert (seen["acme"].touched, seen["globex"].shadowed) == (1, 1)
        assert (seen["acme"].before, seen["acme"].after) == (Decimal(66), Decimal(72))
        text = review.content.decode()
        assert "10% → 20%" in text and "9.1% → 16.7%" in text and "₩66 → ₩72" in text

    def test_below_cost_only_on_purpose(self, operator: Client, cast: Cast) -> None:
        values = {"percent": "-5", "reason": "Launch offer"}
        assert "below cost" in refused(operator, MARKUP, values)
        assert not MarkupRule.objects.filter(markup__lt=0).exists()
        review = carry_out(operator, MARKUP, values | {"below_cost": "on"})
        assert "sells below cost" in str(review.context["review"])
        rule = MarkupRule.objects.latest("pk")
        assert (rule.markup, rule.below_cost_approved, rule.reason) == (Decimal("-0.05"), True, "Launch offer")
        assert audited("markup.set", cast).detail["below_cost"] is True

    def test_what_does_not_earn_its_fees_is_below_cost(self, operator: Client, settings: Settings) -> None:
        settings.MARKUP_FLOOR = Decimal("0.055")
        assert "5.5%" in refused(operator, MARKUP, {"percent": "5", "reason": "x"})

    def test_ending_a_rule_warns_of_models_that_nothing_sells(self, operator: Client) -> None:
        review = carry_out(operator, MARKUP, {"percent": "", "reason": "Closing"})
        assert f"1 model would have no markup, and its usage would wait without a price: {DEVSTRAL}" in str(
            review.context["review"]
        )
        assert MarkupRule.objects.latest("pk").markup is None

    def test_ending_a_rule_of_its_own_goes_back_to_the_general_one(self, operator: Client, cast: Cast) -> None:
        acme = str(cast.acme.organization.pk)
        carry_out(operator, MARKUP, {"organization": acme, "percent": "3", "reason": "Deal"})
        start = MarkupRule.objects.latest("pk").effective_from
        later = f"{(start + timedelta(minutes=2)).astimezone(ZONE):%Y-%m-%dT%H:%M}"
        review = carry_out(
            operator, MARKUP, {"organization": acme, "percent": "", "reason": "Over", "effective_from": later}
        )
        assert "₩61.8 → ₩66" in review.content.decode()
        price_book.forget()
        rate = price_book.applied_rate(
            organization=cast.acme.organization, model=DEVSTRAL, prompt_tokens=0, at=start + timedelta(minutes=3)
        )
        assert rate.markup == Decimal("0.10")


class TestExchangeRates:
    def test_it_says_what_a_rate_holds_for(self, operator: Client, now: datetime) -> None:
        today = now.astimezone(ZONE).date()
        values = {"rate": "1393.50", "published_on": today.isoformat(), "source": "manual"}
        held = str(dict(carry_out(operator, RATE, values).context["review"])["Holds for"])
        assert "next month" in held and "tomorrow" in held and "this month" not in held
        assert "customers with a daily rate · 0 customers" in held, "nobody has one"

    def test_a_rate_of_the_past_changes_no_month_that_has_one(
        self, operator: Client, cast: Cast, now: datetime
    ) -> None:
        def rate() -> Decimal:
            price_book.forget()
            exchange = price_book.applied_rate(
                organization=cast.acme.organization, model=DEVSTRAL, prompt_tokens=0, at=now
            ).exchange
            assert exchange
            return exchange.rate

        before = rate()
        eve = now.astimezone(ZONE).date().replace(day=1) - timedelta(days=1)
        values = {"rate": "1600", "published_on": eve.isoformat(), "source": "manual"}
        carry_out(operator, RATE, values)
        assert ExchangeRate.objects.filter(rate=1600).exists() and rate() == before

    def test_a_rate_that_is_too_old_holds_for_nothing(
        self, operator: Client, settings: Settings, now: datetime
    ) -> None:
        settings.EXCHANGE_RATE_MAX_AGE_DAYS = 2
        month = now.astimezone(ZONE).date().replace(day=1)
        values = {"rate": "1400", "published_on": (month - timedelta(days=5)).isoformat(), "source": "manual"}
        assert "nothing: it is too old" in str(carry_out(operator, RATE, values).context["review"])

    def test_a_month_that_has_none_gets_what_is_entered(self, db: None) -> None:
        now = datetime(2026, 11, 10, 3, tzinfo=UTC)
        with translation.override("en"):
            held = holds_for(rate=Decimal(1400), published_on=date(2026, 10, 30), source="manual", now=now)
        assert held[0] == "this month · 0 customers" and len(held) == 4
        publish_exchange_rate(rate=Decimal(1400), published_on=date(2026, 10, 30), source="manual", now=now)
        later = now + timedelta(minutes=1)
        assert not holds_for(rate=Decimal(1500), published_on=date(2026, 10, 29), source="manual", now=later)

    @pytest.mark.parametrize("language", ["ko", "en"])
    def test_the_list_shows_how_rates_stand(
        self, operator: Client, settings: Settings, now: datetime, language: str
    ) -> None:
        operator.cookies["invoicedream_language"] = language
        settings.EXCHANGE_RATE_SOURCES = ["koreaexim", "frankfurter"]
        first = now.astimezone(ZONE).date().replace(day=1)
        page = operator.get(RATES)
        standing = page.context["standing"]
        assert standing.month.published_on == first - timedelta(days=1) and standing.is_late
        assert standing.next_month.published_on == standing.last.published_on
        today = now.astimezone(ZONE).date()
        publish_exchange_rate(rate=Decimal("1393.5"), published_on=today, source="koreaexim", now=timezone.now())
        page = operator.get(RATES)
        standing = page.context["standing"]
        assert (standing.days, standing.next_month.rate, standing.month.rate) == (0, Decimal("1393.5"), 1500)
        assert not standing.is_late and standing.tone == "good"
        text = page.content.decode()
        assert "₩1,393.5" in text
        assert ("European Central Bank" if language == "en" else "유럽중앙은행") in text

    def test_the_home_says_what_next_month_will_be_charged_by(
        self, operator: Client, settings: Settings, now: datetime
    ) -> None:
        operator.cookies["invoicedream_language"] = "en"
        [tile] = [tile for tile in operator.get("/").context["tiles"] if tile.url == RATES]
        assert tile.value == "₩1,500" and "next month: ₩1,500" in tile.note and tile.tone == "good"
        settings.EXCHANGE_RATE_MAX_AGE_DAYS = 1
        [tile] = [tile for tile in operator.get("/").context["tiles"] if tile.url == RATES]
        assert "next month: none" in tile.note and tile.tone == "warning"

    def test_without_any_rate_it_says_so(self, cast: Cast, operator: Client, settings: Settings) -> None:
        operator.cookies["invoicedream_language"] = "en"
        settings.EXCHANGE_RATE_MAX_AGE_DAYS = 0
        page = operator.get(RATES)
        assert page.context["standing"].month is None and page.context["standing"].tone == "danger"
        assert "usage waits without a price" in page.content.decode()
