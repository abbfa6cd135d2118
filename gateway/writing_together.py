"""The hot path's shared write: holds of calls that begin and usage of calls that end, in one transaction of one message.

Nearly every call needs no decision between asking and writing (`holds.reserving_what_fits`, `recording_at_once`), so whatever waits
shares a commit, whichever end of a call it is. What does need one, or did not go through, is UNDECIDED: its caller then asks the
writer that decides, which waits and tries again as it must (docs/decisions/0043).
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto

from django.db import Error, close_old_connections

from accounts.round_trips import Step, in_tenant_scope
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
Written = Outcome | Undecided | None
"""Of a hold None, which is yes; of a report its outcome."""


def write_together(items: Sequence[HoldRequest | UsageReport], *, now: datetime) -> list[Written]:
    """Commit what can be committed without a decision; an answer for each item, in their order. Never raises for the database."""
    try:
        return _write(items, now=now)
    except (Error, MonthArchived) as error:
        logger.info(
            "shared write failed, writing apart", extra={"items": len(items), "error_type": type(error).__name__}
        )
        recording_at_once.forget({item.organization_id for item in items})
        close_old_connections()
        return [UNDECIDED] * len(items)


def _write(items: Sequence[HoldRequest | UsageReport], *, now: datetime) -> list[Written]:
    requests = holds.without_decisions([item for item in items if isinstance(item, HoldRequest)])
    foreseen = recording_at_once.foresee(
        [item for item in items if isinstance(item, UsageReport)],
        now=now,
        also_locked={request.organization_id for request in requests},
    )
    steps: list[Step] = [*foreseen.steps]
    if requests:
        steps.append(holds.reserving_what_fits(requests))
    if not steps:
        return [UNDECIDED] * len(items)
    rows = in_tenant_scope(sorted({item.organization_id for item in items}), steps)
    held = holds.reserved_in(rows[-1]) if requests else frozenset()
    outcomes = iter(foreseen.outcomes)
    return [
        (None if item.id in held else UNDECIDED) if isinstance(item, HoldRequest) else next(outcomes) or UNDECIDED
        for item in items
    ]
