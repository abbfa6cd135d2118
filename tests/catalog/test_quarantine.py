"""What a price list says and nobody should believe unseen: the old price stays in force until an operator decides."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connections
from django.utils import timezone

from accounts.models import Alarm, AuditEntry, User
from catalog import price_book
from catalog.feed import quarantine
from catalog.models import CostPrice, LanguageModel, QuarantinedPrice
from catalog.publishing import LEAD
from tests import stories
from tests.catalog.feeds import PRICE, import_list, item, row_counts, sheets_of
from tests.stories import NOON

HOUR = timedelta(hours=1)
FREE = {"prompt": "0", "completion": "0"}
ROUTER = {"prompt": "-1", "completion": "-1"}


@pytest.fixture(autouse=True)
def sold(db: None) -> None:
    """One model at PRICE and a router."""
    stories.forget_what_processes_remember()
    stories.make_model("maker/one", now=NOON, pricing=PRICE)
    stories.make_model("openrouter/auto", now=NOON, pricing=ROUTER)


@pytest.fixture
def operator(sold: None) -> User:
    return stories.make_operator(now=NOON)


def say(pricing: dict[str, Any], *, hours: int = 1, **options: Any) -> Any:
    """The list has the model at this price, that many hours after noon."""
    return import_list(item("maker/one", pricing), item("openrouter/auto", ROUTER), now=NOON + hours * HOUR, **options)


def entries(**wanted: Any) -> list[QuarantinedPrice]:
    return list(QuarantinedPrice.objects.using("system").filter(**wanted).order_by("pk"))


def alarm() -> str:
    """What the open alarm of the quarantine says."""
    found = Alarm.objects.using("system").filter(kind="price_quarantine", cleared_at=None).first()
    return found.summary if found else ""


def is_sold_at_the_old_price() -> bool:
    return len(sheets_of("maker/one")) == 1


@pytest.mark.parametrize(
    ("pricing", "doubt"),
    [
        (FREE, "zero"),
        (PRICE | {"completion": "0"}, "zero"),
        (PRICE | {"input_cache_read": "0"}, "zero"),
        (PRICE | {"discount": 1}, "zero"),
        (PRICE | {"overrides": [{"utc_start": 0, "utc_end": 800, "prompt": "0"}]}, "zero"),
        (PRICE | {"prompt": "0.000001500001"}, "jump"),
        (PRICE | {"prompt": "0.00000049"}, "jump"),
        (PRICE | {"discount": 0.51}, "jump"),
        (PRICE | {"request": "0.001"}, "jump"),
        (PRICE | {"input_cache_read": "0.0000001"}, "jump"),
        (PRICE | {"overrides": [{"min_prompt_tokens": 200000, "prompt": "0.000002"}]}, "jump"),
        (PRICE | {"prompt": "-0.000001"}, "negative"),
        (PRICE | {"image": "-1"}, "negative"),
        (ROUTER, "router"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.get("prompt")) + "…",
)
def test_doubtful_prices_wait_and_the_old_one_stays(pricing: dict[str, Any], doubt: str) -> None:
    outcome = say(pricing)
    assert outcome.counts["quarantined"] == 1 and outcome.counts["changed"] == 0
    [entry] = entries()
    assert (entry.slug, entry.doubt, entry.status) == ("maker/one", doubt, "open")
    assert entry.before["base"]["input"] == "0.000001000000"
    assert is_sold_at_the_old_price()
    assert "1 price(s) of OpenRouter" in alarm()


@pytest.mark.parametrize(
    "pricing",
    [
        PRICE | {"prompt": "0.0000015"},
        PRICE | {"prompt": "0.0000005"},
        PRICE | {"discount": 0.5},
        PRICE | {"input_cache_read": "0.0000006"},
        PRICE | {"web_search": "0.01"},
        PRICE | {"overrides": [{"min_prompt_tokens": 200000, "prompt": "0.0000014"}]},
    ],
    ids=["+50 %", "-50 %", "half off", "a cache price", "searches, unpriced before", "a long-context band"],
)
def test_what_stays_within_bounds_holds_at_once(pricing: dict[str, Any]) -> None:
    assert say(pricing).counts["changed"] == 1
    assert entries() == [] and len(sheets_of("maker/one")) == 2


def test_the_bound_is_a_setting(settings: Any) -> None:
    settings.PRICE_JUMP_LIMIT = settings.PRICE_JUMP_LIMIT / 5
    assert say(PRICE | {"prompt": "0.00000111"}).counts["quarantined"] == 1


def test_deepseek_triples_its_price_within_a_month() -> None:
    stories.make_model(
        "deepseek/deepseek-v4-pro", now=NOON, pricing={"prompt": "0.000000435", "completion": "0.00000087"}
    )
    dearer = item("deepseek/deepseek-v4-pro", {"prompt": "0.000001416", "completion": "0.000002832"})
    outcome = import_list(dearer, item("maker/one"), item("openrouter/auto", ROUTER), now=NOON)
    [doubtful] = outcome.comparison.doubtful
    assert doubtful.doubt == "jump"
    assert {round(float(change.share or 0), 2) for change in doubtful.changes} == {2.26}
    assert len(sheets_of("deepseek/deepseek-v4-pro")) == 1


def test_eighteen_models_read_zero_for_thirteen_hours() -> None:
    """As on 2026-06-25. Nothing is sold at 0, and when the list comes to its senses nothing has changed."""
    slugs = [f"maker/model-{number}" for number in range(40)]
    whole = [item(slug) for slug in slugs]
    import_list(item("maker/one"), item("openrouter/auto", ROUTER), *whole, now=NOON)
    prices = row_counts()["CostPrice"]
    broken = [item(slug, FREE) for slug in slugs[:18]] + whole[18:]
    for hour in range(1, 14):
        import_list(item("maker/one"), item("openrouter/auto", ROUTER), *broken, now=NOON + hour * HOUR)
        assert len(entries(status="open")) == len(entries()) == 18
        assert row_counts()["CostPrice"] == prices
    assert alarm().startswith("18 price(s)")
    audited = AuditEntry.objects.using("system").filter(action="prices.quarantined").count()
    assert audited == 1
    outcome = import_list(item("maker/one"), item("openrouter/auto", ROUTER), *whole, now=NOON + 14 * HOUR)
    assert outcome.counts["withdrawn"] == 18
    assert row_counts()["CostPrice"] == prices
    assert len(entries(status="withdrawn")) == 18 and alarm() == ""
    moment = NOON + 20 * HOUR
    for slug in slugs:
        price: Any = price_book.current().price(price_book.find_model(slug), moment)
        assert all(cost > 0 for cost in price.value.base.values())


class TestRepetition:
    def test_the_same_doubt_is_noted_once(self) -> None:
        say(FREE)
        before = row_counts()
        for hours in (2, 3):
            outcome = say(FREE, hours=hours)
            assert outcome.counts["quarantined_before"] == 1 and not outcome.changed_anything
        assert row_counts() == before

    def test_another_value_replaces_what_waited(self) -> None:
        say(FREE)
        say(PRICE | {"prompt": "0.00001"}, hours=2)
        assert [(entry.status, entry.doubt) for entry in entries()] == [("withdrawn", "zero"), ("open", "jump")]

    def test_a_sane_value_withdraws_and_holds(self) -> None:
        say(FREE)
        say(PRICE | {"prompt": "0.0000011"}, hours=2)
        assert [entry.status for entry in entries()] == ["withdrawn"] and len(sheets_of("maker/one")) == 2

    def test_the_database_keeps_one_standing_doubt_a_model(self) -> None:
        say(FREE)
        [entry] = entries()
        entry.pk = None
        with pytest.raises(DatabaseError, match="one_standing_doubt"):
            entry.save(using="system", force_insert=True)


class TestDecisions:
    def test_approval_puts_it_in_force_from_now_on(self, operator: User) -> None:
        say(PRICE | {"prompt": "0.00001"})
        [entry] = entries()
        now = NOON + 5 * HOUR
        quarantine.approve(entry_id=entry.pk, reason="It is true", clock=lambda: now, actor=operator)
        newest = CostPrice.objects.using("system").latest("pk")
        assert newest.effective_from == now + LEAD and newest.sheet["base"]["input"] == "0.000010000000"
        assert newest.raw == PRICE | {"prompt": "0.00001"} and newest.origin == "test feed"
        [entry] = entries()
        assert (entry.status, entry.decided_by_id, entry.decided_at) == ("approved", operator.pk, now)
        log = AuditEntry.objects.using("system").get(action="quarantine.approved")
        assert (log.actor_id, log.target) == (operator.pk, "maker/one") and log.detail["reason"] == "It is true"
        assert alarm() == ""
        assert say(PRICE | {"prompt": "0.00001"}, hours=6).counts["unchanged"] == 2

    def test_a_refusal_holds_until_the_list_says_something_else(self, operator: User) -> None:
        dear = PRICE | {"prompt": "0.00001"}
        say(dear)
        quarantine.refuse(entry_id=entries()[0].pk, reason="Ask them", clock=lambda: NOON + 2 * HOUR, actor=operator)
        assert alarm() == ""
        say(dear, hours=3)
        assert [entry.status for entry in entries()] == ["refused"] and is_sold_at_the_old_price()
        say(PRICE, hours=4)
        say(dear, hours=5)
        assert [entry.status for entry in entries()] == ["refused", "open"]

    def test_nobody_decides_twice(self, operator: User) -> None:
        say(FREE)
        entry_id = entries()[0].pk
        quarantine.refuse(entry_id=entry_id, reason="No", clock=lambda: NOON + 2 * HOUR, actor=operator)
        for decide in (quarantine.approve, quarantine.refuse):
            with pytest.raises(quarantine.AlreadyDecided):
                decide(entry_id=entry_id, reason="Yes", clock=lambda: NOON + 3 * HOUR, actor=operator)
        say(PRICE | {"prompt": "0.00001"}, hours=4)
        waiting = entries(status="open")[0].pk
        say(PRICE, hours=5)
        with pytest.raises(quarantine.AlreadyDecided):
            quarantine.approve(entry_id=waiting, reason="Too late", clock=lambda: NOON + 6 * HOUR, actor=operator)
        assert is_sold_at_the_old_price()

    def test_two_who_approve_at_once_publish_once(self, operator: User) -> None:
        say(PRICE | {"prompt": "0.00001"})
        entry_id, start, outcomes = entries()[0].pk, threading.Barrier(4), []

        def decide(number: int) -> None:
            start.wait()
            try:
                moment = NOON + 2 * HOUR + timedelta(milliseconds=number)
                quarantine.approve(entry_id=entry_id, reason=str(number), clock=lambda: moment, actor=None)
                outcomes.append("done")
            except quarantine.AlreadyDecided:
                outcomes.append("late")
            finally:
                connections.close_all()

        threads = [threading.Thread(target=decide, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["done", "late", "late", "late"]
        assert len(sheets_of("maker/one")) == 2
        assert AuditEntry.objects.using("system").filter(action="quarantine.approved").count() == 1

    def test_what_is_no_price_cannot_be_approved(self, operator: User) -> None:
        say(PRICE | {"prompt": "-5"})
        with pytest.raises(quarantine.NotApprovable):
            quarantine.approve(entry_id=entries()[0].pk, reason="", clock=lambda: NOON + 2 * HOUR, actor=operator)
        assert entries()[0].status == "open" and is_sold_at_the_old_price()

    def test_a_list_that_an_operator_vouches_for_is_approved_with_it(self, operator: User) -> None:
        say(PRICE | {"prompt": "0.00001"})
        outcome = say(PRICE | {"prompt": "0.00001"}, hours=2, approve=True, actor=operator)
        assert outcome.approved == 1 and len(sheets_of("maker/one")) == 2 and alarm() == ""


class TestNewModels:
    def say(self, slug: str, pricing: dict[str, Any], hours: int = 1, **facts: Any) -> Any:
        others = (item("maker/one"), item("openrouter/auto", ROUTER))
        return import_list(item(slug, pricing, **facts), *others, now=NOON + hours * HOUR)

    def test_one_that_reads_zero_and_is_not_called_free_is_not_even_listed(self, operator: User) -> None:
        self.say("maker/gift", FREE)
        assert not LanguageModel.objects.using("system").filter(slug="maker/gift").exists()
        [entry] = entries()
        assert (entry.slug, entry.doubt, entry.language_model_id) == ("maker/gift", "zero", None)
        quarantine.approve(entry_id=entry.pk, reason="A gift", clock=lambda: NOON + 2 * HOUR, actor=operator)
        listed = LanguageModel.objects.using("system").get(slug="maker/gift")
        assert listed.name == "Gift" and listed.released_on and len(sheets_of("maker/gift")) == 1
        assert self.say("maker/gift", FREE, hours=3).counts["unchanged"] == 3

    def test_a_router_is_listed_by_an_operator_only(self, operator: User) -> None:
        self.say("openrouter/new-router", ROUTER)
        [entry] = entries()
        assert entry.doubt == "router"
        quarantine.approve(entry_id=entry.pk, reason="Let us try", clock=lambda: NOON + 2 * HOUR, actor=operator)
        listed = LanguageModel.objects.using("system").get(slug="openrouter/new-router")
        assert listed.is_router and sheets_of(listed.slug) == []
        assert self.say("openrouter/new-router", ROUTER, hours=3).counts["unchanged"] == 3

    def test_an_impossible_one_is_not_listed(self) -> None:
        self.say("maker/odd", PRICE | {"prompt": "-3"})
        assert [entry.doubt for entry in entries()] == ["negative"]


class TestRouters:
    def test_a_model_that_became_one_is_no_longer_sold_if_approved(self, operator: User) -> None:
        say(ROUTER)
        quarantine.approve(entry_id=entries()[0].pk, reason="Gone", clock=lambda: NOON + 2 * HOUR, actor=operator)
        assert sheets_of("maker/one")[-1] is None
        assert say(ROUTER, hours=3).counts["unchanged"] == 2

    def test_a_router_that_gets_a_price_is_a_model_if_approved(self, operator: User) -> None:
        import_list(item("maker/one"), item("openrouter/auto"), now=NOON + HOUR)
        [entry] = entries()
        assert (entry.slug, entry.doubt) == ("openrouter/auto", "router")
        quarantine.approve(entry_id=entry.pk, reason="So be it", clock=lambda: NOON + 2 * HOUR, actor=operator)
        assert not LanguageModel.objects.using("system").get(slug="openrouter/auto").is_router
        assert len(sheets_of("openrouter/auto")) == 1


class TestDelisting:
    def vanish(self, *, hours: int) -> Any:
        return import_list(item("openrouter/auto", ROUTER), item("maker/other"), now=NOON + hours * HOUR)

    def test_absence_alone_delists_nothing(self, operator: User) -> None:
        for hours in (1, 2, 3):
            outcome = self.vanish(hours=hours)
            assert outcome.comparison.missing == ["maker/one"]
        assert [entry.doubt for entry in entries()] == ["delisted"] and is_sold_at_the_old_price()
        quarantine.approve(entry_id=entries()[0].pk, reason="Gone", clock=lambda: NOON + 4 * HOUR, actor=operator)
        assert sheets_of("maker/one")[-1] is None
        assert LanguageModel.objects.using("system").filter(slug="maker/one").exists()
        assert self.vanish(hours=5).comparison.missing == []

    def test_a_model_that_comes_back_is_sold_again_by_an_operator_only(self, operator: User) -> None:
        self.vanish(hours=1)
        quarantine.approve(entry_id=entries()[0].pk, reason="Gone", clock=lambda: NOON + 2 * HOUR, actor=operator)
        say(PRICE, hours=3)
        [entry] = entries(status="open", slug="maker/one")
        assert entry.doubt == "relisted"
        quarantine.approve(entry_id=entry.pk, reason="Back", clock=lambda: NOON + 4 * HOUR, actor=operator)
        assert [sheet is None for sheet in sheets_of("maker/one")] == [False, True, False]

    def test_one_that_returns_in_time_was_never_gone(self) -> None:
        self.vanish(hours=1)
        assert say(PRICE, hours=2).counts["withdrawn"] == 1
        assert is_sold_at_the_old_price()

    def test_a_delisted_model_keeps_its_page_history_and_bills(self) -> None:
        now = timezone.now()
        cast = stories.meet_the_cast(now=now)
        acme, operator = cast.acme, cast.operator
        first = stories.use(acme.organization, at=now)
        import_list(item("maker/one"), item("openrouter/auto", ROUTER), now=now)
        [entry] = entries(slug=stories.DEVSTRAL)
        quarantine.approve(entry_id=entry.pk, reason="Gone", clock=lambda: now, actor=operator)
        later = now + 2 * LEAD
        assert stories.use(acme.organization, at=now + timedelta(seconds=1), now=later).amount == first.amount
        assert stories.use(acme.organization, at=later, now=later).amount is None


def test_nobody_but_us_sees_or_deletes_what_waits() -> None:
    say(FREE)
    with pytest.raises(DatabaseError, match="permission denied"):
        QuarantinedPrice.objects.using("default").count()
    with pytest.raises(DatabaseError, match="permission denied"):
        QuarantinedPrice.objects.using("system").all().delete()
