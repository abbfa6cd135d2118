"""The system of a month's end in real processes – two beats, four workers, site, mailbox, payment processor, Redis – and the
fire that is laid to it: every 200 ms one worker is killed with SIGKILL, about every second the whole Redis is emptied."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
from pytest_django.fixtures import Settings

from config.launch import ports, servers
from config.launch.places import CHECKOUT
from config.launch.services import is_ready
from tests.sandbox.processes import StandIn, stand_in

WORKERS, BEATS = 4, 2
PACE = 0.03
"""Of beat's sweeps: those of every 15 s come every 0.45 s, and a killed worker's mail is free again after 18 s."""
KILL_SECONDS, MOST_KILL_SECONDS = 0.2, 3.0
FLUSH_KILLS = range(3, 8)
"""From one time that Redis is emptied to the next."""
BURN_SECONDS = REST_SECONDS = 240.0
"""At most. Half a minute of fire is usual, and 18 s of rest, which is how long a killed worker keeps its mail."""
SECRET = "whsec_month_end"
LIGHT = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")
POOLS = (("--pool", "prefork", "--concurrency", "1"), ("--pool", "threads", "--concurrency", "2"))
"""As docker-compose starts workers, and as `make run` does."""


class Nursery:
    """`tests.scenarios.nursery` as a child: it forks the workers and the beats."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.logs, self.marks = folder / "logs", folder / "marks"
        for made in (self.logs, self.marks):
            made.mkdir()
        self._folder, self._numbers = folder, itertools.count(1)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.scenarios.nursery", str(self.logs), str(self.marks)],
            cwd=CHECKOUT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def worker(self, *, pool: tuple[str, ...]) -> int:
        return self._fork("--quiet", "worker", *pool, *LIGHT, "--hostname", f"worker{next(self._numbers)}@%h")

    def beat(self) -> int:
        schedule = self._folder / f"schedule-{next(self._numbers)}"
        return self._fork("--quiet", "beat", "--pidfile", "", "--schedule", str(schedule), "--loglevel", "WARNING")

    def _fork(self, *arguments: str) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """The end of its input is the end of all its children."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Works:
    """What runs, besides the workers and beats that `nursery` forks."""

    environment: dict[str, str]
    site: str
    mailbox: StandIn
    processor: StandIn
    redis: "redis.Redis"
    nursery: Nursery

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`python manage.py …` on this database."""
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(
            command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )


@contextmanager
def running_works(
    environment: Mapping[str, str], *, settings: Settings, folder: Path, more: Mapping[str, str] | None = None
) -> Iterator[Works]:
    """All of it on ports of its own; files stand in `folder`. `more` are settings besides ours. Nobody works yet.

    The test itself, which plays the customers, has the same `settings` as the processes, as far as it needs them.
    """
    site = ports.free_port()
    with ExitStack() as stack:
        mailbox = stack.enter_context(stand_in("mailbox", "--smtp-port", "0", "--directory", str(folder / "mails")))
        hook = ("--webhook-url", f"http://127.0.0.1:{site}/webhooks/stripe", "--webhook-secret", SECRET)
        quick = ("--webhook-pause", "0.1", "--settle-seconds", "1")
        processor = stack.enter_context(stand_in("payments", "--directory", str(folder / "payments"), *hook, *quick))
        valkey = stack.enter_context(_own_redis(folder))
        ours = {
            "REDIS_URL": valkey.url(),
            "SITE_URL": f"http://127.0.0.1:{site}",
            "EMAIL_URL": f"smtp://127.0.0.1:{mailbox.started['smtp_port']}",
            "STRIPE_SECRET_KEY": "sk_test_month_end",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_API_BASE": processor.url,
            "VAR_DIR": str(folder / "var"),
            "SWEEP_PACE": str(PACE),
        }
        settings.VAR_DIR, settings.SITE_URL = Path(ours["VAR_DIR"]), ours["SITE_URL"]
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = ours["STRIPE_SECRET_KEY"], SECRET
        settings.STRIPE_API_BASE = processor.url
        environment = dict(environment) | ours | dict(more or {})
        nursery = Nursery(environment, folder)
        stack.callback(nursery.close)
        stack.enter_context(_running_site(environment, port=site, log=folder / "site.log"))
        client = redis.Redis.from_url(valkey.url())
        stack.callback(client.close)
        yield Works(
            environment=environment,
            site=f"http://127.0.0.1:{site}",
            mailbox=mailbox,
            processor=processor,
            redis=client,
            nursery=nursery,
        )


@contextmanager
def _own_redis(folder: Path) -> Iterator[servers.Valkey]:
    """Emptied as a whole, so no other test may use it."""
    server = servers.Valkey(port=ports.free_port(), password=servers.new_password(), log=folder / "valkey.log")
    process = server.start()
    try:
        wait_until(lambda: ports.answers(server.port), seconds=120)
        yield server
    finally:
        process.kill()
        process.wait()


@contextmanager
def _running_site(environment: Mapping[str, str], *, port: int, log: Path) -> Iterator[None]:
    words = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-ws"]
    command = [sys.executable, "-m", "granian", *words, "--blocking-threads", "4", "config.wsgi:application"]
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=dict(environment), stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(lambda: is_ready("127.0.0.1", port), seconds=90)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass(slots=True)
class Fire:
    """Four workers, and who kills them. `seed` decides whom, when Redis is emptied, and what a killed prefork worker loses."""

    works: Works
    seed: int
    workers: list[int] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    kills: int = 0
    flushes: int = 0

    def start(self) -> None:
        for number in range(WORKERS):
            self.workers.append(self._worker(number))
        for _number in range(BEATS):
            self.works.nursery.beat()

    def burn(self, *, kills: int, enough: Callable[[], bool], meanwhile: Callable[[int], None]) -> None:
        """A kill every `KILL_SECONDS`, so many of them, and more until there was `enough` for them to hit: each of these a little
        later than the one before, for on a slow machine no work would ever end. `meanwhile(kill)` is what the world does before.
        """
        chance = random.Random(self.seed)
        begun = due = time.monotonic()
        pause, next_flush = KILL_SECONDS, 0
        for kill in itertools.count():
            if kill >= kills:
                if enough():
                    return
                assert time.monotonic() < begun + BURN_SECONDS, f"not enough to hit: {self.hits()}"
                pause = min(pause * 1.05, MOST_KILL_SECONDS)
            meanwhile(kill)
            self.replace_the_dead()
            due += pause
            time.sleep(max(0.0, due - time.monotonic()))
            self._kill(chance.randrange(WORKERS), only_the_pool=chance.random() < 0.2)
            if kill == next_flush:
                self.works.redis.flushall()
                self.flushes, next_flush = self.flushes + 1, kill + chance.choice(FLUSH_KILLS)

    def burn_out(self, unrest: Callable[[], Mapping[str, int]], *, everybody_paid: Callable[[], bool]) -> None:
        """Nobody is killed any more: wait until every customer is done and nothing is in a mid-state, counted by kind."""
        peace = time.monotonic()
        while not everybody_paid() or unrest():
            assert time.monotonic() < peace + REST_SECONDS, f"not at rest: {unrest()}"
            self.replace_the_dead()
            time.sleep(0.2)
        print(f"at rest after {time.monotonic() - peace:.1f} s")

    def replace_the_dead(self) -> None:
        """As a supervisor does: a worker gives up by itself when its pool is killed before it was ready."""
        for number, worker in enumerate(self.workers):
            if _is_dead(worker):
                self.workers[number] = self._worker(number)

    def hits(self) -> "Counter[str]":
        """How many kills found a task in execution, by task: its mark is still there, and who made it is dead."""
        owners = [(int(mark.name.partition("-")[0]), mark) for mark in self.works.nursery.marks.iterdir()]
        return Counter(mark.read_text().partition(" ")[0] for owner, mark in owners if owner in self.killed)

    def has_hit(self, steps: Iterable[Iterable[str]]) -> bool:
        """Whether kills found each step at work: one at least of its tasks, named as in billing/tasks.py."""
        hits = self.hits()
        return all(any(hits[f"billing.tasks.{task}"] for task in step) for step in steps)

    def __str__(self) -> str:
        return f"{self.kills} kills, {self.flushes} times no Redis; found at work: {dict(self.hits())}"

    def _worker(self, number: int) -> int:
        return self.works.nursery.worker(pool=POOLS[number % len(POOLS)])

    def _kill(self, number: int, *, only_the_pool: bool) -> None:
        """SIGKILL for a worker's whole process group, and another takes its place; or for its pool, which it must replace."""
        worker, pool = self.workers[number], _children(self.workers[number])
        self.kills += 1
        self.killed.update(pool)
        if only_the_pool and pool:
            for child in pool:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            return
        self.killed.add(worker)
        with suppress(ProcessLookupError):
            os.killpg(worker, signal.SIGKILL)
        self.workers[number] = self._worker(number)


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def _is_dead(process: int) -> bool:
    """Gone, or a zombie that its parent has not buried yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_until(condition: Callable[[], object], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting after {seconds} s"
        time.sleep(0.02)
