"""Exchange rates come by themselves: what is new is stored once, what cannot be believed is an alarm."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from pytest_django import Settings

from accounts.models import Alarm, AuditEntry
from catalog import price_book, rate_import, tasks
from catalog.exchange_rates import InvalidRate, publish_exchange_rate, wait_for_other_publishers
from catalog.models import ExchangeRate
from catalog.rate_import import ImportReport, import_configured, import_from, weekdays_between
from catalog.rate_sources import answers
from catalog.rate_sources.interface import Publication
from catalog.rate_sources.selection import source_named
from config.launch.places import CHECKOUT
from tests import stories
from tests.catalog import rate_server
from tests.catalog.rate_server import Publishers, frankfurter_answer, koreaexim_answer

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
"""A Friday, 18:00 in Seoul."""
FRIDAY = date(2026, 11, 20)
WEEK = {"2026-11-18": "1391.5", "2026-11-19": "1392.1", "2026-11-20": "1393.5"}
FAULTS = {
    "an error": (500, b"oops"),
    "a gateway's page": (502, b"<html>Bad gateway</html>"),
    "too many questions": (429, b"{}"),
    "a page": (200, b"<!doctype html><title>Maintenance</title>"),
    "nothing": (200, b""),
    "cut off": (200, koreaexim_answer("1393.5")[:-20]),
    "null": (200, b"null"),
    "no utf-8": (200, b"\xff\xfe\x00"),
    "too long": (200, b"[" + b" " * 1_000_001 + b"]"),
    "too deep": (200, b"[" * 200_000),
    "a redirect": (302, b""),
    "forbidden": (403, b"no"),
}
BAD_RATES = [
    "NaN",
    "Infinity",
    "-Infinity",
    "-1393.5",
    "0",
    "0.0",
    "1e3",
    "1E999",
    "1" * 5000,
    "null",
    '"1393,5"',
    "[]",
]


@pytest.fixture
def server(db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publishers]:
    monkeypatch.setattr(answers, "PAUSES", (0.0, 0.0))
    with rate_server.publishers() as publishers:
        settings.KOREAEXIM_BASE_URL = settings.FRANKFURTER_BASE_URL = publishers.url
        settings.KOREAEXIM_API_KEY = rate_server.KEY
        settings.EXCHANGE_RATE_SOURCES = ["koreaexim"]
        publishers.rates = dict(WEEK)
        yield publishers


def stored() -> list[tuple[str, str, int, str]]:
    rows = ExchangeRate.objects.order_by("published_on", "revision", "source")
    return [(row.published_on.isoformat(), row.source, row.revision, f"{row.rate:f}") for row in rows]


def alarms() -> dict[str, str]:
    open_ones = Alarm.objects.using("system").filter(kind="exchange_rate", cleared_at=None)
    return dict(open_ones.values_list("subject", "summary"))


@pytest.mark.parametrize("source", ["koreaexim", "frankfurter"])
def test_a_source_is_read_digit_by_digit(server: Publishers, settings: Settings, source: str) -> None:
    settings.EXCHANGE_RATE_SOURCES = [source]
    [report] = import_configured(clock=lambda: NOW)
    assert report.failure == "" and (report.first, report.last) == (date(2026, 10, 22), FRIDAY)
    assert stored() == [
        ("2026-11-18", source, 1, "1391.5000"),
        ("2026-11-19", source, 1, "1392.1000"),
        ("2026-11-20", source, 1, "1393.5000"),
    ]
    entry = AuditEntry.objects.using("system").filter(action="exchange_rate.published").latest("at")
    assert entry.actor is None and entry.detail["source"] == source


def test_digits_beyond_the_fourth_are_rounded_half_to_even_and_kept_in_the_audit_log(
    server: Publishers, settings: Settings
) -> None:
    settings.EXCHANGE_RATE_SOURCES = ["frankfurter"]
    server.rates = {"2026-11-19": "1392.10005", "2026-11-20": "1393.50015000000000000001"}
    import_configured(clock=lambda: NOW)
    assert [rate for *_row, rate in stored()] == ["1392.1000", "1393.5002"]
    entries = AuditEntry.objects.using("system").filter(action="exchange_rate.published").order_by("pk")
    assert [entry.detail["published"] for entry in entries] == ["1392.10005", "1393.50015000000000000001"]


def test_the_same_again_writes_nothing_and_another_value_is_a_new_revision(server: Publishers) -> None:
    import_configured(clock=lambda: NOW)
    before = stored()
    [again] = import_configured(clock=lambda: NOW + timedelta(hours=2))
    assert stored() == before and again.known[-1] == FRIDAY and not again.stored
    server.rates["2026-11-20"] = "1394"
    import_configured(clock=lambda: NOW + timedelta(hours=3))
    assert stored() == [*before, ("2026-11-20", "koreaexim", 2, "1394.0000")]


def test_a_new_revision_never_changes_what_was_charged(server: Publishers) -> None:
    acme = stories.meet_the_cast(now=NOW).acme.organization
    acme.exchange_policy = "daily"
    acme.save(using="system")
    import_configured(clock=lambda: NOW)
    monday = datetime(2026, 11, 23, 3, tzinfo=UTC)

    def charged() -> Decimal:
        price_book.forget()
        amount = stories.use(acme, at=monday).amount
        assert amount is not None
        return amount

    before = charged()
    server.rates["2026-11-20"] = "1400"
    import_configured(clock=lambda: monday)
    assert [(day, revision) for day, _source, revision, _rate in stored()][-1] == ("2026-11-20", 2)
    assert charged() == before
    call_command("audit", stdout=StringIO())


def test_by_default_it_asks_from_the_last_day_it_knows(server: Publishers) -> None:
    import_configured(clock=lambda: NOW)  # this month's rate is missing: from ten days before the month
    assert len(server.asked) == 30 and "searchdate=20261022" in server.asked[0]
    server.asked.clear()
    publish_exchange_rate(rate=Decimal(1390), published_on=date(2026, 10, 30), source="manual", now=NOW)
    import_configured(clock=lambda: NOW + timedelta(days=3))
    assert [path.partition("searchdate=")[2][:8] for path in server.asked] == [f"202611{day}" for day in range(20, 24)]


@pytest.mark.parametrize("source", ["koreaexim", "frankfurter"])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_source_that_fails_leaves_everything_as_it_was_and_is_an_alarm_until_it_answers(
    server: Publishers, settings: Settings, source: str, fault: str
) -> None:
    settings.EXCHANGE_RATE_SOURCES = [source]
    server.always = FAULTS[fault]
    [report] = import_configured(clock=lambda: NOW)
    assert report.failure and not stored()
    assert list(alarms()) == [f"source {source}"] and report.failure in alarms()[f"source {source}"]
    server.always = None
    import_configured(clock=lambda: NOW)
    assert len(stored()) == 3 and not alarms()


def test_a_passing_fault_is_asked_again_a_lasting_one_is_not(server: Publishers, settings: Settings) -> None:
    settings.EXCHANGE_RATE_SOURCES = ["frankfurter"]
    server.faults = [FAULTS["an error"], FAULTS["too many questions"]]
    [report] = import_configured(clock=lambda: NOW)
    assert report.failure == "" and len(stored()) == 3 and len(server.asked) == 3
    server.asked.clear()
    server.always = FAULTS["forbidden"]
    import_configured(clock=lambda: NOW)
    assert len(server.asked) == 1


def test_a_slow_answer_is_not_waited_for(server: Publishers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SECONDS", 0.1)
    server.seconds = 0.5
    [report] = import_configured(clock=lambda: NOW)
    assert report.failure == "no answer within 0.1 seconds" and len(server.asked) == 3


def test_a_source_nobody_reaches(server: Publishers, settings: Settings) -> None:
    settings.KOREAEXIM_BASE_URL = "http://127.0.0.1:9"
    [report] = import_configured(clock=lambda: NOW)
    assert report.failure.startswith("it could not be reached") and list(alarms()) == ["source koreaexim"]


def test_an_answer_that_was_compressed_unasked_is_refused(server: Publishers) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    [report] = import_configured(clock=lambda: NOW)
    assert "compressed" in report.failure


@pytest.mark.parametrize("number", range(len(BAD_RATES)))
def test_what_is_no_rate_refuses_the_whole_answer(server: Publishers, settings: Settings, number: int) -> None:
    settings.EXCHANGE_RATE_SOURCES = ["frankfurter"]
    server.rates["2026-11-19"] = BAD_RATES[number]
    [report] = import_configured(clock=lambda: NOW)
    assert report.failure and not stored()


@pytest.mark.parametrize("text", ["NaN", "1e3", "-1,393.5", "1,39.35", "1393,5", "", "１３９３.５", "1,393.5 ", "0"])
def test_koreaexims_texts_are_read_strictly(server: Publishers, text: str) -> None:
    body = koreaexim_answer("1393.5").decode().replace('"1,393.5"', f'"{text}"')
    server.always = (200, body.encode())
    [report] = import_configured(clock=lambda: NOW)
    assert "no rate" in report.failure or "rate of 0" in report.failure
    assert not stored()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"amount":1.0,"base":"EUR","rates":{"2026-11-20":{"KRW":1600.1}}}', "one dollar"),
        (b'{"amount":10.0,"base":"USD","rates":{"2026-11-20":{"KRW":13935}}}', "one dollar"),
        (b'{"amount":1.0,"base":"USD","rates":{"2026-11-20":{"JPY":154.1}}}', "won alone"),
        (b'{"amount":1.0,"base":"USD","rates":{"2026-11-20":{"KRW":1393.5,"JPY":154.1}}}', "won alone"),
        (b'{"amount":1.0,"base":"USD","rates":{"2026-11-20":1393.5}}', "won alone"),
        (b'{"amount":1.0,"base":"USD","rates":{"2026-11-21":{"KRW":1393.5}}}', "not asked for"),
        (b'{"amount":1.0,"base":"USD","rates":{"20261120":{"KRW":1393.5}}}', "no day"),
        (b'{"amount":1.0,"base":"USD","rates":{"2026-11-31":{"KRW":1393.5}}}', "no day"),
        (b'{"amount":1.0,"base":"USD","rates":{"2026-11-20":{"KRW":1393.5,"KRW":1393.6}}}', "twice"),
        (b'{"amount":1.0,"base":"USD","rates":[]}', "no rates"),
        (b'{"message":"not found"}', "no rates"),
    ],
)
def test_frankfurters_answer_must_be_about_dollars_in_won(
    server: Publishers, settings: Settings, body: bytes, why: str
) -> None:
    settings.EXCHANGE_RATE_SOURCES = ["frankfurter"]
    server.always = (200, body)
    [report] = import_configured(clock=lambda: NOW)
    assert why in report.failure and not stored()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'[{"result":2,"cur_unit":null}]', "does not know the data"),
        (b'[{"result":3,"cur_unit":null}]', "KOREAEXIM_API_KEY"),
        (b'[{"result":4,"cur_unit":null}]', "used up"),
        (b'[{"result":5}]', "unknown result"),
        (b'[{"cur_unit":"USD","deal_bas_r":"1,393.5"}]', "unknown result"),
        (b'[{"result":1,"cur_unit":"EUR","deal_bas_r":"1,600"}]', "the dollar 0 times"),
        (b'[{"result":1,"cur_unit":"USD","deal_bas_r":1393.5},{"result":1,"cur_unit":"USD"}]', "the dollar 2 times"),
        (b'{"result":1}', "no list"),
        (b"[1]", "no list"),
    ],
)
def test_koreaexims_answer_must_hold_the_dollar_once(server: Publishers, body: bytes, why: str) -> None:
    server.always = (200, body)
    [report] = import_configured(clock=lambda: NOW)
    assert why in report.failure and not stored()


def test_a_range_without_a_working_day_brings_nothing(server: Publishers, settings: Settings) -> None:
    """Frankfurter answers a weekend with the Friday before it."""
    answer = frankfurter_answer({"2026-11-20": "1393.5"}, first="2026-11-20", last="2026-11-22")
    server.always = (200, answer)
    sunday = datetime(2026, 11, 22, tzinfo=UTC)
    report = import_from(
        source_named("frankfurter"), clock=lambda: sunday, first=date(2026, 11, 21), last=date(2026, 11, 22)
    )
    assert report.failure == "" and not stored()


def test_before_eleven_and_on_holidays_there_is_nothing_and_no_alarm(server: Publishers) -> None:
    server.rates = {}
    [report] = import_configured(clock=lambda: NOW)
    assert (report.failure, stored(), alarms()) == ("", [], {})


def test_a_day_that_has_not_come_is_refused(server: Publishers) -> None:
    report = ImportReport("koreaexim", FRIDAY, FRIDAY)
    ahead = Publication(published_on=FRIDAY + timedelta(days=1), text="1390", rate=Decimal(1390))
    good = Publication(published_on=FRIDAY, text="1390", rate=Decimal(1390))
    with pytest.raises(rate_import.SourceFailed, match="2026-11-21"):
        rate_import.note_publications(report, [good, ahead], clock=lambda: NOW)
    assert not stored()


@pytest.mark.parametrize("rate", ["139.35", "13935", "1.0", "0.00072"])
def test_the_wrong_pair_or_point_is_not_believed_even_at_first(server: Publishers, rate: str) -> None:
    server.rates = {"2026-11-20": rate}
    [report] = import_configured(clock=lambda: NOW)
    assert not stored() and len(report.not_believed) == 1
    assert "enter it by hand" in alarms()["doubt koreaexim"]


def test_a_jump_is_not_believed_until_an_operator_enters_it(server: Publishers) -> None:
    operator = stories.make_operator(now=NOW)
    server.rates = {"2026-11-18": "1400", "2026-11-19": "1541", "2026-11-20": "1540"}
    [report] = import_configured(clock=lambda: NOW)
    assert [(day, rate) for day, *_rest, rate in stored()] == [
        ("2026-11-18", "1400.0000"),
        ("2026-11-20", "1540.0000"),
    ]
    assert [one.published_on.isoformat() for one, _why in report.not_believed] == ["2026-11-19"]
    assert "more than 10 % from 1400.0000 of 2026-11-18" in report.not_believed[0][1]
    assert not alarms(), "the day after settled it"

    monday = NOW + timedelta(days=3)
    server.rates["2026-11-23"] = "1800"
    import_configured(clock=lambda: monday)
    assert "2026-11-23" in alarms()["doubt koreaexim"] and len(stored()) == 2
    publish_exchange_rate(
        rate=Decimal(1800), published_on=date(2026, 11, 23), source="manual", now=monday, actor=operator
    )
    import_configured(clock=lambda: monday)
    assert ("2026-11-23", "koreaexim", 1, "1800.0000") in stored() and not alarms()


def test_a_correction_that_is_not_believed_is_an_alarm(server: Publishers) -> None:
    import_configured(clock=lambda: NOW)
    server.rates["2026-11-20"] = "1800"
    import_configured(clock=lambda: NOW)
    assert stored()[-1] == ("2026-11-20", "koreaexim", 1, "1393.5000") and "1,800 won" in alarms()["doubt koreaexim"]


def test_the_next_source_is_asked_only_while_the_first_is_late(server: Publishers, settings: Settings) -> None:
    settings.EXCHANGE_RATE_SOURCES = ["koreaexim", "frankfurter"]
    assert [report.source for report in import_configured(clock=lambda: NOW)] == ["koreaexim"]
    settings.KOREAEXIM_API_KEY = "revoked"
    holidays_later, late = NOW + timedelta(days=7), NOW + timedelta(days=11)
    assert [report.source for report in import_configured(clock=lambda: holidays_later)] == ["koreaexim"]
    server.rates["2026-11-27"] = "1390"
    reports = import_configured(clock=lambda: late)
    assert [(report.source, bool(report.failure)) for report in reports] == [
        ("koreaexim", True),
        ("frankfurter", False),
    ]
    assert stored()[-1] == ("2026-11-27", "frankfurter", 1, "1390.0000")
    assert list(alarms()) == ["source koreaexim"]


def test_two_importers_at_once_write_once(server: Publishers) -> None:
    report = ImportReport("koreaexim", FRIDAY, FRIDAY)
    publications = [
        Publication(published_on=date(2026, 11, number), text="1390", rate=Decimal(1390)) for number in range(2, 20)
    ]
    start, failures = threading.Barrier(6), []

    def run() -> None:
        start.wait()
        try:
            rate_import.note_publications(report, publications, clock=lambda: NOW)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    importers = [threading.Thread(target=run) for _number in range(6)]
    for importer in importers:
        importer.start()
    for importer in importers:
        importer.join()
    assert not failures
    assert [(revision, rate) for _day, _source, revision, rate in stored()] == [(1, "1390.0000")] * 18


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "0", "-1", "1393.50001"])
def test_what_is_no_rate_cannot_be_published_at_all(db: None, rate: str) -> None:
    with pytest.raises(InvalidRate):
        publish_exchange_rate(rate=Decimal(rate), published_on=FRIDAY, source="manual", now=NOW)


def test_the_key_is_never_told(server: Publishers, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.always = FAULTS["an error"]
    output = StringIO()
    with pytest.raises(CommandError):
        call_command("import_exchange_rates", stdout=output)
    import_configured(clock=lambda: NOW)
    told = output.getvalue() + caplog.text + " ".join(alarms().values()) + repr(source_named("koreaexim"))
    assert any(rate_server.KEY in path for path in server.asked) and rate_server.KEY not in told


def test_without_sources_it_is_quiet(server: Publishers, settings: Settings) -> None:
    settings.EXCHANGE_RATE_SOURCES = []
    tasks.import_exchange_rates()
    assert (server.asked, stored(), alarms()) == ([], [], {})
    output = StringIO()
    call_command("import_exchange_rates", stdout=output)
    assert "No source is configured" in output.getvalue()


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"DEMO": "1"}, "[]"),
        ({"DEMO": "0"}, "['frankfurter']"),
        ({"DEMO": "0", "KOREAEXIM_API_KEY": "x"}, "['koreaexim']"),
        ({"DEMO": "1", "KOREAEXIM_API_KEY": "x"}, "['koreaexim']"),
        ({"DEMO": "0", "EXCHANGE_RATE_SOURCES": ""}, "[]"),
        ({"DEMO": "1", "EXCHANGE_RATE_SOURCES": "koreaexim,frankfurter"}, "['koreaexim', 'frankfurter']"),
    ],
    ids=["the demo", "without a key", "with a key", "the demo with a key", "by hand", "both"],
)
def test_who_is_asked_if_nothing_else_is_said(said: dict[str, str], asked: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from config.settings import EXCHANGE_RATE_SOURCES; print(EXCHANGE_RATE_SOURCES)"],
        cwd=CHECKOUT,
        env=os.environ | said,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == asked


def test_a_source_that_is_asked_no_more_has_no_alarm(server: Publishers, settings: Settings) -> None:
    server.always = FAULTS["an error"]
    import_configured(clock=lambda: NOW)
    assert alarms()
    settings.EXCHANGE_RATE_SOURCES = []
    import_configured(clock=lambda: NOW)
    assert not alarms()


def test_a_backfill_says_what_it_did(server: Publishers) -> None:
    server.rates["2026-11-19"] = "2222"
    output = StringIO()
    with pytest.raises(CommandError, match="Not all"):
        call_command(
            "import_exchange_rates", "--source=frankfurter", "--from=2026-11-16", "--to=2026-11-20", stdout=output
        )
    text = output.getvalue()
    assert "frankfurter, 2026-11-16 to 2026-11-20" in text and "2026-11-19  2222  not believed" in text
    assert "2026-11-18  1391.5000  stored" in text and "2 new, 0 known before" in text
    assert not alarms(), "who runs it reads what it says"


def test_a_recorded_answer_is_replayed(server: Publishers, tmp_path: Path) -> None:
    recorded = tmp_path / "rates.json"
    recorded.write_bytes(frankfurter_answer(WEEK, first="2026-11-18", last="2026-11-20"))
    replay = ("import_exchange_rates", "--source=frankfurter", f"--file={recorded}")
    call_command(*replay, "--from=2026-11-16", "--to=2026-11-20", stdout=StringIO())
    assert len(stored()) == 3 and not server.asked
    recorded.write_bytes(koreaexim_answer("1393.5"))
    replay = ("import_exchange_rates", "--source=koreaexim", f"--file={recorded}")
    call_command(*replay, "--to=2026-11-20", stdout=StringIO())
    assert stored()[-1] == ("2026-11-20", "koreaexim", 1, "1393.5000")
    for wrong in (["--from=2026-11-19", "--to=2026-11-20"], ["--from=2026-11-21", "--to=2026-11-20"]):
        with pytest.raises(CommandError):
            call_command(*replay, *wrong, stdout=StringIO())
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_exchange_rates", "--source=koreaexim", "--file=/no/such", stdout=StringIO())


@pytest.mark.parametrize(
    ("last", "today", "weekdays"),
    [("2026-11-20", "2026-11-23", 0), ("2026-11-20", "2026-11-27", 4), ("2025-10-02", "2025-10-10", 5)],
)
def test_weekdays_without_a_publication(last: str, today: str, weekdays: int) -> None:
    assert weekdays_between(date.fromisoformat(last), date.fromisoformat(today)) == weekdays


def test_a_slow_answer_counts_from_when_it_was_known_not_from_when_it_was_asked_for(
    server: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for seconds before the month began and answered after: what was charged meanwhile keeps its month's rate."""
    asked = datetime(2026, 11, 30, 14, 59, 40, tzinfo=UTC)
    answered = asked + timedelta(seconds=25)
    times = [asked]

    class Slow:
        name = "koreaexim"

        def fetch(self, first: date, last: date) -> list[Publication]:
            times.append(answered)
            return [Publication(published_on=date(2026, 11, 30), text="1390", rate=Decimal(1390))]

    monkeypatch.setattr(rate_import, "configured_sources", lambda: [Slow()])
    import_configured(clock=lambda: times[-1])
    assert ExchangeRate.objects.get(published_on=date(2026, 11, 30)).created_at == answered


def test_a_rate_counts_from_when_its_writers_turn_came(server: Publishers) -> None:
    report, times = ImportReport("koreaexim", FRIDAY, FRIDAY), [NOW]
    publication = Publication(published_on=FRIDAY, text="1390", rate=Decimal(1390))

    def run() -> None:
        try:
            rate_import.note_publications(report, [publication], clock=lambda: times[-1])
        finally:
            connections.close_all()

    writer = threading.Thread(target=run)
    with transaction.atomic(using="system"):
        wait_for_other_publishers()
        writer.start()
        writer.join(timeout=1)
        times.append(NOW + timedelta(minutes=1))
    writer.join()
    assert [row.created_at for row in report.stored] == [NOW + timedelta(minutes=1)]
