"""`make run`, once everything is installed: servers, database, demo, then all services under one roof until Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from config.launch import environment, lock, plan, ports, preparation, processes, servers, services
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
        self.data: Path | None = None
        set_logs_aside(self.var / "log")

    def run(self) -> int:
        say("InvoiceDream is starting.")
        try:
            self.start_servers()
            started = self.start_services()
            with step("Services"):
                self.children.wait_ready(started)
                self.launch(services.background_services())
            values, took = self.child_environment(), time.time() - self.started
            announce(demo=self.demo_facts(), values=values, seeded=self.is_demo(), took=took)
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

    def child_environment(self) -> dict[str, str]:
        """The children's: what the person set wins over what we made up."""
        given = {name: value for name, value in os.environ.items() if value or name not in self.values}
        return self.values | given | {"PYTHONUNBUFFERED": "1"}

    def is_demo(self) -> bool:
        return self.child_environment()["DEMO"].lower() in ("1", "true", "yes", "on")

    def log(self, name: str) -> Path:
        return self.var / "log" / f"{name}.log"

    # -- steps ---------------------------------------------------------------------------------------------------------

    def start_servers(self) -> None:
        wanted = [*([self.valkey()] if self.needs.redis else []), *([self.postgres()] if self.needs.postgres else [])]
        if not wanted:
            return
        with step("PostgreSQL and Redis"):
            for child in wanted:
                self.children.launch(child)
            self.children.wait_ready([child.name for child in wanted])

    def valkey(self) -> Child:
        password, log = servers.new_password(), self.log("valkey")
        server = servers.Valkey(port=self.ports["REDIS_PORT"], password=password, log=log)
        self.values["REDIS_URL"] = server.url()
        return Child("valkey", server.start, lambda: ports.answers(server.port), log=log, stage=3, patience=5)

    def postgres(self) -> Child:
        home, password, log = servers_home(var=self.var), self.secrets["POSTGRES_PASSWORD"], self.log("postgres")
        server = servers.Postgres(home=home, port=self.ports["POSTGRES_PORT"], password=password, log=log)
        self.values["DATABASE_URL"] = server.url("invoicedream")
        self.data = server.data

        def start() -> subprocess.Popen[bytes]:
            server.create()
            return server.start()

        fast = signal.SIGINT  # PostgreSQL's word for: do not wait for the clients
        return Child("postgres", start, server.is_ready, log=log, stage=4, patience=20, stop_signal=fast)

    def start_services(self) -> list[str]:
        """The services' names. As much as possible at once: most of what each does at first is to read Python code."""
        values = self.child_environment()
        lasting = (*self.values, *plan.REAL_SERVICES)
        environment.write_embedded({name: values[name] for name in lasting if name in values})
        ours = services.web_services(chosen=self.ports)
        started = self.launch(
            services.stand_ins(needs=self.needs, chosen=self.ports, secrets=self.secrets, var=self.var)
        )
        preparation.collect_static_files(self.children, var=self.var, environment=values)
        changed = preparation.set_up_database(self.children, var=self.var, environment=values, data=self.data)
        waits = changed or not self.demo_file().exists()  # for the demo's data; else it is there, and only looked at
        if not waits:
            started += self.launch(ours)
        if self.is_demo():
            preparation.seed_demo(self.children, file=self.demo_file(), var=self.var, environment=values)
        return started + self.launch(ours) if waits else started

    def launch(self, wanted: list[services.Service]) -> list[str]:
        for service in wanted:
            self.children.launch(self.child_of(service))
        return [service.name for service in wanted]

    def child_of(self, service: services.Service) -> Child:
        log = self.log(service.name)

        def start() -> subprocess.Popen[bytes]:
            values = self.child_environment()
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
