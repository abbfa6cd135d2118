"""A secret is given a successor while the one before still works."""

from datetime import datetime, timedelta
from typing import Protocol

SENT_AGAIN = timedelta(minutes=1)


class Rotated(Protocol):
    """What has a secret, and for a while the one before."""

    rotated_at: datetime | None
    previous_until: datetime | None


def is_sent_again(row: Rotated, *, now: datetime) -> bool:
    """Whether a rotation comes so soon after the last one, whose overlap runs, that it is the same wish: a click too many, or a
    program that heard no answer. Nobody has had the time to give the new secret to programs.
    """
    if row.rotated_at is None or row.previous_until is None:
        return False
    return row.previous_until > now and now < row.rotated_at + SENT_AGAIN
