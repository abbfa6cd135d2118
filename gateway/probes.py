"""Whether the process lives, and whether it can take calls."""

import asyncio

import msgspec
from django.db import DatabaseError, close_old_connections, connections
from starlette.requests import Request
from starlette.responses import Response

from gateway.process import Gateway

SECONDS_TO_ANSWER = 3.0


async def healthz(request: Request) -> Response:
    """The event loop turns."""
    return _report({"status": "ok"}, ready=True)


async def readyz(request: Request) -> Response:
    """Both database roles answer and the prices are known."""
    gateway: Gateway = request.app.state.gateway
    loop = asyncio.get_running_loop()
    try:
        await asyncio.wait_for(loop.run_in_executor(gateway.threads, _ask_database), SECONDS_TO_ANSWER)
        database = True
    except (DatabaseError, TimeoutError, RuntimeError):
        database = False
    checks = {"database": database, "price_book": gateway.is_ready}
    ready = all(checks.values())
    return _report({"status": "ok" if ready else "unavailable", **checks}, ready=ready)


def _ask_database() -> None:
    close_old_connections()
    for alias in ("default", "system"):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")


def _report(facts: dict[str, object], *, ready: bool) -> Response:
    return Response(
        msgspec.json.encode(facts),
        status_code=200 if ready else 503,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
