"""The hot path's shared write: holds of calls that begin and usage of calls that end, in one transaction of one message.

Nearly every call needs no decision between asking and writing (`holds.reserving_what_fits`, `recording_at_once`), so whatever waits
shares a commit, whichever end of a call it is. What does need one, or did not go through, is UNDECIDED: its caller then asks the
writer that decides, which waits and tries again as it must (docs/decisions/0043). The event loop sends the message itself
(`writing_in_the_loop`, docs/decisions/0045).
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

import psycopg
from django.db import Error, close_old_connections

from accounts.round_trips import Rows, Step, in_tenant_scope
from ledger import holds
from ledger.holds import HoldRequest
from ledger.partitions import MonthArchived
from metering import recording_at_once
from metering.reports import Outcome, UsageReport

logger = logging.getLogger(__name__)


class Undecided(Enum):
    """Nothing is known to be committed."""

    UNDECIDED = auto()


UNDECIDED = Undecided.UNDECIDED
Item = HoldRequest | UsageReport
Written = Outcome | Undecided | None
"""Of a hold None, which is yes; of a report its outcome."""


@dataclass(frozen=True, slots=True)
class Write:
    """What one transaction does for some items. Without `steps` there is nothing to do."""

    items: Sequence[Item]
    steps: Sequence[Step]
    _outcomes: Sequence[Outcome | None]
    _reserves: bool

    @property
    def organization_ids(self) -> list[int]:
        """Whose rows are touched."""
        return organizations_of(self.items)

    def answers(self, rows: Sequence[Rows]) -> list[Written]:
        """An answer for each item, in their order, of what the committed steps returned."""
        held = holds.reserved_in(rows[-1]) if self._reserves else frozenset()
        outcomes = iter(self._outcomes)
        return [
            (None if item.id in held else UNDECIDED) if isinstance(item, HoldRequest) else next(outcomes) or UNDECIDED
            for item in self.items
        ]


def organizations_of(items: Iterable[Item]) -> list[int]:
    """Their ids, in order."""
    return sorted({item.organization_id for item in items})


def foresee(items: Sequence[Item], *, now: datetime) -> Write:
    """How these items are written. Asks the database for what this process does not know yet. Raises Error, MonthArchived."""
    requests = holds.without_decisions([item for item in items if isinstance(item, HoldRequest)])
    foreseen = recording_at_once.foresee(
        [item for item in items if isinstance(item, UsageReport)],
        now=now,
        also_locked={request.organization_id for request in requests},
    )
    steps: list[Step] = [*foreseen.steps]
    if requests:
        steps.append(holds.reserving_what_fits(requests))
    return Write(items, steps, foreseen.outcomes, bool(requests))


def write_together(items: Sequence[Item], *, now: datetime) -> list[Written]:
    """Commit what can be committed without a decision; an answer for each item, in their order. Never raises for the database."""
    try:
        write = foresee(items, now=now)
        return write.answers(in_tenant_scope(write.organization_ids, write.steps)) if write.steps else undecided(items)
    except (Error, MonthArchived) as error:
        close_old_connections()
        return failed(items, error)


def failed(items: Sequence[Item], error: Exception) -> list[Written]:
    """The answers after an error; whatever was believed of these organizations is asked again."""
    expected = isinstance(error, (Error, psycopg.Error, MonthArchived))
    logger.log(
        logging.INFO if expected else logging.ERROR,
        "shared write failed, writing apart",
        extra={"items": len(items), "error_type": type(error).__name__},
        exc_info=None if expected else error,
    )
    recording_at_once.forget(organizations_of(items))
    return undecided(items)


def undecided(items: Sequence[Item]) -> list[Written]:
    """When nothing was written."""
    return [UNDECIDED] * len(items)
