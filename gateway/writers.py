"""The gateway's writes, each kind through one writer of the process that shares a commit among all who wait.

`together` is the hot path's write, by the event loop; what it leaves undecided goes to `reserve` and `record`, threads that decide.
`notes` saves what the upstream calls running answers, `releases` gives back what calls without a charge had held; nobody's first
byte waits for either.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from gateway.writing_in_the_loop import LoopWriter
from gateway.writing_together import Item, Written, write_together
from ledger import holds, questions
from ledger.group_commit import GroupCommit
from ledger.holds import HoldRequest, Refusal
from ledger.questions import HoldNote
from ledger.retrying import with_retries
from metering import recording
from metering.reports import Outcome, UsageReport

SECONDS_TO_GATHER, GATHERS_AFTER = 0.001, 4
"""How long the writers that decide wait for others to share a commit with, while so many calls shared the last one. Who calls alone
never waits."""
SECONDS_TO_GATHER_NOTES = 0.02
"""Nobody waits for a note, so many share a commit; for so long a process that is killed leaves a question without its name."""


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A hold whose call cost nothing."""

    organization_id: int
    hold_id: UUID


class Writers:
    """The process's writers, started by their first use."""

    def __init__(self) -> None:
        self._asking: GroupCommit[Item, Written] = GroupCommit(_write_together, name="gateway-together")
        self.together = LoopWriter(asking=self._asking)
        self.reserve: GroupCommit[HoldRequest, Refusal | None] = GroupCommit(
            holds.reserve,
            name="gateway-reserve",
            seconds_to_gather=SECONDS_TO_GATHER,
            gathers_after=GATHERS_AFTER,
        )
        self.record: GroupCommit[UsageReport, Outcome] = GroupCommit(
            _record, name="gateway-record", seconds_to_gather=SECONDS_TO_GATHER, gathers_after=GATHERS_AFTER
        )
        self.notes: GroupCommit[HoldNote, None] = GroupCommit(
            _note, name="gateway-notes", seconds_to_gather=SECONDS_TO_GATHER_NOTES
        )
        self.releases: GroupCommit[Release, bool] = GroupCommit(_release, name="gateway-releases")

    async def stop(self) -> None:
        """Write what waits and end the threads."""
        await self.together.stop()
        await asyncio.to_thread(self._stop_threads)

    def _stop_threads(self) -> None:
        for writer in (self._asking, self.reserve, self.record, self.notes, self.releases):
            writer.stop(timeout=10.0)


def _write_together(items: Sequence[Item]) -> list[Written]:
    return write_together(items, now=timezone.now())


def _record(reports: Sequence[UsageReport]) -> list[Outcome]:
    return recording.record(reports, now=timezone.now())


def _note(notes: Sequence[HoldNote]) -> list[None]:
    with_retries(lambda: questions.note(notes))
    return [None] * len(notes)


def _release(releases: Sequence[Release]) -> list[bool]:
    now = timezone.now()

    def give_back() -> dict[Release, bool]:
        with transaction.atomic():
            return {
                release: holds.release(organization_id=release.organization_id, hold_id=release.hold_id, now=now)
                for release in sorted(releases)
            }

    released = with_retries(give_back)
    return [released[release] for release in releases]
