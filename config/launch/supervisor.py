"""`make run`, once everything is installed: servers, database, demo, then all services under one roof until Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from config.launch import environment, lock, plan, ports, processes, servers, services, static_files
from config.launch.announcement import announce
from config.launch.children import Child, Children, Interrupted
from config.launch.display import say, step
from config.launch.places import CHECKOUT, LaunchError, servers_home, var_folder

BIGGEST_LOG = 10_000_000
"""Bytes after which the next start sets a log aside (one generation is kept)."""


def main() -> int:
    processes.die_with_make()
    os.chdir(CHECKOUT)
    try:
        held = lock.acquire()
        registry = processes.Registry(var_folder() / "processes.json")
        if registry.end_leftovers():
            say("The last run was killed; ended what it left running.")
        children = Children(registry)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, children.interrupt)
        return Supervisor(children).run()
    except LaunchError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    finally:
        if "held" in locals():
            held.close()


class Supervisor:
    def __init__(self, children: Children) -> None:
        self.children = children
        self.started = float(os.environ.pop(plan.STARTED, time.time()))
        self.var = var_folder()
        self.needs = plan.Needs.of(os.environ)
        self.ports = plan.choose_ports(self.needs)
        self.secrets = environment.lasting_secrets(self.var, plan.SECRETS)
        self.values = plan.embedded_values(needs=self.needs, chosen=self.ports, secrets=self.secrets, var=self.var)
        set_logs_aside(self.var / "log")

    def run(self) -> int:
        say("InvoiceDream is starting.")
        try:
            self.start_servers()
            # They need no database, so they may warm up while it is migrated.
            stand_ins = self.launch(
                services.stand_ins(needs=self.needs, chosen=self.ports, secrets=self.secrets, var=self.var)
            )
            self.prepare_database()
            with step("Services"):
                self.children.wait_ready([*stand_ins, *self.launch(services.own_services(chosen=self.ports))])
            announce(
                demo=self.demo_facts(),
                values=self.environment(),
                seeded=self.is_demo(),
                took=time.time() - self.started,
            )
            self.children.watch()
        except Interrupted:
            return 0
        finally:
            self.stop()
            environment.embedded_file().unlink(missing_ok=True)
        return 0

    def stop(self) -> None:
        """From here on signals only hurry it along. Says so only when somebody asked for it."""
        asked = self.children.interrupts > 0
        if asked:
            say("\nStopping ...")
        self.children.stop_all()
        if asked:
            say("Stopped; the data stays.")

    def environment(self) -> dict[str, str]:
        """The children's: what the person set wins over what we made up."""
        given = {name: value for name, value in os.environ.items() if value or name not in self.values}
        return self.values | given | {"PYTHONUNBUFFERED": "1"}

    def is_demo(self) -> bool:
        return self.environment()["DEMO"].lower() in ("1", "true", "yes", "on")

    def log(self, name: str) -> Path:
        return self.var / "log" / f"{name}.log"

    # -- steps ---------------------------------------------------------------------------------------------------------

    def start_servers(self) -> None:
        if not (self.needs.postgres or self.needs.redis):
            return
        with step("PostgreSQL and Redis"):
            if self.needs.redis:
                valkey = servers.Valkey(
                    port=self.ports["REDIS_PORT"], password=servers.new_password(), log=self.log("valkey")
                )
                self.values["REDIS_URL"] = valkey.url()
                ready = lambda: ports.answers(valkey.port)  # noqa: E731
                self.children.launch(Child("valkey", valkey.start, ready, log=valkey.log, stage=3, patience=5))
            if self.needs.postgres:
                home, password = servers_home(var=self.var), self.secrets["POSTGRES_PASSWORD"]
                postgres = servers.Postgres(
                    home=home, port=self.ports["POSTGRES_PORT"], password=password, log=self.log("postgres")
                )
                self.values["DATABASE_URL"] = postgres.url("invoicedream")
                postgres.create()
                self.children.launch(
                    Child(
                        "postgres",
                        postgres.start,
                        postgres.is_ready,
                        log=postgres.log,
                        stage=4,
                        patience=20,
                        stop_signal=signal.SIGINT,
                    )
                )
            self.children.wait_ready(["valkey", "postgres"])

    def prepare_database(self) -> None:
        written = {
            name: self.environment()[name] for name in (*self.values, *plan.REAL_SERVICES) if name in self.environment()
        }
        environment.write_embedded(written)
        static_files.collect_when_changed(
            self.children, var=self.var, log=self.log("static"), environment=self.environment()
        )
        with step("Database"):
            self.manage("setup_database", what="Setting up the database", log=self.log("setup_database"))
        if self.is_demo():
            self.manage(
                "seed_demo",
                "--write",
                str(self.demo_file()),
                what="Making the demo's data",
                log=self.log("seed_demo"),
                visible=True,
            )

    def manage(self, *arguments: str, what: str, log: Path, visible: bool = False) -> None:
        command = [sys.executable, "manage.py", *arguments]
        self.children.run(command, what=what, log=log, environment=self.environment(), visible=visible)

    def launch(self, wanted: list[services.Service]) -> list[str]:
        for service in wanted:
            self.children.launch(self.child_of(service))
        return [service.name for service in wanted]

    def child_of(self, service: services.Service) -> Child:
        log = self.log(service.name)

        def start() -> subprocess.Popen[bytes]:
            values = self.environment()
            # They log in as roles without power; the administrator's password is none of their business.
            values["DATABASE_URL"] = plan.without_login(values["DATABASE_URL"])
            return processes.spawn(service.command, log=log, environment=values | service.environment, folder=CHECKOUT)

        return Child(service.name, start, service.is_ready, log=log, stage=service.stage, patience=service.patience)

    def demo_file(self) -> Path:
        return self.var / "demo.json"

    def demo_facts(self) -> dict[str, str]:
        if not self.is_demo():
            return {}
        facts: dict[str, str] = json.loads(self.demo_file().read_text())
        return facts


def set_logs_aside(folder: Path) -> None:
    for log in folder.glob("*.log"):
        if log.stat().st_size > BIGGEST_LOG:
            log.replace(log.with_suffix(".log.1"))


if __name__ == "__main__":
    sys.exit(main())
