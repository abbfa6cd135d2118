"""What `make run` starts: addresses, environment, and the list of services with how each is told to be ready."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.launch import ports
from config.launch.places import LaunchError

PROMISED_PORTS = {"SITE_PORT": 8000, "GATEWAY_PORT": 8001, "CONSOLE_PORT": 8002, "MAILBOX_PORT": 8025}
OTHER_PORTS = ("POSTGRES_PORT", "REDIS_PORT", "SMTP_PORT", "LLM_PORT", "PAYMENTS_PORT")
SECRETS = ("SECRET_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "POSTGRES_PASSWORD")

REAL_SERVICES = (
    "DATABASE_URL", "REDIS_URL", "EMAIL_URL", "OPENROUTER_API_KEY", "UPSTREAM_BASE_URL", "UPSTREAM_API_KEY",
    "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE", "DATABASE_ROLE_PREFIX",
    "DATABASE_OWNER_URL", "DATABASE_APP_URL", "DATABASE_SYSTEM_URL",
)  # fmt: skip
"""What a person may set; `manage.py` in another shell must find the same."""

STARTED = "INVOICEDREAM_STARTED"
"""When the person pressed Enter, seconds since 1970: handed from the bootstrap to the supervisor."""


@dataclass(frozen=True)
class Service:
    """One child of the supervisor. `stage` orders the stop: lower ones go first, because they use the others."""

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[], bool]
    stage: int
    patience: float = 10.0
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Needs:
    """Which stand-ins this run starts: those for which the environment names no real service."""

    postgres: bool
    redis: bool
    mailbox: bool
    payments: bool
    llm: bool

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Needs":
        has = environment.get
        return cls(
            postgres=not has("DATABASE_URL"),
            redis=not has("REDIS_URL"),
            mailbox=not has("EMAIL_URL"),
            payments=not has("STRIPE_SECRET_KEY"),
            llm=not (has("OPENROUTER_API_KEY") or has("UPSTREAM_BASE_URL")),
        )


def bind_host() -> str:
    return os.environ.get("BIND_HOST") or "127.0.0.1"


def choose_ports(needs: Needs) -> dict[str, int]:
    """The promised ports, checked to be free, and free ones for what only our own processes talk to."""
    chosen = {
        name: _wanted_port(name, default)
        for name, default in PROMISED_PORTS.items()
        if name != "MAILBOX_PORT" or needs.mailbox
    }
    for name, port in chosen.items():
        others = [other for other, same in chosen.items() if same == port and other != name]
        if others:
            raise LaunchError(f"{name} and {others[0]} are both {port}: give them different ports.")
    taken = [name for name, port in chosen.items() if not ports.is_free(port, host=bind_host())]
    if taken:
        facts = ", ".join(f"{chosen[name]} ({name.removesuffix('_PORT').lower()})" for name in taken)
        remedy = " ".join(f"{name}={chosen[name] + 100}" for name in taken)
        raise LaunchError(
            f"Already in use: port {facts}. Stop what listens there, or choose another: {remedy} make run"
        )
    for name in OTHER_PORTS:
        chosen[name] = ports.free_port(avoid=frozenset(chosen.values()))
    return chosen


def _wanted_port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise LaunchError(f"{name} must be a port number from 1 to 65535, not {text!r}.")
    return int(text)


def embedded_values(
    *, needs: Needs, chosen: Mapping[str, int], secrets: Mapping[str, str], var: Path
) -> dict[str, str]:
    """Environment of the stand-ins' side: everything settings read, except the two servers' own addresses."""
    local = {name: f"http://127.0.0.1:{port}" for name, port in chosen.items()}
    values = {
        "SECRET_KEY": secrets["SECRET_KEY"],
        "DEBUG": "0",
        "DEMO": "1" if needs.postgres else "0",
        "SITE_URL": local["SITE_PORT"],
        "GATEWAY_URL": f"{local['GATEWAY_PORT']}/v1",
        "CONSOLE_URL": local["CONSOLE_PORT"],
        "TRIAL_CREDIT_KRW": "5000",
        "LOG_FORMAT": "json",
        "VAR_DIR": str(var),
    }
    if needs.mailbox:
        values |= {"EMAIL_URL": f"smtp://127.0.0.1:{chosen['SMTP_PORT']}", "MAILBOX_URL": local["MAILBOX_PORT"]}
    if needs.payments:
        values |= {
            "STRIPE_SECRET_KEY": f"sk_test_{secrets['STRIPE_SECRET_KEY']}",
            "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets['STRIPE_WEBHOOK_SECRET']}",
            "STRIPE_API_BASE": local["PAYMENTS_PORT"],
        }
    if needs.llm:
        values |= {"UPSTREAM_BASE_URL": f"{local['LLM_PORT']}/v1", "UPSTREAM_API_KEY": "sandbox"}
    return values


def stand_ins(*, needs: Needs, chosen: Mapping[str, int], var: Path) -> list[Service]:
    found = []
    if needs.llm:
        found.append(_python("llm", "sandbox.llm", ["--port", chosen["LLM_PORT"]], port=chosen["LLM_PORT"], stage=2))
    if needs.payments:
        found.append(
            _python(
                "payments",
                "sandbox.payments",
                ["--port", chosen["PAYMENTS_PORT"]],
                port=chosen["PAYMENTS_PORT"],
                stage=2,
            )
        )
    if needs.mailbox:
        addresses = ["--smtp-port", chosen["SMTP_PORT"], "--port", chosen["MAILBOX_PORT"]]
        arguments = [*addresses, "--directory", str(var / "mailbox")]
        found.append(_python("mailbox", "sandbox.mailbox", arguments, port=chosen["MAILBOX_PORT"], stage=2))
    return found


def own_services(*, chosen: Mapping[str, int]) -> list[Service]:
    """Our own processes. One worker each: this is one machine with two cores, and a browser beside it."""
    site, gateway, console = (chosen[f"{name}_PORT"] for name in ("SITE", "GATEWAY", "CONSOLE"))
    wsgi = ["--interface", "wsgi", "--blocking-threads", "4"]
    celery = ["-A", "config", "--quiet"]
    light = ["--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [
        _granian("site", [*wsgi, "config.wsgi:application"], port=site),
        _granian("gateway", ["--interface", "asgi", "config.gateway_asgi:app"], port=gateway, patience=20),
        _granian(
            "console", [*wsgi, "config.console_wsgi:application"], port=console, settings="config.console_settings"
        ),
        _python("worker", "celery", [*celery, "worker", *light, "--loglevel", "INFO"], stage=1, patience=20),
        _python("beat", "celery", [*celery, "beat", "--pidfile", "", "--loglevel", "INFO"], stage=1),
    ]


def _granian(
    name: str, arguments: list[str], *, port: int, patience: float = 10, settings: str = "config.settings"
) -> Service:
    common = [
        "--host",
        bind_host(),
        "--port",
        port,
        "--workers",
        "1",
        "--no-ws",
        "--workers-kill-timeout",
        int(patience),
    ]
    return Service(
        name=name,
        command=(sys.executable, "-m", "granian", *(str(word) for word in [*common, *arguments])),
        is_ready=lambda: answers_ok(f"http://127.0.0.1:{port}/readyz"),
        stage=1,
        patience=patience,
        environment={"DJANGO_SETTINGS_MODULE": settings},
    )


def _python(
    name: str, module: str, arguments: list[str] | list[str | int], *, stage: int, port: int = 0, patience: float = 5
) -> Service:
    return Service(
        name=name,
        command=(sys.executable, "-m", module, *(str(word) for word in arguments)),
        is_ready=(lambda: ports.answers(port)) if port else (lambda: True),
        stage=stage,
        patience=patience,
        environment={"DJANGO_SETTINGS_MODULE": "config.settings"},
    )


def answers_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  (an address of our own)
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
