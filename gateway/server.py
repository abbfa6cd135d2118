"""Runs the gateway: `python -m gateway.server --port 8001 --workers 2 config.gateway_asgi:app`.

uvicorn, so that a call wakes no threads but those that ask the database. Its bounds stand here and in `gateway/http_protocol.py`;
whoever starts the gateway says no more than where and how many.
"""

import argparse
import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

logger = logging.getLogger("gateway.server")
BACKLOG = 2048
SECONDS_FOR_A_HEAD = 30
SECONDS_TO_REPLACE = 60
"""At SIGHUP: for a new worker to be ready, before the old one goes."""
SECONDS_BESIDE_THE_DRAIN = 2


class GatewayConfig(Config):
    """uvicorn's, which reads the application first: Django must be set up before anything of the gateway is imported."""

    def load(self) -> None:
        supervisor = multiprocessing.parent_process()
        if supervisor is not None:
            threading.Thread(target=_end_with, args=(supervisor,), daemon=True).start()
        try:
            self.load_app()
            super().load()
        except Exception:  # whatever it is, another try would fail alike: say so and give up
            logger.exception("the gateway cannot start")
            sys.exit(STARTUP_FAILURE)
        from django.conf import settings  # is read for the first time by the application

        self.timeout_graceful_shutdown = math.ceil(settings.GATEWAY_DRAIN_SECONDS) + SECONDS_BESIDE_THE_DRAIN


class Listener(socket.socket):
    """An address on its way to a worker, where it becomes a socket of the worker's own.

    The kernel deals connections out to all that listen there (SO_REUSEPORT); from a socket that workers share, whoever wakes first
    takes all that wait. And nothing is dealt to a worker before it listens, nor once it stops, or is dead.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(_family(host))
        self._address = host, port

    def __reduce__(self) -> tuple[Any, ...]:
        return listen_beside_others, self._address


class Supervisor(Multiprocess):
    """uvicorn's, which looks only whether its workers live. `failed` tells that one could not start.

    uvicorn also asks each for a sign: as long as it waits for one, and on a busy machine that is long, it hears no signal.
    """

    failed = False

    def keep_subprocess_alive(self) -> None:
        for number, worker in enumerate(self.processes):
            if self.should_exit.is_set() or worker.process.is_alive():
                continue
            worker.kill()  # closes what it was talked to by
            worker.join()
            if worker.exitcode == STARTUP_FAILURE:
                self.failed = True
                self.should_exit.set()
                return
            logger.warning("worker %s died (exit %s)", worker.pid, worker.exitcode)
            self.processes[number] = Process(self.config, self.sockets)
            self.processes[number].start()


def listen_beside_others(host: str, port: int) -> socket.socket:
    """In a worker."""
    opened = socket.socket(_family(host))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    opened.bind((host, port))
    return opened


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _end_with(supervisor: Any) -> None:
    """Who lost its supervisor would keep the port for ever."""
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway.server")
    parser.add_argument("application")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--head-seconds", type=int, default=SECONDS_FOR_A_HEAD)
    asked = parser.parse_args(arguments)
    config = GatewayConfig(
        asked.application,
        host=asked.host,
        port=asked.port,
        workers=asked.workers,
        http="gateway.http_protocol:GatewayProtocol",
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=asked.head_seconds,
        timeout_worker_healthcheck=SECONDS_TO_REPLACE,
    )
    return _run_workers(config) if config.workers > 1 else _run(config)


def _run(config: Config) -> int:
    """In this process."""
    server = Server(config)

    def end(number: int, _frame: object) -> None:
        """uvicorn has its own handler while it runs; at its end it puts ours back, and repeats what it heard."""
        if not server.started:
            sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    server.run()
    return 0 if server.started else STARTUP_FAILURE


def _run_workers(config: Config) -> int:
    """In processes of their own; the dead are replaced, unless they never lived."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    config.bind_socket().close()  # complains if somebody else listens there
    supervisor = Supervisor(config, sockets=[Listener(config.host, config.port)])
    supervisor.run()
    return STARTUP_FAILURE if supervisor.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
