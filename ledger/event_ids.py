"""UUIDv7 made in Python: the first 48 bits are the moment that the row is about, so an id alone finds its monthly partition."""

import os
from datetime import UTC, datetime, timedelta
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def _milliseconds(at: datetime) -> int:
    return (at - EPOCH) // MILLISECOND


def new_id(at: datetime) -> UUID:
    """A random UUIDv7 of the moment `at` (RFC 9562: 48 bits of milliseconds, version, 12 random bits, variant, 62 random bits)."""
    random = int.from_bytes(os.urandom(10))
    high = (_milliseconds(at) << 16) | 0x7000 | (random >> 68)
    low = (0b10 << 62) | (random & ((1 << 62) - 1))
    return UUID(int=(high << 64) | low)


def first_id_at(at: datetime) -> UUID:
    """The smallest id of the moment `at`: `first_id_at(a) <= id < first_id_at(b)` selects the rows of [a, b) by primary key."""
    return UUID(int=_milliseconds(at) << 80)


def moment_of(event_id: UUID) -> datetime:
    """The moment of a UUIDv7, to the millisecond."""
    return EPOCH + MILLISECOND * (event_id.int >> 80)
