"""The embedded servers themselves: created once, never as root, by password only, up again after a kill."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from config.launch import places, ports, servers
from config.launch.places import LaunchError


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[servers.Postgres]:
    home = places.temporary_home()
    yield servers.Postgres(home=home, port=ports.free_port(), password="right", log=tmp_path / "log")
    shutil.rmtree(home)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "it ended"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def test_postgres_lives_through_a_kill_and_a_stale_lock(postgres: servers.Postgres) -> None:
    postgres.create()
    process = postgres.start()
    wait_until(postgres.is_ready, process)
    assert Path(f"/proc/{process.pid}").stat().st_uid != 0
    with psycopg.connect(postgres.url("postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT '안녕' AS word")
        locale = connection.execute(
            "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'postgres'"
        )
        assert locale.fetchone() == ("b", "C.UTF-8")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url("postgres").replace("right", "wrong"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    # What the killed one left behind, as if its number now belonged to another program: this one.
    pid_file = postgres.data / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(process.pid), str(os.getpid()), 1))
    postgres.create()
    process = postgres.start()
    wait_until(postgres.is_ready, process)
    with psycopg.connect(postgres.url("postgres")) as connection:
        assert connection.execute("SELECT word FROM kept").fetchone() == ("안녕",)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0


def test_a_half_made_cluster_is_made_anew(postgres: servers.Postgres) -> None:
    unfinished = postgres.data.with_name("data.new")
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18")
    postgres.create()
    assert (postgres.data / "global").is_dir()


def test_data_of_another_version_is_not_touched(postgres: servers.Postgres) -> None:
    postgres.data.mkdir(parents=True)
    (postgres.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(LaunchError, match=r"written by PostgreSQL 17.*make reset"):
        postgres.create()


def test_valkey_asks_for_its_password_and_shows_it_to_nobody(tmp_path: Path) -> None:
    server = servers.Valkey(port=ports.free_port(), password="right", log=tmp_path / "log")
    process = server.start()
    wait_until(lambda: ports.answers(server.port), process)
    with redis.Redis.from_url(server.url()) as client:
        assert client.ping()
    with redis.Redis(host="127.0.0.1", port=server.port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    assert b"right" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    process.terminate()
    assert process.wait(timeout=10) == 0
