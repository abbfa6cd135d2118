"""One test run's environment: where its servers will be, long before the first test asks for them.

Settings are read once, servers start late (a run of `tests/pricing` starts none), and xdist's workers share them. So
the first process of the run chooses ports and passwords, writes them into `os.environ`, and its workers inherit them.

`DATABASE_URL` and `REDIS_URL` in the environment name servers to use instead of the embedded ones: a login that may
create databases and roles, and a Redis whose databases 8 to 15 the tests may empty.
"""

import os
import secrets
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from config.launch.ports import free_port

NO_DATABASE = "this_test_must_ask_for_the_db_fixture"
RUN = "INVOICEDREAM_TEST_RUN"
OWNER = "INVOICEDREAM_TEST_OWNER"
EMBEDDED = "INVOICEDREAM_TEST_EMBEDDED"
REAL_SERVICES = (
    "OPENROUTER_API_KEY", "UPSTREAM_BASE_URL", "UPSTREAM_API_KEY", "EMAIL_URL",
    "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE",
    "DATABASE_OWNER_URL", "DATABASE_APP_URL", "DATABASE_SYSTEM_URL", "PRICE_FEED_URL", "PRICE_FEED_API_KEY",
    "KOREAEXIM_API_KEY", "EXCHANGE_RATE_SOURCES",
)  # fmt: skip
"""Variables that would let a test reach somebody's real account."""


def prepare() -> None:
    """Make up the run's environment in its first process; a worker inherits it, with a Redis database of its own."""
    if RUN not in os.environ:
        _choose()
    os.environ["REDIS_URL"] = with_path(os.environ["REDIS_URL"], str(redis_database()))


def _choose() -> None:
    run = secrets.token_hex(4)
    password, postgres_port, redis_port = secrets.token_urlsafe(16), free_port(), free_port()
    embedded = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
    for name in REAL_SERVICES:
        os.environ.pop(name, None)
    os.environ.update({
        RUN: run,
        OWNER: str(os.getpid()),
        EMBEDDED: ",".join(embedded),
        "SECRET_KEY": f"test-{secrets.token_hex(16)}",
        "DEMO": "1",
        "DEBUG": "0",
        "DATABASE_ROLE_PREFIX": f"test_{run}",
        "VAR_DIR": str(folder(run) / "var"),
        "LOG_FORMAT": "console",
    })  # fmt: skip
    if "DATABASE_URL" in embedded:
        os.environ["DATABASE_URL"] = f"postgres://postgres:{password}@127.0.0.1:{postgres_port}/postgres"
    if "REDIS_URL" in embedded:
        os.environ["REDIS_URL"] = f"redis://:{password}@127.0.0.1:{redis_port}/0"


def folder(run: str | None = None) -> Path:
    """The run's own folder for locks and logs; the keeper of its servers removes it."""
    return Path(tempfile.gettempdir()) / f"invoicedream-test-{run or os.environ[RUN]}"


def template_database() -> str:
    return f"test_{os.environ[RUN]}_template"


def worker_number() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def redis_database() -> int:
    """From the upper end, which nobody uses by accident."""
    return 15 - worker_number() % 8


def with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))
