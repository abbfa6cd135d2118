"""Usage is pushed while PostgreSQL, the site and Redis are killed under it: what was acknowledged is there, and counts once.

Four reporters send without a pause: two hand on new events in batches, two more send mixtures of events that others have sent or
are sending just now. Whoever gets no answer, or one that says that nothing is certain, sends the same batch again, as every
honest client does. Killed are only processes that this test started.

With `synchronous_commit` off, an event is soon accepted twice: what was acknowledged was lost with the server.
"""

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import connections
from django.utils import timezone

from catalog import price_book
from ledger import partitions
from ledger.models import Balance
from metering.models import UsageEvent, UsageRollup
from tests import stories
from tests.scenarios.outages import DATABASE, Ruins, standing_ruins

STRIKES = ("postgres", "redis", "postgres", "site", "postgres", "postgres", "redis", "postgres", "site", "postgres",
    "empty", "postgres", "site", "postgres")  # fmt: skip
"""PostgreSQL eight times, the site three times, Redis twice, and emptied in between."""
PAUSE_SECONDS = (0.3, 1.2)
"""Between two strikes, by chance."""
A_BATCH, A_MIXTURE, STILL_TALKED_ABOUT = 50, 30, 400
WON = Decimal("0.099")
"""1,000 tokens in and 500 out, all at devstral's one price."""


@pytest.fixture
def ruins(process_environment: dict[str, str], tmp_path: Path) -> Iterator[Ruins]:
    """A system of its own, with Django's connections pointed at its database."""
    with standing_ruins(process_environment, folder=tmp_path) as ruins:
        places = {alias: dict(connections[alias].settings_dict) for alias in connections}
        connections.close_all()
        for alias in connections:
            connections[alias].settings_dict.update(HOST="127.0.0.1", PORT=str(ruins.postgres.port), NAME=DATABASE)
        yield ruins
        connections.close_all()
        for alias, place in places.items():
            connections[alias].settings_dict.update({name: place[name] for name in ("HOST", "PORT", "NAME")})
        price_book.forget()
        partitions.forget()


class Reporters:
    """Foreign gateways that hold on to a batch until somebody tells them what became of every event of it."""

    def __init__(self, ruins: Ruins, cast: stories.Cast) -> None:
        self._address = f"{ruins.site}/api/v1/usage/events"
        self._headers = stories.bearer(cast.service_secret)
        self._batches = itertools.count()
        self._begun = timezone.now() - timedelta(minutes=30)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.told: Counter[tuple[str, str]] = Counter()
        """How often each verdict was given on each id."""
        self.sent = 0
        self.unanswered = 0
        self.faults: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._work, args=(what,))
            for what in (self._hand_on, self._hand_on, self._mix, self._mix)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Each brings its last batch to its end."""
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def send_all_again(self) -> Counter[str]:
        """Every event there ever was; what each verdict is now."""
        verdicts: Counter[str] = Counter()
        for begin in range(0, self.sent, 1000):
            answer = self._deliver(range(begin, min(begin + 1000, self.sent)))
            verdicts.update(result["status"] for result in answer)
        return verdicts

    def _work(self, step: Any) -> None:
        try:
            while not self._over.is_set():
                step()
        except BaseException as fault:
            self.faults.append(fault)

    def _hand_on(self) -> None:
        with self._lock:
            begin, self.sent = self.sent, self.sent + A_BATCH
        self._tell(self._deliver(range(begin, begin + A_BATCH)))

    def _mix(self) -> None:
        talked_about = range(max(0, self.sent - STILL_TALKED_ABOUT), self.sent)
        if len(talked_about) >= A_MIXTURE:
            self._tell(self._deliver(random.sample(talked_about, A_MIXTURE)))

    def _tell(self, verdicts: list[dict[str, Any]]) -> None:
        with self._lock:
            self.told.update((verdict["id"], verdict["status"]) for verdict in verdicts)

    def _deliver(self, numbers: Any) -> list[dict[str, Any]]:
        body = [self._event(number) for number in numbers]
        deadline = time.monotonic() + 180
        while True:
            assert time.monotonic() < deadline, "nobody took the batch for a minute"
            try:
                answer = requests.post(self._address, json=body, headers=self._headers, timeout=20)
            except requests.RequestException:
                answer = None
            if answer is not None and answer.status_code == 200:
                return list(answer.json()["results"])
            assert answer is None or answer.status_code >= 500, answer.text
            self.unanswered += 1
            time.sleep(0.05)

    def _event(self, number: int) -> dict[str, Any]:
        return {
            "id": f"call-{number}",
            "organization": ("acme", "globex")[number % 2],
            "model": stories.DEVSTRAL,
            "occurred_at": (self._begun + timedelta(milliseconds=number)).isoformat(),
            "input_tokens": 1000,
            "output_tokens": 500,
        }


def test_what_was_acknowledged_is_there_once_whatever_is_killed(ruins: Ruins) -> None:
    seed = int(os.environ.get("FIRE_SEED") or time.time())
    print(f"FIRE_SEED={seed} strikes at the same moments again")
    chance = random.Random(seed)
    cast = stories.meet_the_cast(now=timezone.now())
    connections.close_all()
    ruins.start_site()
    reporters = Reporters(ruins, cast)
    reporters.start()
    strike = {
        "postgres": ruins.strike_postgres,
        "site": ruins.strike_site,
        "redis": ruins.strike_redis,
        "empty": ruins.empty_redis,
    }
    for what in STRIKES:
        time.sleep(chance.uniform(*PAUSE_SECONDS))
        strike[what]()
    time.sleep(PAUSE_SECONDS[0])
    reporters.finish()
    assert not reporters.faults, reporters.faults
    print(f"{reporters.sent} events, {reporters.unanswered} times no answer that counts")
    assert reporters.unanswered >= len(STRIKES) / 2, "the strikes have hit nobody"

    statuses = {status for _id, status in reporters.told}
    assert statuses == {"accepted", "duplicate"}
    accepted = {name: times for (name, status), times in reporters.told.items() if status == "accepted"}
    assert set(accepted.values()) == {1}, "an event was accepted twice"

    each_event_stands_once(cast, reporters.sent)
    assert reporters.send_all_again() == {"duplicate": reporters.sent}
    each_event_stands_once(cast, reporters.sent)
    audit = ruins.manage("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr


def each_event_stands_once(cast: stories.Cast, sent: int) -> None:
    keys = Counter(UsageEvent.objects.using("system").values_list("key", flat=True))
    assert keys == {f"call-{number}": 1 for number in range(sent)}
    for company in (cast.acme, cast.globex):
        rollups = UsageRollup.objects.using("system").filter(organization_id=company.organization.pk)
        assert sum(rollup.event_count for rollup in rollups) == sent / 2
        balance = Balance.objects.using("system").get(pk=company.organization.pk)
        assert balance.unbilled == sum(rollup.amount for rollup in rollups) == WON * sent / 2
