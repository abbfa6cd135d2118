"""Whom a request's key speaks for, remembered for seconds: one look-up serves many calls, and a revocation is seen in time.

Look-ups run in threads, because the event loop must not wait for the database. While the database is away, a key that was
just seen goes on working until its few seconds are over.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from accounts.api_keys import InvalidKey, KeyIdentity, digest, identify_api_key, is_well_formed
from accounts.models import Organization
from billing.overdue.suspension import SuspendedFor, suspended_for
from catalog import price_book
from gateway.errors import Unauthenticated, Unavailable
from ledger.models import Balance

REMEMBERED = 10_000
WAITING = 1_000
SECONDS_TO_LOOK_UP = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and what of its organization decides the price of a call."""

    identity: KeyIdentity
    terms: price_book.Terms
    tax_rate: Decimal
    suspended_for: SuspendedFor | None = None
    """Of a suspended organization: why."""


Entry = tuple[float, Caller | None]
"""Until when (monotonic) it may be used, and the caller; None for a key that is refused."""


def look_up(secret: str) -> Caller:
    """The caller of `secret`, from the tables. Raises InvalidKey, DatabaseError."""
    close_old_connections()
    identity = identify_api_key(secret, now=timezone.now())
    is_suspended = identity.organization_status == Organization.Status.SUSPENDED
    balance = Balance.objects.using("system").filter(organization_id=identity.organization_id).first()
    return Caller(
        identity=identity,
        terms=price_book.Terms(
            organization_id=identity.organization_id,
            currency=identity.currency,
            exchange_policy=identity.exchange_policy,
            zone=identity.zone,
        ),
        tax_rate=settings.VAT_RATE if balance is None else balance.tax_rate,
        suspended_for=suspended_for(identity.organization_id) if is_suspended else None,
    )


class KeyCache:
    """Callers by the digest of their key. Never holds a secret. To be used on one event loop."""

    def __init__(
        self, *, seconds: float, threads: ThreadPoolExecutor, look_up: Callable[[str], Caller] = look_up
    ) -> None:
        self._seconds = seconds
        self._threads = threads
        self._look_up = look_up
        self._entries: dict[bytes, Entry] = {}
        self._running: dict[bytes, asyncio.Task[Entry]] = {}

    async def find(self, secret: str, *, now: datetime) -> Caller:
        """The caller of `secret`. Raises Unauthenticated, Unavailable."""
        if not is_well_formed(secret):
            raise _refused()
        name = digest(secret)
        entry = self._entries.get(name)
        if entry is None or entry[0] <= time.monotonic():
            entry = await self._ask(name, secret)
        caller = entry[1]
        if caller is None or (caller.identity.expires_at is not None and caller.identity.expires_at <= now):
            raise _refused()
        return caller

    async def _ask(self, name: bytes, secret: str) -> Entry:
        """Look a key up; those who ask for the same one meanwhile share the answer."""
        running = self._running.get(name)
        if running is None:
            if len(self._running) >= WAITING:
                raise Unavailable("The gateway is busy checking keys. Please try again in a moment.")
            running = self._running[name] = asyncio.create_task(self._load(name, secret))
            running.add_done_callback(lambda task: self._forget_running(name, task))
        try:
            return await asyncio.wait_for(asyncio.shield(running), SECONDS_TO_LOOK_UP)
        except (DatabaseError, TimeoutError):
            raise Unavailable("Keys cannot be checked at the moment. Please try again shortly.") from None

    async def _load(self, name: bytes, secret: str) -> Entry:
        until = time.monotonic() + self._seconds
        caller: Caller | None
        try:
            caller = await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, secret)
        except InvalidKey:
            caller = None
        entry = (until, caller)
        self._entries.pop(name, None)
        self._entries[name] = entry
        if len(self._entries) > REMEMBERED:
            del self._entries[next(iter(self._entries))]
        return entry

    def _forget_running(self, name: bytes, task: asyncio.Task[Entry]) -> None:
        self._running.pop(name, None)
        if not task.cancelled():
            task.exception()  # seen, even if all who asked have stopped waiting


def _refused() -> Unauthenticated:
    return Unauthenticated(
        "The API key is missing, mistyped, expired or revoked. Send 'Authorization: Bearer <key>' with a key from "
        f"{settings.SITE_URL}/dashboard."
    )
