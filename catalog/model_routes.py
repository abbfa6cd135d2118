"""Which upstream serves which model, read off the tables: what a process that forwards calls keeps in its memory.

A route counts only while its upstream's cost table is the one that its model is sold from: whatever serves a call, it is charged at
the price that the customer was shown (decision 0020).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connections

from catalog.models import ModelRoute, Upstream
from catalog.price_snapshot import ModelEntry

VERSION_QUERY = """
SELECT (SELECT count(*) FROM catalog_upstream), (SELECT sum(xmin::text::bigint) FROM catalog_upstream),
       (SELECT count(*) FROM catalog_modelroute), (SELECT sum(xmin::text::bigint) FROM catalog_modelroute)
"""
"""Differs after every commit that changed a row; see `price_memory`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamEntry:
    """An upstream that is in use. Seconds that are None are the settings'."""

    slug: str
    kind: str
    base_url: str
    key_variable: str
    cost_table_id: int
    connect_seconds: float | None
    first_byte_seconds: float | None
    chunk_seconds: float | None
    total_seconds: float | None
    connections: int | None


@dataclass(frozen=True, slots=True)
class Route:
    """`upstream_model` is what the model is called there."""

    upstream: UpstreamEntry
    upstream_model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """All routes in use, the preferred first: by model, and those for all models of a cost table."""

    version: tuple[object, ...] = ()
    of_model: Mapping[int, Sequence[Route]] = field(default_factory=dict)
    of_table: Mapping[int, Sequence[Route]] = field(default_factory=dict)

    def routes(self, model: ModelEntry) -> Sequence[Route]:
        """The model's own routes, else its cost table's; none if nobody defined any."""
        own = [
            Route(route.upstream, route.upstream_model or model.slug)
            for route in self.of_model.get(model.id, ())
            if route.upstream.cost_table_id == model.cost_table_id
        ]
        return own or [Route(route.upstream, model.slug) for route in self.of_table.get(model.cost_table_id, ())]

    def upstreams(self) -> set[UpstreamEntry]:
        """Everybody who is routed to."""
        return {route.upstream for routes in (*self.of_model.values(), *self.of_table.values()) for route in routes}


def read_routes(known: RouteTable) -> RouteTable:
    """The tables as they are now; `known` itself if nothing was changed since."""
    with connections["system"].cursor() as cursor:
        cursor.execute(VERSION_QUERY)
        version = tuple(cursor.fetchone())
    if version == known.version:
        return known
    entries = {row.pk: entry_of(row) for row in Upstream.objects.using("system").filter(enabled=True)}
    of_model: dict[int, list[Route]] = defaultdict(list)
    of_table: dict[int, list[Route]] = defaultdict(list)
    rows = ModelRoute.objects.using("system").filter(enabled=True, upstream_id__in=entries)
    for row in rows.order_by("priority", "pk"):
        upstream = entries[row.upstream_id]
        if row.language_model_id is None:
            of_table[upstream.cost_table_id].append(Route(upstream, ""))
        else:
            of_model[row.language_model_id].append(Route(upstream, row.upstream_model))
    return RouteTable(version=version, of_model=dict(of_model), of_table=dict(of_table))


def entry_of(row: Upstream) -> UpstreamEntry:
    """An upstream's row, as it is kept in memory."""
    return UpstreamEntry(
        slug=row.slug,
        kind=row.kind,
        base_url=row.base_url,
        key_variable=row.key_variable,
        cost_table_id=row.cost_table_id,
        connect_seconds=row.connect_seconds,
        first_byte_seconds=row.first_byte_seconds,
        chunk_seconds=row.chunk_seconds,
        total_seconds=row.total_seconds,
        connections=row.connections,
    )
