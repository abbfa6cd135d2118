"""The services that the supervisor runs: their command lines, and how each is told to be ready."""

import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.launch.plan import Needs, bind_host, popbill_secret, webhook_secret


@dataclass(frozen=True)
class Service:
    """One child of the supervisor. `stage` orders the stop: lower ones go first, because they use the others."""

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[], bool]
    stage: int
    patience: float = 10.0
    environment: Mapping[str, str] = field(default_factory=dict)


def stand_ins(*, needs: Needs, chosen: Mapping[str, int], secrets: Mapping[str, str], var: Path) -> list[Service]:
    """The processes of `sandbox/` that this run needs. They keep their books in `var/`."""
    webhook = f"http://{reachable_host()}:{chosen['SITE_PORT']}/webhooks/stripe"
    payments = ["--webhook-url", webhook, "--webhook-secret", webhook_secret(secrets)]
    payments += ["--directory", str(var / "payments")]
    tax = ["--directory", str(var / "tax"), "--secret-key", popbill_secret(secrets)]
    mailbox = ["--directory", str(var / "mailbox"), "--smtp-port", str(chosen["SMTP_PORT"])]
    wanted = [
        (needs.llm, "llm", "LLM_PORT", []),
        (needs.payments, "payments", "PAYMENTS_PORT", payments),
        (needs.tax, "tax", "TAX_PORT", tax),
        (needs.mailbox, "mailbox", "MAILBOX_PORT", mailbox),
    ]
    return [
        _python(name, f"sandbox.{name}", ["--port", str(chosen[port]), *arguments], stage=2, port=chosen[port])
        for needed, name, port, arguments in wanted
        if needed
    ]


def web_services(*, chosen: Mapping[str, int]) -> list[Service]:
    """What people and programs wait for. One worker each: this is one machine with two cores, and a browser beside it.

    The site has threads (`config.site_asgi`) for many pushes of single events at once: all that wait for the disk share the next
    commit.
    """
    site, console = chosen["SITE_PORT"], chosen["CONSOLE_PORT"]
    admin = "config.console_settings"
    return [
        _granian("site", ["--interface", "asgi", "config.site_asgi:app"], port=site),
        gateway(port=chosen["GATEWAY_PORT"]),
        _granian("console", ["--interface", "asgi", "config.console_asgi:app"], port=console, settings=admin),
    ]


def gateway(*, port: int) -> Service:
    """The gateway, which the tests and the benchmark start in the same way. Its bounds are its own (`gateway/server.py`)."""
    listen = ["--host", bind_host(), "--port", str(port)]
    return _web("gateway", "gateway.server", [*listen, "config.gateway_asgi:app"], port=port, patience=20)


def background_services() -> list[Service]:
    """Started last: nobody waits for them, and they would take the processors from those that people wait for."""
    celery = ["-A", "config", "--quiet"]
    light = ["--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [
        _python("worker", "celery", [*celery, "worker", *light, "--loglevel", "INFO"], stage=1, patience=20),
        _python("beat", "celery", [*celery, "beat", "--pidfile", "", "--loglevel", "INFO"], stage=1),
    ]


def _granian(
    name: str, arguments: list[str], *, port: int, patience: float = 10, settings: str = "config.settings"
) -> Service:
    listen = ["--host", bind_host(), "--port", str(port)]
    lean = ["--workers", "1", "--no-ws", "--workers-kill-timeout", str(int(patience))]
    return _web(name, "granian", [*listen, *lean, *arguments], port=port, patience=patience, settings=settings)


def _web(
    name: str, module: str, arguments: list[str], *, port: int, patience: float, settings: str = "config.settings"
) -> Service:
    return Service(
        name=name,
        command=(sys.executable, "-m", module, *arguments),
        is_ready=lambda: is_ready(reachable_host(), port),
        stage=1,
        patience=patience,
        environment={"DJANGO_SETTINGS_MODULE": settings},
    )


def _python(
    name: str, module: str, arguments: list[str], *, stage: int, port: int | None = None, patience: float = 5
) -> Service:
    """A service without a port counts as ready when it runs."""
    return Service(
        name=name,
        command=(sys.executable, "-m", module, *arguments),
        is_ready=(lambda: is_ready("127.0.0.1", port)) if port else (lambda: True),
        stage=stage,
        patience=patience,
        environment={"DJANGO_SETTINGS_MODULE": "config.settings"},
    )


def reachable_host() -> str:
    """Where this machine reaches what listens on `bind_host()`."""
    return "127.0.0.1" if bind_host() in ("0.0.0.0", "::") else bind_host()  # noqa: S104  (compared, not bound)


def is_ready(host: str, port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
