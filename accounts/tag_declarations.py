"""Which tags an organization wants its usage summed by: up to three keys, declared for what is recorded from then on.

A declaration is a row that names all of them; the next one ends it, one without keys ends the sums. Rows are never changed: each
recorded event keeps what it was summed under, so a new declaration touches no sum that is there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, TagDeclaration, User
from accounts.tenancy import TenantQuerySet, tenant_scope

MOST_TAGS = 3
LONGEST_KEY = TagDeclaration.LONGEST_KEY
_KEY = re.compile(rf"[^\x00-\x1f\x7f\ud800-\udfff=*]{{1,{LONGEST_KEY}}}")


class InvalidTagKeys(ValueError):
    """These keys cannot be declared; the message says why, in the reader's language."""


@dataclass(frozen=True, slots=True)
class Declared:
    """That a key is or was declared: [since, until), None while it still is."""

    key: str
    since: datetime
    until: datetime | None


def check_tag_keys(keys: Sequence[str]) -> list[str]:
    """The keys, if they can be declared. Raises InvalidTagKeys.

    "=" and "*" are what rollups write behind a key (`metering/rollup_tags.py`), so no key has them.
    """
    if len(keys) > MOST_TAGS:
        raise InvalidTagKeys(_("At most %(most)s tags can be declared.") % {"most": MOST_TAGS})
    if len(set(keys)) < len(keys):
        raise InvalidTagKeys(_("Each tag can be declared once only."))
    for key in keys:
        if key != key.strip() or not _KEY.fullmatch(key):
            raise InvalidTagKeys(
                _("A tag has 1 to %(longest)s characters, none of them = or *, and no space around it.")
                % {"longest": LONGEST_KEY}
            )
    return list(keys)


def declare_tags(
    *, organization: Organization, keys: Sequence[str], actor: User | None, now: datetime
) -> TagDeclaration | None:
    """Sum by these keys what is recorded from now on; the same keys again change nothing. Raises InvalidTagKeys.

    Returns the declaration that is in force, None where there never was one.
    """
    wanted = check_tag_keys(keys)
    with tenant_scope([organization.pk]):
        Organization.objects.select_for_update().get(pk=organization.pk)
        last = _declarations(organization).last()
        before = last.keys if last else []
        if wanted == before:
            return last
        declared = TagDeclaration.objects.create(
            organization=organization, keys=wanted, declared_at=now, declared_by=actor
        )
        write_audit_entry(
            action="tags.declared",
            target=organization.slug,
            organization=organization,
            actor=actor,
            now=now,
            detail={"keys": wanted, "before": before},
        )
    return declared


def declared_tags(organization: Organization) -> list[str]:
    """The keys that are declared now, in their order. Needs the tenant's scope."""
    last = _declarations(organization).last()
    return last.keys if last else []


def history_of_tags(organization: Organization) -> list[Declared]:
    """Every key with the times for which it was declared, without breaks, oldest first. Needs the tenant's scope."""
    rows = list(_declarations(organization))
    ended: list[Declared] = []
    running: dict[str, datetime] = {}
    for row in rows:
        for key in running.keys() - set(row.keys):
            ended.append(Declared(key, running.pop(key), row.declared_at))
        for key in row.keys:
            running.setdefault(key, row.declared_at)
    ended += [Declared(key, since, None) for key, since in running.items()]
    return sorted(ended, key=lambda one: (one.since, one.key))


def _declarations(organization: Organization) -> TenantQuerySet[TagDeclaration]:
    return TagDeclaration.objects.for_organization(organization).order_by("pk")
