"""Put models on the list of what is sold and keep what is known of them, as the `system` role.

Of a fact, the source that knows best is believed: an operator, our own table, the feed; the packaged list only fills gaps.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User
from catalog.models import CostTable, LanguageModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model as a source describes it; what the source does not know is empty. Names are those of `LanguageModel`."""

    slug: str
    name: str
    provider: str
    cost_table: CostTable
    description_en: str = ""
    description_ko: str = ""
    context_length: int | None = None
    max_completion_tokens: int | None = None
    input_modalities: list[str] = field(default_factory=list)
    output_modalities: list[str] = field(default_factory=list)
    tokenizer: str = ""
    supported_parameters: list[str] = field(default_factory=list)
    is_router: bool = False
    released_on: date | None = None

    @property
    def provider_slug(self) -> str:
        """The author in the model's id; what markup rules name."""
        return self.slug.partition("/")[0]

    @property
    def page_slug(self) -> str:
        return page_slug_of(self.slug)


def page_slug_of(slug: str) -> str:
    """The id as the last part of its page's address."""
    return slug.replace("/", "-").replace(":", "-")


LEARNABLE = tuple(
    fact.name for fact in fields(ModelFacts) if fact.name not in {"slug", "name", "provider", "cost_table", "is_router"}
)
"""What may be filled in later on a model that was listed without it."""
FACTS = (*LEARNABLE, "name", "provider", "is_router")
"""What `write_facts` may change."""


def list_models(
    models: Iterable[ModelFacts], *, now: datetime, actor: User | None = None, by_hand: bool = False
) -> dict[str, LanguageModel]:
    """List the models that are new, fill in what was not known of the others, and return all of them by slug.

    A listed model keeps its cost table: which table it is sold from is the operator's decision. What an operator writes
    (`by_hand`) of a new model is never overwritten.
    """
    wanted = {facts.slug: facts for facts in models}
    with transaction.atomic(using="system"):
        rows = LanguageModel.objects.using("system")
        listed = {row.slug: row for row in rows.filter(slug__in=wanted)}
        new = [_row(facts, now, by_hand) for slug, facts in wanted.items() if slug not in listed]
        rows.bulk_create(new, batch_size=500)
        learned = [row for slug, row in listed.items() if _learn(row, wanted[slug])]
        for row in learned:
            row.updated_at = now
        rows.bulk_update(learned, [*LEARNABLE, "updated_at"], batch_size=500)
        if new or learned:
            write_audit_entry(
                action="models.listed",
                target=new[0].slug if len(new) == 1 else "",
                actor=actor,
                now=now,
                detail={"new": len(new), "completed": len(learned)},
                using="system",
            )
    return listed | {row.slug: row for row in new}


def write_facts(changes: Sequence[tuple[LanguageModel, Mapping[str, Any]]], *, now: datetime) -> None:
    """Put these facts in place of what the rows say. Inside a transaction; whoever calls it says so in the audit log."""
    rows = []
    for row, facts in changes:
        for name, value in facts.items():
            setattr(row, name, value)
        row.updated_at = now
        rows.append(row)
    LanguageModel.objects.using("system").bulk_update(rows, [*FACTS, "updated_at"], batch_size=500)


def edit_model(*, model_id: int, facts: Mapping[str, Any], now: datetime, actor: User | None) -> Collection[str]:
    """An operator writes what is to stand in the fields that differ, for good; an emptied one is left to the feed again.

    Returns the names of the fields that changed.
    """
    with transaction.atomic(using="system"):
        row = LanguageModel.objects.using("system").select_for_update().get(pk=model_id)
        changes = {name: value for name, value in facts.items() if getattr(row, name) != value}
        if not changes:
            return ()
        own = (set(row.own_fields) | set(changes)) - {name for name, value in changes.items() if not value}
        row.own_fields = sorted(own)
        row.save(using="system", update_fields=["own_fields"])
        write_facts([(row, changes)], now=now)
        write_audit_entry(
            action="model.edited",
            target=row.slug,
            actor=actor,
            now=now,
            detail={"fields": sorted(changes)},
            using="system",
        )
    return sorted(changes)


def _row(facts: ModelFacts, now: datetime, by_hand: bool) -> LanguageModel:
    return LanguageModel(
        **{fact.name: getattr(facts, fact.name) for fact in fields(facts)},
        provider_slug=facts.provider_slug,
        page_slug=facts.page_slug,
        own_fields=[name for name in FACTS if getattr(facts, name)] if by_hand else [],
        created_at=now,
    )


def _learn(row: LanguageModel, facts: ModelFacts) -> bool:
    missing = [name for name in LEARNABLE if not getattr(row, name) and getattr(facts, name)]
    for name in missing:
        setattr(row, name, getattr(facts, name))
    return bool(missing)
