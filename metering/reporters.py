"""Whom a reporter may report for: names of organizations and keys to their ids, in bulk, remembered for seconds.

Only what was found is remembered; whoever was created a moment ago is found at once. Looks across tenants, as the `system` role.
"""

import time
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

from django.db.models import Q

from accounts.authentication import Caller, Reporter
from accounts.models import ApiKey, Organization, Source

SECONDS_REMEMBERED = 5.0
MOST_REMEMBERED = 50_000
Name = TypeVar("Name", bound=Hashable)


class NameMemory(Generic[Name]):
    """Ids by name, asked for together and kept for a few seconds."""

    def __init__(self, look_up: Callable[[Collection[Name]], Mapping[Name, int]]) -> None:
        self._look_up = look_up
        self._known: dict[Name, tuple[int, float]] = {}

    def ids(self, names: Collection[Name]) -> dict[Name, int]:
        """The ids of those names that exist."""
        now = time.monotonic()
        known = {name: self._known[name][0] for name in names if self._known.get(name, (0, 0.0))[1] > now}
        missing = [name for name in names if name not in known]
        if missing:
            found = self._look_up(missing)
            if len(self._known) > MOST_REMEMBERED:
                self._known = {}
            self._known.update({name: (number, now + SECONDS_REMEMBERED) for name, number in found.items()})
            known.update(found)
        return known

    def forget(self) -> None:
        self._known = {}


def _organizations_called(slugs: Collection[str]) -> dict[str, int]:
    return dict(Organization.objects.using("system").filter(slug__in=slugs).values_list("slug", "pk"))


def _keys_called(names: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """Keys by (organization, id or prefix). A prefix that two keys of an organization share names neither."""
    texts = {text for _organization_id, text in names}
    numbers = {int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19}
    rows = ApiKey.objects.using("system").filter(
        Q(prefix__in=texts) | Q(pk__in=numbers),
        organization_id__in={organization_id for organization_id, _text in names},
    )
    found: dict[tuple[int, str], set[int]] = {}
    for pk, organization_id, prefix in rows.values_list("pk", "organization_id", "prefix"):
        for text in (str(pk), prefix):
            found.setdefault((organization_id, text), set()).add(pk)
    return {name: min(found[name]) for name in names if len(found.get(name, ())) == 1}


def _sources_called(slugs: Collection[str]) -> dict[str, int]:
    return dict(Source.objects.using("system").filter(slug__in=slugs).values_list("slug", "pk"))


_organizations = NameMemory(_organizations_called)
_keys = NameMemory(_keys_called)
_sources = NameMemory(_sources_called)


def forget() -> None:
    """Ask the database again."""
    for memory in (_organizations, _keys, _sources):
        memory.forget()


def organization_ids(slugs: Collection[str], *, reporter: Caller | Reporter) -> dict[str | None, int]:
    """The organizations among `slugs` that the reporter may report for. An API key's own one also goes without a name."""
    found = _organizations.ids(slugs)
    if isinstance(reporter, Caller):
        own = reporter.organization_id
        return {None: own} | {slug: number for slug, number in found.items() if number == own}
    allowed = reporter.identity.organization_ids
    return {slug: number for slug, number in found.items() if allowed is None or number in allowed}


def key_ids(names: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """API keys by (organization id, the key's id or prefix), revoked ones included: usage may arrive late."""
    return _keys.ids(names) if names else {}


def source_id_of(slug: str) -> int:
    """The id of a built-in source."""
    return _sources.ids([slug])[slug]
