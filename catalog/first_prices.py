"""How far a model's first price may reach back: to the oldest usage that waits for one, which nobody was charged for.

The usage is kept by a layer above, which says here how to ask it.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from accounts.audit_log import write_audit_entry
from accounts.models import User
from catalog.models import CostTable

Asker = Callable[[Collection[str]], Mapping[str, datetime]]
_askers: list[Asker] = []


def ask_for_waiting_usage(asker: Asker) -> None:
    """From now on `asker` tells since when usage of these models (by id) waits; those without any it leaves out."""
    _askers.append(asker)


def waiting_since(slugs: Collection[str]) -> dict[str, datetime]:
    """The moment of the oldest waiting usage of each of these models that has any."""
    oldest: dict[str, datetime] = {}
    for asker in _askers if slugs else ():
        for slug, moment in asker(slugs).items():
            oldest[slug] = min(moment, oldest.get(slug, moment))
    return oldest


def audit_backdating(cost_table: CostTable, slug: str, since: datetime, *, now: datetime, actor: User | None) -> None:
    """Note that a first price begins in the past."""
    write_audit_entry(
        action="cost_price.backdated",
        target=slug,
        now=now,
        actor=actor,
        detail={"cost_table": cost_table.slug, "effective_from": since.isoformat()},
        using="system",
    )
