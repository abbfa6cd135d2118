"""Facts of models that a list knows better than the row does. What an operator or our own table wrote is never touched."""

from collections.abc import Mapping
from typing import Any

from catalog.feed.comparison import Known
from catalog.feed.snapshot import Snapshot
from catalog.models import LanguageModel
from catalog.seed import our_table


def outdated(snapshot: Snapshot, known: Known) -> list[tuple[LanguageModel, dict[str, Any]]]:
    """Listed models that are sold from this table, with the fields that the list would change. Writes nothing."""
    ours = own_facts()
    found = []
    for entry in snapshot.entries.values():
        model = known.models.get(entry.slug)
        if model is None or model.cost_table_id != known.cost_table_id:
            continue
        kept = ours.get(entry.slug, frozenset()) | set(model.own_fields)
        changes = {
            field: value for field, value in entry.facts.items() if field not in kept and getattr(model, field) != value
        }
        if changes:
            found.append((model, changes))
    return found


def own_facts() -> Mapping[str, frozenset[str]]:
    """The fields of which our own table tells, by model."""
    return {slug: frozenset({"name", "provider", *model.facts}) for slug, model in our_table.our_models().items()}
