"""For whom the markup of a price was set, and since when: what a reader is told of the rule behind a number."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from catalog import price_book
from catalog.price_snapshot import ModelEntry, Target, targets_of


class Scope(StrEnum):
    """What a rule names, the most specific first."""

    ORGANIZATION_AND_MODEL = "organization_and_model"
    ORGANIZATION = "organization"
    MODEL = "model"
    PROVIDER = "provider"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class MarkupOrigin:
    scope: Scope
    since: datetime


def markup_origin(*, terms: price_book.Terms, model: ModelEntry, rule_id: int) -> MarkupOrigin | None:
    """The target and beginning of a rule that covers a sale; None for a rule that cannot cover it. From memory."""
    markups = price_book.current().markups
    for target in targets_of(terms.organization_id, model):
        for rule in markups.get(target, ()):
            if rule.id == rule_id:
                return MarkupOrigin(_scope(target), rule.since)
    return None


def _scope(target: Target) -> Scope:
    organization_id, model_id, provider_slug = target
    if organization_id is not None:
        return Scope.ORGANIZATION if model_id is None else Scope.ORGANIZATION_AND_MODEL
    if model_id is not None:
        return Scope.MODEL
    return Scope.PROVIDER if provider_slug else Scope.ALL
