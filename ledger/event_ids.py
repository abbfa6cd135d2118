"""UUIDv7 made in Python: the first 48 bits are the moment that the row is about, so an id alone finds its monthly partition."""

import os
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def _milliseconds(at: datetime) -> int:
    return (at - EPOCH) // MILLISECOND


def new_id(at: datetime) -> UUID:
    """A random UUIDv7 of the moment `at` (RFC 9562: 48 bits of milliseconds, version, 12 random bits, variant, 62 random bits)."""
    return _version_7(_milliseconds(at), os.urandom(10))


def derived_id(event_id: UUID, purpose: str) -> UUID:
    """The one UUIDv7 that follows from `event_id` for `purpose`: the same moment, and a hash where others are random.

    A row that may be there once for each event gets such an id: its primary key is what refuses the second.
    """
    return _version_7(event_id.int >> 80, blake2b(event_id.bytes + purpose.encode(), digest_size=10).digest())


def _version_7(milliseconds: int, rest: bytes) -> UUID:
    bits = int.from_bytes(rest)
    high = (milliseconds << 16) | 0x7000 | (bits >> 68)
    low = (0b10 << 62) | (bits & ((1 << 62) - 1))
    return UUID(int=(high << 64) | low)


def first_id_at(at: datetime) -> UUID:
    """The smallest id of the moment `at`: `first_id_at(a) <= id < first_id_at(b)` selects the rows of [a, b) by primary key."""
    return UUID(int=_milliseconds(at) << 80)


def ids_of_month(month: date) -> tuple[UUID, UUID]:
    """Where the ids of a UTC month, which its first day names, begin and end: the bounds of its partition, half-open."""
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    return first_id_at(start), first_id_at((start + timedelta(days=31)).replace(day=1))


def moment_of(event_id: UUID) -> datetime:
    """The moment of a UUIDv7, to the millisecond."""
    return EPOCH + MILLISECOND * (event_id.int >> 80)
