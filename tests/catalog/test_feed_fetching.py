"""A price list is fetched over HTTP: within bounds of time and size, as often as agreed, and only if it changed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from accounts.models import Alarm
from catalog.feed import outcomes, running
from catalog.feed.fetching import Source, Unreachable, fetch
from catalog.feed.json_text import decode_json
from catalog.feed.outcomes import Validators
from catalog.feed.snapshot import SnapshotRefused
from catalog.models import CostPrice, PriceFeed, QuarantinedPrice
from catalog.seeding import seed_catalog
from catalog.tasks import import_prices
from tests import stories
from tests.catalog.feeds import PRICE, item, listing, row_counts, sheets_of
from tests.sandbox.processes import StandIn, stand_in

Answer = Callable[[BaseHTTPRequestHandler], None]
ANY = Validators()


class Server:
    """Answers GET with one answer after the other, the last one for ever; `seen` keeps the headers of each request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[Answer] = []
        self.seen: list[dict[str, str]] = []


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told.seen.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
            answer = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        told = Server(f"http://127.0.0.1:{listening.server_address[1]}/models")
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield told
        listening.shutdown()


def says(body: bytes = b"", *, status: int = 200, kind: str = "application/json", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def endless(megabytes: int, *, announced: bool) -> Answer:
    """That many megabytes, sent as long as somebody reads them."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Connection", "close")
        if announced:
            handler.send_header("Content-Length", str(megabytes * 2**20))
        handler.end_headers()
        handler.close_connection = True
        piece = b" " * 2**20
        try:
            for _number in range(megabytes):
                handler.wfile.write(piece)
        except OSError:
            pass

    return answer


def hangs(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(1.0)
    handler.close_connection = True


def drops(handler: BaseHTTPRequestHandler) -> None:
    """Half of what was announced, then nothing."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.close_connection = True


async def no_pause(_seconds: float) -> None:
    pass


def get(server: Server, *, known: Validators = ANY, **options: Any) -> Any:
    return fetch(Source(url=server.url, **({"timeout": 5.0} | options)), known=known, pause=no_pause)


GOOD = listing(item("maker/one"))


def test_a_list_is_decoded_and_its_validators_are_kept(server: Server) -> None:
    server.answers = [says(GOOD, ETag='"1"', Last_Modified="Sun, 22 Nov 2026 03:00:00 GMT")]
    fetched = get(server, api_key="sk-or-secret")
    assert fetched.pages[0]["data"][0]["id"] == "maker/one"
    assert fetched.validators == Validators(url=server.url, etag='"1"', last_modified="Sun, 22 Nov 2026 03:00:00 GMT")
    assert server.seen[0]["authorization"] == "Bearer sk-or-secret"
    assert "sk-or-secret" not in repr(Source(url=server.url, api_key="sk-or-secret"))


def test_the_next_fetch_asks_whether_anything_changed(server: Server) -> None:
    known = Validators(url=server.url, etag='"1"', last_modified="Sun, 22 Nov 2026 03:00:00 GMT")
    server.answers = [says(status=304)]
    assert get(server, known=known).pages is None
    assert server.seen[0]["if-none-match"] == '"1"' and "if-modified-since" in server.seen[0]
    server.answers = [says(GOOD)]
    get(server, known=Validators(url="http://elsewhere.example/models", etag='"1"'))
    assert "if-none-match" not in server.seen[1]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(server: Server, status: int) -> None:
    server.answers = [says(status=status, Retry_After="3"), drops, says(GOOD)]
    pauses = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    assert fetch(Source(url=server.url), known=ANY, pause=pause).pages
    assert len(server.seen) == 3 and pauses[0] >= 3 and 1.5 <= pauses[1] <= 2.5


def test_attempts_are_bounded(server: Server) -> None:
    server.answers = [says(status=503, Retry_After="9999999")]
    with pytest.raises(Unreachable, match=r"answered 503 \(3 attempts\)"):
        get(server)
    assert len(server.seen) == 3


def test_so_is_the_time_of_each(server: Server) -> None:
    server.answers = [hangs]
    began = time.monotonic()
    with pytest.raises(Unreachable, match="TimeoutError"):
        get(server, timeout=0.2, attempts=2)
    assert time.monotonic() - began < 1.0


def test_nobody_there() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        fetch(Source(url="http://127.0.0.1:9/models", attempts=1), known=ANY, pause=no_pause)


@pytest.mark.parametrize("announced", [True, False])
def test_a_hundred_megabytes_are_not_even_read(server: Server, announced: bool) -> None:
    server.answers = [endless(100, announced=announced)]
    with pytest.raises(SnapshotRefused, match="longer than 64 MB"):
        get(server, timeout=30.0)
    assert len(server.seen) == 1, "it would be no shorter the second time"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (says(b"<html>", kind="text/html; charset=utf-8"), "text/html, not JSON"),
        (says(b"<html>"), "web page"),
        (says(GOOD, kind=""), "no content type"),
        (says(GOOD[:-9]), "valid JSON"),
        (says(b"", status=404), "answered 404"),
        (says(b"", status=401), "answered 401"),
        (says(b"", status=302, Location="http://127.0.0.1:9/"), "answered 302"),
        (says(b"", status=304), "answered 304"),
        (says(b"\x1f\x8b\x08\x00", Content_Encoding="gzip"), "UTF-8"),
    ],
    ids=["html", "html as json", "no type", "truncated", "missing", "no key", "redirect", "unasked 304", "packed"],
)
def test_what_is_no_list_is_refused_at_once(server: Server, answer: Answer, reason: str) -> None:
    server.answers = [answer]
    with pytest.raises(SnapshotRefused, match=reason):
        get(server)
    assert len(server.seen) == 1


def test_an_object_with_many_keys_and_one_of_them_twice_is_refused_in_no_time() -> None:
    body = "{" + ",".join(f'"k{number}":0' for number in [*range(200_000), 199_999]) + "}"
    started = time.process_time()
    with pytest.raises(SnapshotRefused, match="'k199999' twice"):
        decode_json(body.encode())
    assert time.process_time() - started < 5


def test_a_list_in_pages_is_followed_to_its_end(server: Server) -> None:
    second = listing(item("maker/two"), links={"next": None})
    server.answers = [says(listing(item("maker/one"), links={"next": "/models?page=2"}), ETag='"1"'), says(second)]
    fetched = get(server)
    assert [page["data"][0]["id"] for page in fetched.pages] == ["maker/one", "maker/two"]
    assert server.seen[1]["path"] == "/models?page=2"
    assert fetched.validators.etag == "", "the first page's would say nothing of the second"


@pytest.mark.parametrize(
    ("link", "reason"),
    [("http://localhost:9/models", "another server"), ("/models", "do not end"), (7, "no text")],
)
def test_pages_lead_neither_elsewhere_nor_in_a_circle(server: Server, link: object, reason: str) -> None:
    server.answers = [says(listing(item("maker/one"), links={"next": link}))]
    with pytest.raises(SnapshotRefused, match=reason):
        get(server)


class TestTheWholeWay:
    @pytest.fixture
    def feed(self, db: None, server: Server, settings: LazySettings) -> Server:
        stories.forget_what_processes_remember()
        settings.PRICE_FEED_URL, settings.PRICE_FEED_PAUSE = server.url, 0.01
        return server

    def test_beat_imports_once_an_hour(self, feed: Server) -> None:
        feed.answers = [says(GOOD, ETag='"1"'), says(status=304)]
        import_prices()
        import_prices()
        assert len(feed.seen) == 1 and len(sheets_of("maker/one")) == 1
        before = row_counts()
        PriceFeed.objects.using("system").update(tried_at=timezone.now() - timedelta(hours=1))
        import_prices()
        state = PriceFeed.objects.using("system").get()
        assert len(feed.seen) == 2 and feed.seen[1]["if-none-match"] == '"1"'
        assert state.outcome == "unchanged" and state.etag == '"1"' and row_counts() == before

    def test_a_source_that_is_down_is_an_alarm_and_tried_again_soon(self, feed: Server) -> None:
        feed.answers = [says(status=503)]
        import_prices()
        state = PriceFeed.objects.using("system").get()
        assert state.outcome == "unreachable" and "answered 503" in state.reason
        assert Alarm.objects.using("system").get(cleared_at=None).kind == "price_feed"
        now = timezone.now()
        assert not outcomes.is_due("openrouter", now=now)
        assert outcomes.is_due("openrouter", now=now + timedelta(minutes=11))
        feed.answers = [says(GOOD)]
        running.import_feed(clock=timezone.now)
        assert not Alarm.objects.using("system").filter(cleared_at=None).exists()

    def test_after_a_refused_list_the_next_is_fetched_whole(self, feed: Server) -> None:
        feed.answers = [says(GOOD, ETag='"1"'), says(listing(), ETag='"2"'), says(GOOD, ETag='"1"')]
        running.import_feed(clock=timezone.now)
        with pytest.raises(SnapshotRefused):
            running.import_feed(clock=timezone.now)
        running.import_feed(clock=timezone.now)
        assert "if-none-match" in feed.seen[1] and "if-none-match" not in feed.seen[2]

    def test_an_import_that_ends_its_process_is_not_tried_again_every_minute(
        self, feed: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def is_killed(*_given: Any, **_options: Any) -> None:
            raise SystemExit

        monkeypatch.setattr(running, "fetch", is_killed)
        with pytest.raises(SystemExit):
            import_prices()
        assert not outcomes.is_due("openrouter", now=timezone.now() + timedelta(minutes=5))

    @pytest.mark.parametrize("slug", ["a\0", "a\ud800"], ids=["NUL", "half a pair"])
    def test_a_refusal_that_quotes_what_cannot_be_stored_is_an_alarm_like_any_other(
        self, feed: Server, slug: str
    ) -> None:
        feed.answers = [says(listing({"id": slug}, {"id": slug}))]
        import_prices()
        assert "twice" in Alarm.objects.using("system").get(cleared_at=None).summary
        assert PriceFeed.objects.using("system").get().outcome == "refused"

    def test_so_is_a_content_type_in_no_known_alphabet(self, feed: Server) -> None:
        feed.answers = [says(GOOD, kind="text/caf\xe9")]
        import_prices()
        assert "not JSON" in Alarm.objects.using("system").get(cleared_at=None).summary

    def test_a_validator_that_cannot_be_stored_is_none(self, feed: Server) -> None:
        feed.answers = [says(GOOD, ETag='"caf\xe9"', Last_Modified="caf\xe9")]
        import_prices()
        state = PriceFeed.objects.using("system").get()
        assert (state.outcome, state.etag, state.last_modified) == ("imported", "", "")

    def test_a_fault_of_ours_is_an_alarm_too(self, feed: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*_given: Any, **_options: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(running, "import_snapshot", fails)
        feed.answers = [says(GOOD)]
        with pytest.raises(ZeroDivisionError):
            import_prices()
        assert "ZeroDivisionError" in Alarm.objects.using("system").get(cleared_at=None).summary
        assert not outcomes.is_due("openrouter", now=timezone.now() + timedelta(minutes=5))

    def test_prices_begin_after_the_answer_came(self, feed: Server) -> None:
        feed.answers = [says(GOOD)]
        moments = iter([stories.NOON, stories.NOON + timedelta(minutes=5)])
        running.import_feed(clock=lambda: next(moments))
        assert CostPrice.objects.using("system").get().effective_from > stories.NOON + timedelta(minutes=5)

    def test_without_an_address_nothing_is_fetched(self, feed: Server, settings: LazySettings) -> None:
        settings.PRICE_FEED_URL = ""
        import_prices()
        with pytest.raises(running.NoFeed):
            running.import_feed(clock=timezone.now)
        assert feed.seen == []


@contextmanager
def upstream(settings: LazySettings) -> Iterator[StandIn]:
    with stand_in("llm", "--api-key", "secret") as running_stand_in:
        settings.PRICE_FEED_URL = f"{running_stand_in.url}/v1/models?output_modalities=all"
        settings.PRICE_FEED_API_KEY = "secret"
        yield running_stand_in


def test_the_stand_in_says_what_the_seed_says_until_it_is_told_otherwise(db: None, settings: LazySettings) -> None:
    """The demo's first hours: nothing changes, then a zero, a jump, a model that is gone – and a sane change."""
    stories.forget_what_processes_remember()
    seed_catalog(now=timezone.now())
    with upstream(settings) as sandbox:
        outcome = running.import_feed(clock=timezone.now)
        assert outcome is not None
        assert outcome.comparison.changed == outcome.comparison.first == []
        assert outcome.comparison.doubtful == []
        assert outcome.counts["unchanged"] > 400 and outcome.counts["described"] == 0
        assert running.import_feed(clock=timezone.now) is None, "not modified"

        small = "mistralai/mistral-small-3.2-24b-instruct"
        raw = CostPrice.objects.using("system").filter(language_model__slug=small).latest("effective_from").raw
        sane = raw | {"prompt": str(Decimal(raw["prompt"]) * Decimal("1.1"))}
        changes: dict[str, Any] = {
            "openai/gpt-4o-mini": {"pricing": {"prompt": "0", "completion": "0"}},
            "openai/gpt-4o": {"pricing": {"prompt": "0.000025", "completion": "0.0001"}},
            "openai/gpt-5": None,
            "acme/brand-new": {"pricing": PRICE, "name": "Acme: Brand New"},
            small: {"pricing": sane},
        }
        assert sandbox.call("PUT", "/sandbox/models", changes)[0] == 200
        outcome = running.import_feed(clock=timezone.now)
        assert outcome is not None
        found = outcome.comparison
        assert {doubtful.slug: str(doubtful.doubt) for doubtful in found.doubtful} == {
            "openai/gpt-4o-mini": "zero",
            "openai/gpt-4o": "jump",
            "openai/gpt-5": "delisted",
        }
        assert [change.entry.slug for change in found.changed] == [small]
        assert [change.entry.slug for change in found.first] == ["acme/brand-new"]

        sandbox.order({"fault": "status-503", "where": "/models"})
        sandbox.call("DELETE", "/sandbox/models")
        outcome = running.import_feed(clock=timezone.now)
        assert outcome is not None and outcome.counts["withdrawn"] == 3
        waiting = QuarantinedPrice.objects.using("system").filter(status="open")
        assert [entry.slug for entry in waiting] == ["acme/brand-new"]
