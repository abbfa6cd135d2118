"""An operator says which servers there are and which models they serve: checked, written, audited, as the `system` role.

Addresses are those that the environment allows (`UPSTREAM_URLS`), and keys are named, never entered: whoever gets into the console
can neither send calls to a server of his own nor read a secret.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User
from catalog.models import LanguageModel, ModelRoute, Upstream

EDITABLE = (
    "name", "kind", "base_url", "key_variable", "enabled", "connect_seconds", "first_byte_seconds", "chunk_seconds",
    "total_seconds", "connections",
)  # fmt: skip
"""Its ID stays, because calls name it, and so does its cost table, because its routes were checked against it."""


class AddressNotAllowed(ValueError):
    """The environment does not allow calls to this address."""


class UnknownVariable(ValueError):
    """No environment variable of that name may hold an upstream's key."""


class NameInUse(ValueError):
    """Another upstream has this ID, or the model a route to this upstream."""


class OtherCostTable(ValueError):
    """The model is sold from another cost table than the upstream is charged by."""


class TooPatient(ValueError):
    """A call could outlive its hold."""


def add_upstream(
    *, slug: str, cost_table_id: int, facts: Mapping[str, Any], now: datetime, actor: User | None
) -> Upstream:
    """A new upstream. `facts` are the EDITABLE ones. Raises AddressNotAllowed, UnknownVariable, TooPatient, NameInUse."""
    check(facts)
    with transaction.atomic(using="system"):
        row = Upstream(slug=slug, cost_table_id=cost_table_id, created_at=now, updated_at=now, **facts)
        _save(row)
        _note("upstream.added", row.slug, dict(facts), now=now, actor=actor)
    return row


def edit_upstream(*, upstream_id: int, facts: Mapping[str, Any], now: datetime, actor: User | None) -> bool:
    """Put these facts in place of what the row says; False if it says so already. Raises as `add_upstream` does."""
    check(facts)
    with transaction.atomic(using="system"):
        row = Upstream.objects.using("system").select_for_update().get(pk=upstream_id)
        changes = _change(row, facts, now=now)
        if changes:
            _note("upstream.edited", row.slug, changes, now=now, actor=actor)
    return bool(changes)


def check(facts: Mapping[str, Any]) -> None:
    """Whether an upstream may be so. Raises AddressNotAllowed, UnknownVariable, TooPatient."""
    if not is_address_allowed(facts["base_url"]):
        raise AddressNotAllowed(facts["base_url"])
    if not may_hold_key(facts["key_variable"]):
        raise UnknownVariable(facts["key_variable"])
    if (facts.get("total_seconds") or 0) >= settings.HOLD_SECONDS:
        raise TooPatient


def is_address_allowed(base_url: str) -> bool:
    """Whether the environment lets us send calls there."""
    return base_url in settings.UPSTREAM_URLS


def may_hold_key(variable: str) -> bool:
    """Whether the environment variable may hold an upstream's key; an upstream may do without one."""
    return not variable or settings.UPSTREAM_KEY_VARIABLE.fullmatch(variable) is not None


def add_route(
    *,
    upstream_id: int,
    language_model_id: int | None,
    upstream_model: str,
    priority: int,
    now: datetime,
    actor: User | None,
) -> ModelRoute:
    """Have the upstream serve a model (None: all of its cost table). Raises OtherCostTable, NameInUse."""
    with transaction.atomic(using="system"):
        upstream = Upstream.objects.using("system").select_for_update().get(pk=upstream_id)
        check_cost_table(upstream, language_model_id)
        row = ModelRoute(
            upstream=upstream,
            language_model_id=language_model_id,
            upstream_model=upstream_model if language_model_id else "",
            priority=priority,
            created_at=now,
            updated_at=now,
        )
        _save(row)
        detail = {"model": str(row.language_model or "*"), "upstream_model": row.upstream_model, "priority": priority}
        _note("route.added", upstream.slug, detail, now=now, actor=actor)
    return row


def check_cost_table(upstream: Upstream, language_model_id: int | None) -> None:
    """Raises OtherCostTable if the upstream's calls would be charged by another list than the model's price stands in."""
    if language_model_id is None:
        return
    model = LanguageModel.objects.using("system").get(pk=language_model_id)
    if model.cost_table_id != upstream.cost_table_id:
        raise OtherCostTable(model.slug)


def edit_route(
    *, route_id: int, upstream_model: str, priority: int, enabled: bool, now: datetime, actor: User | None
) -> bool:
    """Change a route's name there, its priority or whether it is in use; False if it is so already."""
    facts = {"upstream_model": upstream_model, "priority": priority, "enabled": enabled}
    with transaction.atomic(using="system"):
        row = ModelRoute.objects.using("system").select_for_update(of=("self",)).get(pk=route_id)
        if row.language_model_id is None:
            facts["upstream_model"] = ""
        changes = _change(row, facts, now=now)
        if changes:
            detail = {"model": str(row.language_model or "*"), **changes}
            _note("route.edited", row.upstream.slug, detail, now=now, actor=actor)
    return bool(changes)


def _change(row: Upstream | ModelRoute, facts: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Save those of the facts that are new, and say which these are."""
    changes = {name: value for name, value in facts.items() if getattr(row, name) != value}
    if changes:
        for name, value in changes.items():
            setattr(row, name, value)
        row.updated_at = now
        _save(row)
    return changes


def _save(row: Upstream | ModelRoute) -> None:
    try:
        with transaction.atomic(using="system"):
            row.save(using="system")
    except IntegrityError:
        raise NameInUse(str(row)) from None


def _note(action: str, target: str, detail: dict[str, Any], *, now: datetime, actor: User | None) -> None:
    write_audit_entry(action=action, target=target, actor=actor, now=now, detail=detail, using="system")
