"""A database, a Redis and a site of their own that can be killed with SIGKILL, each with what a supervisor does after it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

from config.launch import places, ports, servers
from config.launch.places import CHECKOUT
from config.launch.services import is_ready
from tests.scenarios.fire import wait_until

DATABASE = "invoicedream"


@dataclass(slots=True)
class Ruins:
    """What runs, and stands up again each time that it is struck. `environment` is that of its children."""

    environment: dict[str, str]
    folder: Path
    postgres: servers.Postgres
    valkey: servers.Valkey
    site_port: int
    _running: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.site_port}"

    def strike_postgres(self) -> None:
        """SIGKILL for the server and all its backends; it must recover from its log."""
        self._kill("postgres")
        self.start_postgres()

    def strike_redis(self) -> None:
        """All that it held is gone, and so is the server for a moment."""
        self._kill("valkey")
        time.sleep(0.2)
        self.start_valkey()

    def empty_redis(self) -> None:
        with redis.Redis.from_url(self.valkey.url()) as client:
            client.flushall()

    def strike_site(self) -> None:
        self._kill("site")
        self.start_site()

    def start_postgres(self) -> None:
        """Returns when it takes connections. A new server waits until the dead one's memory is given back."""

        def stands() -> bool:
            if "postgres" not in self._running or self._running["postgres"].poll() is not None:
                self._running["postgres"] = self.postgres.start()
            return self.postgres.is_ready() and self._is_open()

        wait_until(stands, seconds=90)

    def start_valkey(self) -> None:
        self._running["valkey"] = self.valkey.start()
        wait_until(lambda: ports.answers(self.valkey.port), seconds=120)

    def start_site(self) -> None:
        words = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.site_port), "--workers", "1"]
        command = [sys.executable, "-m", "granian", *words, "--no-ws", "--blocking-threads", "4"]
        with open(self.folder / "site.log", "ab") as log:
            self._running["site"] = subprocess.Popen(
                [*command, "config.wsgi:application"],
                cwd=CHECKOUT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: is_ready("127.0.0.1", self.site_port), seconds=120)

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`python manage.py …` on this database."""
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(
            command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )

    def stop(self) -> None:
        for name in ("site", "valkey", "postgres"):
            if name in self._running:
                self._kill(name)

    def _kill(self, name: str) -> None:
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _is_open(self) -> bool:
        try:
            psycopg.connect(self.postgres.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def standing_ruins(environment: Mapping[str, str], *, folder: Path) -> Iterator[Ruins]:
    """PostgreSQL as `make run` sets it (every commit reaches the disk), migrated; Valkey; no site yet."""
    home = places.temporary_home()
    postgres = servers.Postgres(
        home=home, port=ports.free_port(), password=servers.new_password(), log=folder / "postgres.log"
    )
    valkey = servers.Valkey(port=ports.free_port(), password=servers.new_password(), log=folder / "valkey.log")
    own = {"DATABASE_URL": postgres.url(DATABASE), "REDIS_URL": valkey.url(), "VAR_DIR": str(folder / "var")}
    ruins = Ruins(
        environment=dict(environment) | own,
        folder=folder,
        postgres=postgres,
        valkey=valkey,
        site_port=ports.free_port(),
    )
    try:
        postgres.create()
        ruins.start_postgres()
        ruins.start_valkey()
        made = ruins.manage("setup_database")
        assert made.returncode == 0, made.stdout + made.stderr
        yield ruins
    finally:
        ruins.stop()
        shutil.rmtree(home, ignore_errors=True)
