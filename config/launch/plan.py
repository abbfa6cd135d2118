"""What a `make run` is made of: which stand-ins it needs, on which ports, and the environment that ties it together."""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from config.launch import ports
from config.launch.places import LaunchError

PROMISED_PORTS = {"SITE_PORT": 8000, "GATEWAY_PORT": 8001, "CONSOLE_PORT": 8002, "MAILBOX_PORT": 8025}
OTHER_PORTS = ("POSTGRES_PORT", "REDIS_PORT", "SMTP_PORT", "LLM_PORT", "PAYMENTS_PORT", "TAX_PORT")
SECRETS = ("SECRET_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "POPBILL_SECRET_KEY", "POSTGRES_PASSWORD")

REAL_SERVICES = (
    "DATABASE_URL", "REDIS_URL", "EMAIL_URL", "OPENROUTER_API_KEY", "UPSTREAM_BASE_URL", "UPSTREAM_API_KEY",
    "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE", "DATABASE_ROLE_PREFIX",
    "POPBILL_LINK_ID", "POPBILL_SECRET_KEY", "POPBILL_BASE_URL", "POPBILL_AUTH_URL", "NTS_SERVICE_KEY", "NTS_BASE_URL",
    "DATABASE_OWNER_URL", "DATABASE_APP_URL", "DATABASE_SYSTEM_URL", "PRICE_FEED_URL", "PRICE_FEED_API_KEY",
    "KOREAEXIM_API_KEY", "EXCHANGE_RATE_SOURCES",
)  # fmt: skip
"""What a person may set; `manage.py` in another shell must find the same."""

STARTED = "INVOICEDREAM_STARTED"
"""When the person pressed Enter, seconds since 1970: handed from the bootstrap to the supervisor."""


@dataclass(frozen=True)
class Needs:
    """Which stand-ins this run starts: those for which the environment names no real service."""

    postgres: bool
    redis: bool
    mailbox: bool
    payments: bool
    tax: bool
    llm: bool

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Needs":
        has = environment.get
        return cls(
            postgres=not has("DATABASE_URL"),
            redis=not has("REDIS_URL"),
            mailbox=not has("EMAIL_URL"),
            payments=not has("STRIPE_SECRET_KEY"),
            tax=not has("POPBILL_LINK_ID"),
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
            "STRIPE_WEBHOOK_SECRET": webhook_secret(secrets),
            "STRIPE_API_BASE": local["PAYMENTS_PORT"],
        }
    if needs.tax:
        values |= {
            "POPBILL_LINK_ID": "SANDBOX",
            "POPBILL_SECRET_KEY": popbill_secret(secrets),
            "POPBILL_BASE_URL": local["TAX_PORT"],
            "POPBILL_AUTH_URL": local["TAX_PORT"],
            "NTS_SERVICE_KEY": "sandbox",
            "NTS_BASE_URL": local["TAX_PORT"],
            "TAX_INVOICE_FOR_UNPAID_CARD": "0",
        }
    if needs.llm:
        values |= {"UPSTREAM_BASE_URL": f"{local['LLM_PORT']}/v1", "UPSTREAM_API_KEY": "sandbox"}
    return values


def without_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def popbill_secret(secrets: Mapping[str, str]) -> str:
    """Base64, as the provider gives it out."""
    return base64.b64encode(secrets["POPBILL_SECRET_KEY"].encode()).decode()


def webhook_secret(secrets: Mapping[str, str]) -> str:
    return f"whsec_{secrets['STRIPE_WEBHOOK_SECRET']}"
