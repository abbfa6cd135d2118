"""Issue, find, rotate and revoke the secrets that programs carry: `idk_live_…` (API keys); find `isk_live_…` (service keys).

A secret is a prefix, 32 base-62 characters (190 random bits) and 6 characters of checksum, so that a mistyped key is
refused without a look at the database. Only its SHA-256 digest is stored.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from accounts.audit_log import write_audit_entry
from accounts.models import ApiKey, Organization, Role, Scope, ServiceKey, SourceOrganization, User
from accounts.organizations import keep_from_ending
from accounts.rotating import is_sent_again

ALPHABET = string.digits + string.ascii_letters
RANDOM_LENGTH, CHECKSUM_LENGTH, SHOWN_LENGTH = 32, 6, 13
API_PREFIX, SERVICE_PREFIX = "idk_live_", "isk_live_"
DEFAULT_SCOPES = (Scope.INFERENCE, Scope.USAGE_READ)
"""Of a new key, if nothing else is said: whoever only calls models has no use for writing usage, whose amounts are charged."""
ROLES_THAT_MANAGE_KEYS = frozenset({Role.OWNER, Role.ADMIN, Role.DEVELOPER})


class KeyRevoked(Exception):
    """A revoked key gets no new secret: make another key."""


class InvalidKey(Exception):
    """The secret is unknown, mistyped, revoked or expired. The message never says which of the stored ones it resembles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyIdentity:
    """Whom a valid API key speaks for, with all that admission needs, so that it can be cached for seconds."""

    api_key_id: int
    organization_id: int
    organization_slug: str
    organization_status: str
    zone: str
    currency: str
    exchange_policy: str
    scopes: frozenset[str]
    allowed_models: frozenset[str]
    expires_at: datetime | None
    key_requests: int | None = None
    key_tokens: int | None = None
    organization_requests: int | None = None
    organization_tokens: int | None = None
    """Limits a minute; None: the key has none of its own, the organization what the settings say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceIdentity:
    """The source a valid service key belongs to, and the organizations it may report for; None means all."""

    service_key_id: int
    source_id: int
    source_slug: str
    organization_ids: frozenset[int] | None


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _unused in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)


def new_secret(prefix: str) -> str:
    """A fresh random secret with its checksum."""
    body = prefix + "".join(secrets.choice(ALPHABET) for _unused in range(RANDOM_LENGTH))
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Whether `secret` could be one of ours: prefix, length and checksum."""
    if (
        not secret.startswith((API_PREFIX, SERVICE_PREFIX))
        or len(secret) != len(API_PREFIX) + RANDOM_LENGTH + CHECKSUM_LENGTH
    ):
        return False
    return secrets.compare_digest(_checksum(secret[:-CHECKSUM_LENGTH]).encode(), secret[-CHECKSUM_LENGTH:].encode())


def digest(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def issue_api_key(
    *,
    organization: Organization,
    name: str,
    now: datetime,
    created_by: User | None = None,
    scopes: Collection[str] = DEFAULT_SCOPES,
    allowed_models: Collection[str] = (),
    expires_at: datetime | None = None,
    using: str = "default",
) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret, which is never to be seen again. Raises HasEnded."""
    keep_from_ending(organization.pk, using=using)
    secret = new_secret(API_PREFIX)
    key = ApiKey.objects.using(using).create(
        organization=organization,
        name=name,
        prefix=secret[:SHOWN_LENGTH],
        digest=digest(secret),
        created_at=now,
        created_by=created_by,
        scopes=sorted(scopes),
        allowed_models=sorted(allowed_models),
        expires_at=expires_at,
    )
    write_audit_entry(
        action="api_key.issued", target=key.prefix, organization=organization, actor=created_by, now=now, using=using
    )
    return key, secret


def revoke_api_key(*, key: ApiKey, now: datetime, actor: User | None) -> None:
    """End a key; every process refuses it within 5 seconds. Revoking twice keeps the first moment."""
    if ApiKey.objects.filter(pk=key.pk, organization_id=key.organization_id, revoked_at=None).update(revoked_at=now):
        write_audit_entry(
            action="api_key.revoked", target=key.prefix, organization=key.organization, actor=actor, now=now
        )


def rotate_api_key(*, key: ApiKey, overlap: timedelta, now: datetime, actor: User | None) -> str:
    """Give a key a new secret and return it; the one before works on for `overlap`, an even earlier one ends now.

    Where the same wish is sent again, what programs use works on, and what the first answer gave ends.
    The key stays the same row, so its usage, models and spend limits go on without a break. Raises KeyRevoked.
    """
    locked = ApiKey.objects.for_organization(key.organization_id).select_for_update().get(pk=key.pk)
    if locked.revoked_at is not None:
        raise KeyRevoked
    secret = new_secret(API_PREFIX)
    kept = overlap > timedelta(0)
    detail = {"previous": locked.prefix, "overlap_hours": int(overlap.total_seconds() // 3600)}
    if not (kept and is_sent_again(locked, now=now)):
        locked.previous_prefix = locked.prefix if kept else ""
        locked.previous_digest = locked.digest if kept else None
    locked.previous_until = now + overlap if kept else None
    locked.prefix, locked.digest, locked.rotated_at = secret[:SHOWN_LENGTH], digest(secret), now
    locked.save()
    write_audit_entry(
        action="api_key.rotated",
        target=locked.prefix,
        organization=key.organization,
        actor=actor,
        now=now,
        detail=detail,
    )
    return secret


def end_overlap(*, key: ApiKey, now: datetime, actor: User | None) -> bool:
    """End the secret before the last rotation ahead of time. False if it has ended already."""
    running = ApiKey.objects.filter(pk=key.pk, organization_id=key.organization_id, previous_until__gt=now)
    if not running.update(previous_prefix="", previous_digest=None, previous_until=None):
        return False
    write_audit_entry(
        action="api_key.overlap_ended",
        target=key.previous_prefix,
        organization=key.organization,
        actor=actor,
        now=now,
    )
    return True


def identify_api_key(secret: str, *, now: datetime) -> KeyIdentity:
    """Whom `secret` speaks for. Raises InvalidKey. Looks in all organizations, hence as the `system` role."""
    if not is_well_formed(secret):
        raise InvalidKey
    name = digest(secret)
    keys = ApiKey.objects.using("system").select_related("organization")
    key = keys.filter(Q(digest=name) | Q(previous_digest=name)).first()
    if key is None or not _is_valid(key, now=now):
        raise InvalidKey
    organization = key.organization
    expires_at = min(filter(None, (key.expires_at, organization.closes_at)), default=None)
    if bytes(key.digest) != name:
        expires_at = min(filter(None, (key.previous_until, expires_at)))
    if expires_at is not None and expires_at <= now:
        raise InvalidKey
    return KeyIdentity(
        api_key_id=key.pk,
        organization_id=organization.pk,
        organization_slug=organization.slug,
        organization_status=organization.status,
        zone=organization.zone,
        currency=organization.billing_currency,
        exchange_policy=organization.exchange_policy,
        scopes=frozenset(key.scopes),
        allowed_models=frozenset(key.allowed_models),
        expires_at=expires_at,
        key_requests=key.requests_per_minute,
        key_tokens=key.tokens_per_minute,
        organization_requests=organization.requests_per_minute,
        organization_tokens=organization.tokens_per_minute,
    )


def identify_service_key(secret: str, *, now: datetime) -> ServiceIdentity:
    """The source that `secret` belongs to. Raises InvalidKey."""
    if not is_well_formed(secret):
        raise InvalidKey
    key = ServiceKey.objects.using("system").select_related("source").filter(digest=digest(secret)).first()
    if key is None or not _is_valid(key, now=now):
        raise InvalidKey
    allowed = None
    if not key.source.all_organizations:
        permissions = SourceOrganization.objects.using("system").filter(source=key.source)
        allowed = frozenset(permissions.values_list("organization_id", flat=True))
    return ServiceIdentity(
        service_key_id=key.pk, source_id=key.source.pk, source_slug=key.source.slug, organization_ids=allowed
    )


def _is_valid(key: ApiKey | ServiceKey, *, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)
