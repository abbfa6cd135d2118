"""Which upstreams may answer a call, the preferred one first: by the routes that the operator defined, else the environment's.

OpenRouter answers with names of our catalog, and a router's answer is priced by the model that it names. Other servers echo an
alias or the file that they loaded, so there the model that was asked of them is the one that answered.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from catalog.model_routes import RouteTable, UpstreamEntry
from catalog.models import Upstream as UpstreamRow
from catalog.price_snapshot import ModelEntry
from catalog.upstreams import is_address_allowed, may_hold_key
from gateway.upstreams.base import Limits
from gateway.upstreams.openai_compatible import CONNECTIONS, OpenAICompatible

logger = logging.getLogger(__name__)
EVENT_BYTES = 8 * 1024 * 1024
"""One event may carry a picture, but no more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to have a call answered: `model` by `upstream`, which calls it `name` and may go on to `fallbacks` by itself."""

    upstream: OpenAICompatible
    model: ModelEntry
    name: str
    fallbacks: tuple[str, ...] = ()


class Upstreams:
    """All upstreams of a process, with their connections. To be used on one event loop, but for `table`, which a thread renews."""

    def __init__(self) -> None:
        """Raises ImproperlyConfigured if there can be none."""
        entry = upstream_of_environment()
        if entry is None and not settings.UPSTREAM_URLS:
            raise ImproperlyConfigured("The gateway has no upstream: set OPENROUTER_API_KEY or UPSTREAM_BASE_URL.")
        self.table = RouteTable()
        self._environment = None if entry is None else connect(entry)
        self._used = self.table
        self._open: dict[UpstreamEntry, OpenAICompatible] = {}
        self._retired: set[asyncio.Task[None]] = set()

    def candidates(self, models: Sequence[ModelEntry]) -> tuple[Candidate, ...]:
        """Who may answer a call of the first of `models`, then of those that its caller falls back to.

        An upstream that goes through fallbacks by itself is told those that it serves, and not asked again for them.
        """
        if self.table is not self._used:
            self._renew()
        found: list[Candidate] = []
        told: set[tuple[OpenAICompatible, str]] = set()
        for position, model in enumerate(models):
            for upstream, name in self._routes(model):
                if (upstream, model.slug) in told:
                    continue
                fallbacks: list[str] = []
                for later in models[position + 1 :] if upstream.falls_back else ():
                    names = [its for server, its in self._routes(later) if server is upstream]
                    fallbacks += names
                    told |= {(upstream, later.slug) for _name in names}
                found.append(Candidate(upstream, model, name, tuple(fallbacks)))
        return tuple(found)

    async def close(self) -> None:
        """End all connections."""
        for task in self._retired:
            task.cancel()
        for upstream in (self._environment, *self._open.values()):
            if upstream is not None:
                await upstream.close()

    def _routes(self, model: ModelEntry) -> list[tuple[OpenAICompatible, str]]:
        routes = self._used.routes(model)
        if routes:
            return [
                (self._open[route.upstream], route.upstream_model) for route in routes if route.upstream in self._open
            ]
        return [(self._environment, model.slug)] if self._environment is not None else []

    def _renew(self) -> None:
        """Take over a new table. Upstreams that did not change keep their connections; calls under way keep theirs, too."""
        self._used = self.table
        wanted = self._used.upstreams()
        for entry in set(self._open) - wanted:
            self._retire(self._open.pop(entry))
        for entry in wanted - set(self._open):
            if is_allowed(entry):
                self._open[entry] = connect(entry)
            else:
                logger.error("upstream's address or key variable is not allowed", extra={"upstream": entry.slug})

    def _retire(self, upstream: OpenAICompatible) -> None:
        async def close_later() -> None:
            try:
                await asyncio.sleep(upstream.limits.total)
            finally:
                await upstream.close()

        task = asyncio.create_task(close_later())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)


def upstream_of_environment() -> UpstreamEntry | None:
    """The upstream that the settings name: it serves every model that has no route."""
    if settings.OPENROUTER_API_KEY:
        return _entry(UpstreamRow.Kind.OPENROUTER, settings.OPENROUTER_BASE_URL, "OPENROUTER_API_KEY")
    if settings.UPSTREAM_BASE_URL:
        return _entry(UpstreamRow.Kind.OPENAI_COMPATIBLE, settings.UPSTREAM_BASE_URL, "UPSTREAM_API_KEY")
    return None


def _entry(kind: UpstreamRow.Kind, base_url: str, key_variable: str) -> UpstreamEntry:
    return UpstreamEntry(
        slug=kind.value,
        kind=kind.value,
        base_url=base_url.rstrip("/"),
        key_variable=key_variable,
        cost_table_id=0,
        connect_seconds=None,
        first_byte_seconds=None,
        chunk_seconds=None,
        total_seconds=None,
        connections=None,
    )


def is_allowed(entry: UpstreamEntry) -> bool:
    """Whether the environment lets us send calls and its key there."""
    return is_address_allowed(entry.base_url) and may_hold_key(entry.key_variable)


def key_of(entry: UpstreamEntry) -> str:
    """The upstream's key, out of the environment; empty if there is none."""
    own = {"OPENROUTER_API_KEY": settings.OPENROUTER_API_KEY, "UPSTREAM_API_KEY": settings.UPSTREAM_API_KEY}
    key: str = own.get(entry.key_variable) or settings.UPSTREAM_KEYS.get(entry.key_variable, "")
    return key


def connect(entry: UpstreamEntry) -> OpenAICompatible:
    """The adapter of an upstream, which connects when it is first used."""
    is_openrouter = entry.kind == UpstreamRow.Kind.OPENROUTER
    return OpenAICompatible(
        name=entry.slug,
        base_url=entry.base_url,
        api_key=key_of(entry),
        limits=limits_of(entry),
        trusts_model_ids=is_openrouter,
        falls_back=is_openrouter,
        connections=entry.connections or CONNECTIONS,
        headers={"HTTP-Referer": settings.SITE_URL, "X-Title": "InvoiceDream"} if is_openrouter else None,
    )


def limits_of(entry: UpstreamEntry) -> Limits:
    """The bounds of one call: the upstream's own, else the settings'. None may outlive its hold."""
    return Limits(
        connect=entry.connect_seconds or settings.GATEWAY_CONNECT_SECONDS,
        first_byte=entry.first_byte_seconds or settings.GATEWAY_FIRST_BYTE_SECONDS,
        between_chunks=entry.chunk_seconds or settings.GATEWAY_CHUNK_SECONDS,
        total=min(entry.total_seconds or settings.GATEWAY_TOTAL_SECONDS, settings.HOLD_SECONDS),
        answer_bytes=settings.GATEWAY_MAX_ANSWER_BYTES,
        event_bytes=EVENT_BYTES,
    )
