"""Plays the two publishers of exchange rates on one local port, with whatever fault a test wants."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KOREAEXIM_PATH = "/site/program/financial/exchangeJSON"
KEY = "a-key-that-no-log-may-show"


@dataclass
class Publishers:
    """`rates` by day, as text with all digits. `faults` are answers given first, once each; `always` is given ever after."""

    url: str
    rates: dict[str, str] = field(default_factory=dict)
    faults: list[tuple[int, bytes]] = field(default_factory=list)
    always: tuple[int, bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if self.faults:
            return self.faults.pop(0)
        if self.always:
            return self.always
        parts = urlsplit(path)
        if parts.path == KOREAEXIM_PATH:
            return 200, self.koreaexim({name: values[0] for name, values in parse_qs(parts.query).items()})
        return 200, self.frankfurter(*parts.path.removeprefix("/v1/").split(".."), parse_qs(parts.query))

    def koreaexim(self, asked: dict[str, str]) -> bytes:
        if asked["authkey"] != KEY:
            return json.dumps([{"result": 3, "cur_unit": None, "deal_bas_r": None}]).encode()
        assert asked["data"] == "AP01"
        day = date.fromisoformat(asked["searchdate"]).isoformat()
        return koreaexim_answer(self.rates[day]) if day in self.rates else b"[]"

    def frankfurter(self, first: str, last: str, asked: dict[str, list[str]]) -> bytes:
        assert asked == {"base": ["USD"], "symbols": ["KRW"]}
        days = {day: rate for day, rate in sorted(self.rates.items()) if first <= day <= last}
        return frankfurter_answer(days, first=first, last=last)


def koreaexim_answer(dollar: str) -> bytes:
    """A day's list: amounts are texts with commas, yen by the hundred."""
    whole, _point, rest = dollar.partition(".")
    text = f"{int(whole):,}" + (f".{rest}" if rest else "")
    rows = [("AED", "379.43"), ("JPY(100)", "889.31"), ("KRW", "0"), ("USD", text)]
    return json.dumps(
        [{"result": 1, "cur_unit": unit, "ttb": "1", "tts": "2", "deal_bas_r": rate} for unit, rate in rows]
    ).encode()


def frankfurter_answer(days: dict[str, str], *, first: str, last: str) -> bytes:
    """Numbers with all their digits, which is why this is put together by hand."""
    rates = ",".join(f'"{day}":{{"KRW":{rate}}}' for day, rate in days.items())
    return f'{{"amount":1.0,"base":"USD","start_date":"{first}","end_date":"{last}","rates":{{{rates}}}}}'.encode()


@contextmanager
def publishers() -> Iterator[Publishers]:
    """Serve until the test ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = told.answer(self.path)
            time.sleep(told.seconds)
            try:
                self.send_response(status)
                for name, value in ({"Content-Type": "application/json"} | told.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # who asked has left

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told = Publishers(url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
