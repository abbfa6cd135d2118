"""Put models on the list of what is sold, as the `system` role. What is known of a listed model already is never overwritten."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import date, datetime

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


def list_models(models: Iterable[ModelFacts], *, now: datetime, actor: User | None = None) -> dict[str, LanguageModel]:
    """List the models that are new, fill in what was not known of the others, and return all of them by slug.

    A listed model keeps its cost table: which table it is sold from is the operator's decision.
    """
    wanted = {facts.slug: facts for facts in models}
    with transaction.atomic(using="system"):
        rows = LanguageModel.objects.using("system")
        listed = {row.slug: row for row in rows.filter(slug__in=wanted)}
        new = [_row(facts, now) for slug, facts in wanted.items() if slug not in listed]
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


def _row(facts: ModelFacts, now: datetime) -> LanguageModel:
    return LanguageModel(
        **{fact.name: getattr(facts, fact.name) for fact in fields(facts)},
        provider_slug=facts.provider_slug,
        page_slug=facts.page_slug,
        created_at=now,
    )


def _learn(row: LanguageModel, facts: ModelFacts) -> bool:
    missing = [name for name in LEARNABLE if not getattr(row, name) and getattr(facts, name)]
    for name in missing:
        setattr(row, name, getattr(facts, name))
    return bool(missing)
