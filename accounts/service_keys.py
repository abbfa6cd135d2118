"""Foreign gateways that report usage: their sources, the organizations that each may report for, and their service keys.

A source reports for several tenants, so everything runs as the `system` role. What is reported counts once per source, whichever of
its keys it came with; so two keys can be at work at a time, and that is how one replaces another.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts.api_keys import SERVICE_PREFIX, SHOWN_LENGTH, KeyRevoked, digest, new_secret
from accounts.audit_log import write_audit_entry
from accounts.models import Organization, ServiceKey, Source, SourceOrganization, User

BUILT_IN = frozenset({Source.GATEWAY, Source.API})
USE_NOTED_EVERY = timedelta(minutes=1)


class BuiltIn(Exception):
    """What we report ourselves needs no service key and is allowed for all organizations."""


class NameInUse(Exception):
    """The source has a working key of this name, or there is a source of this slug."""


class AlreadyReplaced(Exception):
    """The key has a successor and an end already."""


def add_source(
    *, slug: str, name: str, organizations: Collection[Organization] | None, now: datetime, actor: User | None = None
) -> Source:
    """Make a source that may report for these organizations; None means for all, future ones included. Raises NameInUse."""
    with transaction.atomic(using="system"):
        try:
            with transaction.atomic(using="system"):
                source = Source.objects.using("system").create(
                    slug=slug, name=name, all_organizations=organizations is None, created_at=now
                )
        except IntegrityError:
            raise NameInUse(slug) from None
        _allow(source, organizations or ())
        write_audit_entry(
            action="source.added", target=slug, actor=actor, now=now, detail=_permission(organizations), using="system"
        )
    return source


def allow_organizations(
    *, source_id: int, organizations: Collection[Organization] | None, now: datetime, actor: User | None
) -> Source:
    """From now on the source may report for these organizations and no others; what it reported stays. Raises BuiltIn.

    Ingestion obeys within 5 seconds.
    """
    with transaction.atomic(using="system"):
        source = _locked(source_id)
        source.all_organizations = organizations is None
        source.save(update_fields=["all_organizations"])
        allowed = SourceOrganization.objects.using("system").filter(source=source)
        allowed.exclude(organization__in=organizations or ()).delete()
        _allow(source, organizations or ())
        write_audit_entry(
            action="source.organizations_set",
            target=source.slug,
            actor=actor,
            now=now,
            detail=_permission(organizations),
            using="system",
        )
    return source


def issue_service_key(*, source: Source, name: str, now: datetime, actor: User | None = None) -> tuple[ServiceKey, str]:
    """Make a key for a foreign gateway to push usage with, and return it with its secret, which is never to be seen again.

    A name is given to one working key of a source at a time, so a form that is sent twice makes one key. Raises BuiltIn, NameInUse.
    """
    with transaction.atomic(using="system"):
        source = _locked(source.pk)
        if source.service_keys.filter(name=name, revoked_at=None, expires_at=None).exists():
            raise NameInUse(name)
        key, secret = _make(source, name, now=now)
        write_audit_entry(
            action="service_key.issued",
            target=key.prefix,
            actor=actor,
            now=now,
            detail={"source": source.slug, "name": name},
            using="system",
        )
    return key, secret


def rotate_service_key(*, key_id: int, overlap: timedelta, now: datetime, actor: User | None) -> tuple[ServiceKey, str]:
    """Issue the successor of a key and return it with its secret; the key before works on for `overlap`.

    Raises KeyRevoked, AlreadyReplaced.
    """
    with transaction.atomic(using="system"):
        old = ServiceKey.objects.using("system").select_for_update().select_related("source").get(pk=key_id)
        if old.revoked_at is not None:
            raise KeyRevoked
        if old.expires_at is not None:
            raise AlreadyReplaced
        old.expires_at = now + overlap
        old.save(update_fields=["expires_at"])
        key, secret = _make(old.source, old.name, now=now)
        write_audit_entry(
            action="service_key.rotated",
            target=key.prefix,
            actor=actor,
            now=now,
            detail={
                "source": old.source.slug,
                "previous": old.prefix,
                "overlap_hours": int(overlap.total_seconds() // 3600),
            },
            using="system",
        )
    return key, secret


def revoke_service_key(*, key_id: int, now: datetime, actor: User | None, reason: str = "") -> bool:
    """End a key; ingestion refuses it within 5 seconds. False if it had been revoked before: the first moment stays."""
    with transaction.atomic(using="system"):
        keys = ServiceKey.objects.using("system").filter(pk=key_id)
        if not keys.filter(revoked_at=None).update(revoked_at=now):
            return False
        key = keys.select_related("source").get()
        write_audit_entry(
            action="service_key.revoked",
            target=key.prefix,
            actor=actor,
            now=now,
            detail={"source": key.source.slug, "reason": reason},
            using="system",
        )
    return True


def note_use(*, key_id: int, now: datetime) -> None:
    """Remember that a key was used, to the minute, so that whoever replaces it sees when the old one is no longer needed."""
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_NOTED_EVERY)
    ServiceKey.objects.using("system").filter(stale, pk=key_id).update(last_used_at=now)


def _locked(source_id: int) -> Source:
    source = Source.objects.using("system").select_for_update().get(pk=source_id)
    if source.slug in BUILT_IN:
        raise BuiltIn(source.slug)
    return source


def _allow(source: Source, organizations: Collection[Organization]) -> None:
    SourceOrganization.objects.using("system").bulk_create(
        [SourceOrganization(source=source, organization=organization) for organization in organizations],
        ignore_conflicts=True,
    )


def _permission(organizations: Collection[Organization] | None) -> dict[str, object]:
    return {"organizations": "all" if organizations is None else sorted(one.slug for one in organizations)}


def _make(source: Source, name: str, *, now: datetime) -> tuple[ServiceKey, str]:
    secret = new_secret(SERVICE_PREFIX)
    key = ServiceKey.objects.using("system").create(
        source=source, name=name, prefix=secret[:SHOWN_LENGTH], digest=digest(secret), created_at=now
    )
    return key, secret
