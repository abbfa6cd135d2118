"""A price list becomes prices: whole or not at all, dated, once."""

import threading
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections

from accounts.models import Alarm, AuditEntry
from catalog import price_book
from catalog.correcting import correct_cost_price
from catalog.feed.running import feed_table
from catalog.feed.snapshot import SnapshotRefused
from catalog.models import CostPrice, LanguageModel, PriceFeed, QuarantinedPrice
from catalog.publishing import BY_HAND, LEAD, publish_cost_price
from metering.unrated import rate_waiting
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenClass, TokenUsage
from tests import stories
from tests.catalog.feeds import PRICE, import_body, import_list, item, listing, row_counts, sheets_of
from tests.stories import NOON

HOUR = timedelta(hours=1)
LATER = NOON + HOUR


@pytest.fixture(autouse=True)
def empty_catalog(db: None) -> None:
    stories.forget_what_processes_remember()


def model(slug: str) -> LanguageModel:
    return LanguageModel.objects.using("system").get(slug=slug)


def alarms() -> dict[str, str]:
    """Open ones: what each says, by kind."""
    return dict(Alarm.objects.using("system").filter(cleared_at=None).values_list("kind", "summary"))


class TestAListThatIsGood:
    def test_new_models_are_listed_with_their_facts_and_sold(self) -> None:
        outcome = import_list(item("maker/one"), item("maker/two:free", {"prompt": "0", "completion": "0"}), now=NOON)
        assert outcome.counts["new"] == 2
        one = model("maker/one")
        assert (one.name, one.provider, one.description_en) == ("One", "Maker", "Good at everything.")
        assert (one.context_length, one.max_completion_tokens, one.modality) == (131_072, 8192, "text->text")
        assert (one.tokenizer, one.supported_parameters) == ("Other", ["max_tokens", "tools"])
        assert one.released_on == date(2025, 7, 10)
        price = CostPrice.objects.using("system").get(language_model=one)
        assert price.raw == PRICE and price.origin == "test feed"
        assert price.effective_from == NOON + LEAD
        assert sheets_of("maker/two:free") == [{"input": "0.000000000000", "output": "0.000000000000"}]

    def test_an_unchanged_list_writes_nothing(self) -> None:
        body = listing(item("maker/one"), item("maker/two"))
        import_body(body, now=NOON)
        before = row_counts()
        outcome = import_body(body, now=LATER)
        assert row_counts() == before
        assert not outcome.changed_anything and outcome.counts["unchanged"] == 2
        feed = PriceFeed.objects.using("system").get()
        assert feed.outcome == "unchanged" and feed.imported_at == LATER and feed.changed_at == NOON

    def test_the_same_price_in_other_words_is_unchanged(self) -> None:
        import_list(item("maker/one"), now=NOON)
        before = row_counts()
        import_list(item("maker/one", {"completion": "2e-6", "prompt": "0.0000010000"}), now=LATER)
        assert row_counts() == before

    def test_a_change_is_a_new_dated_row_and_the_old_one_stays(self) -> None:
        import_list(item("maker/one"), now=NOON)
        import_list(item("maker/one", {"prompt": "0.0000012", "completion": "0.000002"}), now=LATER)
        assert [sheet["input"] for sheet in sheets_of("maker/one")] == ["0.000001000000", "0.000001200000"]
        newest = CostPrice.objects.using("system").latest("effective_from")
        assert newest.effective_from == LATER + LEAD
        entry = AuditEntry.objects.using("system").filter(action="cost_prices.published").latest("at")
        assert entry.detail == {"count": 1}

    def test_every_key_with_discount_and_conditions_is_rated(self) -> None:
        pricing = {
            "prompt": "0.000002",
            "completion": "0.000008",
            "request": "0.01",
            "image": "0.004",
            "image_token": "0.000003",
            "image_output": "0.00003",
            "audio": "0.000007",
            "audio_output": "0.00002",
            "input_audio_cache": "0.0000005",
            "input_cache_read": "0.0000002",
            "input_cache_write": "0.0000025",
            "input_cache_write_1h": "0.000004",
            "internal_reasoning": "0.000009",
            "web_search": "0.01",
            "discount": 0.1,
            "overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000004"}],
        }
        import_list(item("maker/one", pricing), now=NOON)
        sheet = CostPrice.objects.using("system").get().sheet
        assert len(sheet["base"]) == len(TokenClass)
        assert sheet["base"]["input"] == "0.000001800000" and sheet["base"]["requests"] == "0.009000000000"
        assert sheet["overrides"] == [{"min_prompt_tokens": 200_000, "unit_costs": {"input": "0.000003600000"}}]

    def test_customers_are_charged_by_it_from_the_moment_it_holds(self) -> None:
        acme = stories.meet_the_cast(now=NOON).acme
        import_list(
            item(stories.DEVSTRAL, {"prompt": "0.00000005", "completion": "0.00000005"}), now=NOON, effective_from=None
        )
        moment = NOON + LEAD
        for number, (at, amount) in enumerate(((moment - timedelta(seconds=1), "66"), (moment, "82.5"))):
            usage = TokenUsage(input_tokens=500_000, output_tokens=500_000)
            outcome = stories.use(acme.organization, at=at, now=at, key=f"call-{number}", usage=usage)
            assert outcome.amount == Decimal(amount)

    def test_the_row_of_a_model_that_somebody_listed_gets_its_first_price(self) -> None:
        table = feed_table()
        LanguageModel.objects.using("system").create(
            slug="maker/one", page_slug="maker-one", cost_table=table, name="One", created_at=NOON
        )
        assert import_list(item("maker/one"), now=NOON).counts["new"] == 1
        assert len(sheets_of("maker/one")) == 1

    def test_aliases_batches_and_what_the_gateway_cannot_carry_are_left_out(self) -> None:
        film = item("maker/film", architecture={"input_modalities": ["text"], "output_modalities": ["video"]})
        outcome = import_list(
            item("maker/one"),
            item("~maker/latest", {"prompt": "-1", "completion": "-1"}),
            item("maker/newest", {"prompt": "-1", "completion": "-1"}, alias_target="maker/one"),
            item("maker/one:batch"),
            item("no-author"),
            film,
            now=NOON,
        )
        assert outcome.counts["left_out"] == 5 and outcome.counts["new"] == 1
        assert "video" in outcome.comparison.left_out["maker/film"]

    def test_models_that_answer_with_pictures_are_listed_when_pictures_have_a_price(self) -> None:
        paints = {"input_modalities": ["text"], "output_modalities": ["image", "text"]}
        outcome = import_list(
            item("maker/painter", PRICE | {"image_output": "0.00003"}, architecture=paints),
            item("maker/unpriced", architecture=paints),
            now=NOON,
        )
        assert [change.entry.slug for change in outcome.comparison.first] == ["maker/painter"]
        assert [doubt.doubt for doubt in outcome.comparison.doubtful] == ["unpriced_media"]

    def test_an_embedding_has_no_output_to_charge(self) -> None:
        embeds = {"input_modalities": ["text"], "output_modalities": ["embeddings"]}
        outcome = import_list(
            item("maker/vectors", {"prompt": "0.00000002", "completion": "0"}, architecture=embeds), now=NOON
        )
        assert outcome.counts["new"] == 1 and outcome.counts["quarantined"] == 0

    def test_two_that_would_have_one_page_are_not_both_listed(self) -> None:
        outcome = import_list(item("maker/one-two"), item("maker-one/two"), now=NOON)
        assert outcome.counts["new"] == 1 and outcome.comparison.left_out.keys() == {"maker-one/two"}


class TestFacts:
    def test_what_the_list_knows_better_is_taken_over(self) -> None:
        import_list(item("maker/one"), now=NOON)
        outcome = import_list(item("maker/one", context_length=262_144, description="Better."), now=LATER)
        assert outcome.counts["described"] == 1
        one = model("maker/one")
        assert (one.context_length, one.description_en, one.updated_at) == (262_144, "Better.", LATER)
        assert AuditEntry.objects.using("system").filter(action="models.described", target="maker/one").exists()

    def test_what_it_does_not_tell_is_not_forgotten(self) -> None:
        import_list(item("maker/one"), now=NOON)
        import_list(item("maker/one", context_length=None, description="", supported_parameters=None), now=LATER)
        assert model("maker/one").context_length == 131_072

    def test_what_an_operator_wrote_stays(self) -> None:
        import_list(item("maker/one"), now=NOON)
        LanguageModel.objects.using("system").update(name="Unser Eins", own_fields=["name"])
        import_list(item("maker/one", name="Maker: Other", context_length=1000), now=LATER)
        assert (model("maker/one").name, model("maker/one").context_length) == ("Unser Eins", 1000)

    def test_our_own_table_is_believed_more(self) -> None:
        slug = "mistralai/mistral-small-3.2-24b-instruct"
        stories.make_model(slug, now=NOON, description_en="Our words.", name="Ours", pricing=PRICE)
        import_list(item(slug, name="Mistral: Theirs", description="Their words."), now=LATER)
        assert (model(slug).name, model(slug).description_en) == ("Ours", "Our words.")

    def test_a_description_is_words_not_links(self) -> None:
        text = "See [the paper](https://x.example/a_(b)) now.\x00\ud800\n\nReally."
        import_list(item("maker/one", description=text), now=NOON)
        assert model("maker/one").description_en == "See the paper now.\n\nReally."

    def test_a_model_that_is_sold_from_another_table_keeps_its_facts(self) -> None:
        own = stories.make_model("maker/one", now=NOON, context_length=1000)
        table = stories.CostTable.objects.using("system").create(slug="self-hosted", name="Self-hosted")
        LanguageModel.objects.using("system").filter(pk=own.pk).update(cost_table=table)
        import_list(item("maker/one", stories.DEVSTRAL_PRICE), now=LATER)
        assert model("maker/one").context_length == 1000


GOOD = [item("maker/one"), item("maker/two")]
BAD: dict[str, tuple[bytes, str]] = {
    "truncated": (listing(*GOOD)[:-40], "valid JSON"),
    "empty": (b"", "empty"),
    "blank": (b" \n", "empty"),
    "html": (b"<!doctype html><html><body>502</body></html>", "web page"),
    "nan": (listing(*GOOD).replace(b'"0.000001"', b"NaN", 1), "NaN"),
    "infinity": (listing(*GOOD).replace(b'"0.000001"', b"-Infinity", 1), "Infinity"),
    "huge number": (listing(*GOOD).replace(b'"0.000001"', b"1e999", 1), "cannot be read"),
    "nan as text": (listing(*GOOD).replace(b'"0.000001"', b'"NaN"', 1), "not a decimal number"),
    "huge number as text": (listing(*GOOD).replace(b'"0.000001"', b'"1e999"', 1), "not a decimal number"),
    "very huge number": (listing(*GOOD).replace(b'"0.000001"', b"1e99999999999999999999", 1), "believed"),
    "endless number": (listing(*GOOD).replace(b'"0.000001"', b"1" * 5000, 1), "60 signs"),
    "a number, which may have been a float": (listing(*GOOD).replace(b'"0.000001"', b"0.000001", 1), "a string"),
    "above all reason": (listing(*GOOD).replace(b'"0.000001"', b'"10000000"', 1), "more than"),
    "duplicated id": (listing(*GOOD, item("maker/one")), "maker/one twice"),
    "duplicated key": (b'{"data": [], "data": []}', "twice"),
    "no list": (b'{"error": {"message": "no"}}', "no list of models"),
    "a list": (b"[]", "no list of models"),
    "no models": (listing(), "no model at all"),
    "no id": (listing(*GOOD, {"name": "x", "pricing": PRICE}), "Entry 3 has no 'id'"),
    "an id that is no text": (listing(*GOOD, item("x/y") | {"id": 7}), "Entry 3 has no 'id'"),
    "an entry that is none": (listing(*GOOD, []), "Entry 3"),  # type: ignore[arg-type]
    "no name": (listing(*GOOD, item("x/y") | {"name": None}), "x/y has no 'name'"),
    "no pricing": (listing(*GOOD, item("x/y") | {"pricing": None}), "x/y has no 'pricing'"),
    "no prompt": (listing(*GOOD, item("x/y", {"completion": "1"})), "no 'prompt'"),
    "no completion": (listing(*GOOD, item("x/y", {"prompt": "1", "completion": None})), "no 'completion'"),
    "another kind of value": (listing(*GOOD, item("x/y", context_length="many")), "'context_length' is not"),
    "another shape": (listing(*GOOD, item("x/y", architecture="text")), "'architecture' is not"),
    "a bad discount": (listing(*GOOD, item("x/y", PRICE | {"discount": 2})), "discount"),
    "an hour that is none": (
        listing(*GOOD, item("x/y", PRICE | {"overrides": [{"utc_start": 2575, "utc_end": 0}]})),
        "time of day",
    ),
    "too many conditions": (listing(*GOOD, item("x/y", PRICE | {"overrides": [{}] * 33})), "conditions"),
    "signs that are none": (listing(*GOOD, item("x/y", PRICE | {"note": "\0"})), "signs that are none"),
    "fewer than announced": (listing(*GOOD, total_count=3), "announces 3 models but lists 2"),
    "too deep": (b'{"data":' + b"[" * 100_000, "nested"),
    "not utf-8": (b'{"data": "\xff"}', "UTF-8"),
}


class TestAListThatIsBad:
    @pytest.mark.parametrize("name", BAD)
    def test_it_is_refused_whole_with_one_reason(self, name: str) -> None:
        import_list(*GOOD, now=NOON)
        prices = CostPrice.objects.using("system").count()
        body, reason = BAD[name]
        with pytest.raises(SnapshotRefused) as refusal:
            import_body(body, now=LATER)
        assert reason in str(refusal.value)
        assert str(refusal.value).count("\n") == 0
        assert CostPrice.objects.using("system").count() == prices
        assert LanguageModel.objects.using("system").count() == 2

    def test_nothing_of_the_rest_is_used_and_the_alarm_tells_until_a_good_one_comes(self) -> None:
        import_list(*GOOD, now=NOON)
        dearer = item("maker/two", {"prompt": "0.0000011", "completion": "0.000002"})
        with pytest.raises(SnapshotRefused):
            import_list(item("maker/one", {"prompt": "NaN", "completion": "1"}), dearer, item("x/new"), now=LATER)
        assert len(sheets_of("maker/two")) == 1 and not LanguageModel.objects.using("system").filter(slug="x/new")
        feed = PriceFeed.objects.using("system").get()
        assert feed.outcome == "refused" and "maker/one" in feed.reason and feed.imported_at == NOON
        assert "NaN" in alarms()["price_feed"] and "stay in force" in alarms()["price_feed"]
        import_list(item("maker/one"), dearer, item("x/new"), now=LATER + HOUR)
        assert alarms() == {}
        assert len(sheets_of("maker/two")) == 2 and sheets_of("x/new")

    def test_one_unreadable_price_can_be_set_aside_by_an_operator(self) -> None:
        from catalog.feed import quarantine

        import_list(*GOOD, now=NOON)
        broken = item("maker/one", {"prompt": "NaN", "completion": "1"})
        for hours in (1, 2):
            with pytest.raises(SnapshotRefused):
                import_list(broken, item("maker/two"), item("x/new"), now=NOON + hours * HOUR)
        entry = QuarantinedPrice.objects.using("system").get()
        assert (entry.doubt, entry.status) == ("unreadable", "open")
        with pytest.raises(quarantine.NotApprovable):
            quarantine.approve(entry_id=entry.pk, reason="", clock=lambda: LATER, actor=None)
        quarantine.refuse(entry_id=entry.pk, reason="The provider is broken", clock=lambda: LATER, actor=None)
        assert import_list(broken, item("maker/two"), item("x/new"), now=NOON + 3 * HOUR).counts["new"] == 1
        assert len(sheets_of("maker/one")) == 1 and alarms() == {}

    def test_a_list_that_lacks_a_large_share_of_the_models_is_refused(self) -> None:
        many = [item(f"maker/{number}") for number in range(20)]
        import_list(*many, now=NOON)
        with pytest.raises(SnapshotRefused, match="lacks 6 of the 20 models"):
            import_list(*many[6:], now=LATER)
        assert import_list(*many[5:], now=LATER + HOUR).counts["missing"] == 5


class TestSeveralImporters:
    def test_two_at_once_write_each_change_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import_list(*GOOD, now=NOON)
        changed = listing(item("maker/one", {"prompt": "0.0000011", "completion": "0.000002"}), item("x/new"), GOOD[1])
        start, faults = threading.Barrier(2), []

        def run(number: int) -> None:
            try:
                start.wait()
                import_body(changed, now=LATER + timedelta(milliseconds=number))
            except Exception as fault:
                faults.append(fault)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert len(sheets_of("maker/one")) == 2 and len(sheets_of("x/new")) == 1


class TestTime:
    def test_a_recorded_list_can_be_replayed_at_its_own_time(self) -> None:
        then = NOON - timedelta(days=30)
        import_list(item("maker/one"), now=NOON, effective_from=then)
        cheaper = item("maker/one", {"prompt": "0.0000009", "completion": "0.000002"})
        import_list(cheaper, now=NOON, effective_from=then + timedelta(days=10))
        rows = CostPrice.objects.using("system").order_by("effective_from")
        assert [row.effective_from for row in rows] == [then, then + timedelta(days=10)]

    def test_nothing_is_dated_back_over_what_was_charged(self) -> None:
        acme = stories.meet_the_cast(now=NOON).acme
        stories.use(acme.organization, at=NOON)
        changed = item(stories.DEVSTRAL, {"prompt": "0.00000005", "completion": "0.00000005"})
        before = row_counts()["CostPrice"]
        with pytest.raises(SnapshotRefused, match="was charged"):
            import_list(changed, now=LATER, effective_from=NOON - timedelta(days=1))
        assert row_counts()["CostPrice"] == before
        assert import_list(changed, now=LATER).counts["changed"] == 1

    @pytest.mark.parametrize("pricing", [{"prompt": "0.00001", "completion": "0.00002"}, None], ids=["dearer", "gone"])
    @pytest.mark.parametrize("waits_already", [False, True], ids=["new doubt", "waiting doubt"])
    def test_nor_when_what_is_in_doubt_is_approved_with_the_list(
        self, pricing: dict[str, str] | None, waits_already: bool
    ) -> None:
        cast = stories.meet_the_cast(now=NOON)
        devstral = item(stories.DEVSTRAL, stories.DEVSTRAL_PRICE)
        import_list(item("maker/one"), devstral, now=NOON)
        price_book.forget()
        stories.use(cast.acme.organization, at=NOON + 2 * HOUR, model="maker/one")
        told = [devstral] if pricing is None else [item("maker/one", pricing), devstral]
        if waits_already:
            import_list(*told, now=NOON + 3 * HOUR)
        with pytest.raises(SnapshotRefused, match="was charged"):
            import_list(*told, now=NOON + 4 * HOUR, effective_from=LATER, approve=True)
        assert len(sheets_of("maker/one")) == 1
        assert import_list(*told, now=NOON + 4 * HOUR, approve=True).approved == 1

    def test_a_first_price_reaches_back_to_the_usage_that_waits_for_it(self) -> None:
        acme = stories.meet_the_cast(now=NOON).acme
        early = NOON - timedelta(hours=3)
        assert stories.use(acme.organization, at=early, now=NOON, model="maker/one").amount is None
        devstral = item(stories.DEVSTRAL, stories.DEVSTRAL_PRICE)
        import_list(devstral, item("maker/one"), item("maker/two"), now=LATER)
        begin = dict(CostPrice.objects.using("system").values_list("language_model__slug", "effective_from"))
        assert begin["maker/one"] == early and begin["maker/two"] == LATER + LEAD
        entry = AuditEntry.objects.using("system").get(action="cost_price.backdated")
        assert entry.target == "maker/one"
        price_book.forget()
        assert rate_waiting(now=LATER + HOUR) == 1

    def test_no_two_prices_begin_at_one_moment(self) -> None:
        import_list(item("maker/one"), now=NOON)
        with pytest.raises(SnapshotRefused, match="this very moment"):
            import_list(item("maker/one", {"prompt": "0.0000011", "completion": "0.000002"}), now=NOON)

    def test_a_price_entered_by_hand_is_not_overruled_unseen(self) -> None:
        import_list(item("maker/one"), now=NOON)
        ours = {"prompt": "0.0000008", "completion": "0.000002"}
        sheet = parse_openrouter_pricing(ours)
        assert sheet
        publish_cost_price(
            cost_table=feed_table(),
            language_model=model("maker/one"),
            sheet=sheet,
            effective_from=LATER,
            raw=ours,
            origin=BY_HAND,
            now=LATER,
        )
        outcome = import_list(item("maker/one"), now=LATER + HOUR)
        assert [doubt.doubt for doubt in outcome.comparison.doubtful] == ["by_hand"]
        assert len(sheets_of("maker/one")) == 2
        assert import_list(item("maker/one", ours), now=LATER + 2 * HOUR).counts["withdrawn"] == 1

    def test_nor_is_a_correction(self) -> None:
        import_list(item("maker/one"), now=NOON)
        right = {"prompt": "0.0000012", "completion": "0.000002"}
        sheet = parse_openrouter_pricing(right)
        assert sheet
        correct_cost_price(
            language_model=model("maker/one"),
            sheet=sheet,
            effective_from=NOON + timedelta(minutes=1),
            reason="The list is wrong",
            now=LATER,
            actor=None,
        )
        outcome = import_list(item("maker/one"), now=LATER + HOUR)
        assert [doubt.doubt for doubt in outcome.comparison.doubtful] == ["by_hand"]
        assert len(sheets_of("maker/one")) == 2


def test_the_price_book_sees_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    import_list(item("maker/one"), now=NOON)
    entry = price_book.find_model("maker/one")
    import_list(item("maker/one", {"prompt": "0.0000011", "completion": "0.000002"}), now=LATER)
    dated: Any = price_book.current().price(entry, LATER + LEAD)
    assert dated.value.base[TokenClass.INPUT] == Decimal("0.0000011")
