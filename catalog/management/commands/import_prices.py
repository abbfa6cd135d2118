"""`manage.py import_prices`: fetch the price list now, or take one from a file; says what changed and what waits for a decision."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from catalog.feed import files, running
from catalog.feed.fetching import MOST_BYTES, Unreachable
from catalog.feed.importing import Imported, import_snapshot, preview_snapshot
from catalog.feed.outcomes import Outcome, remember_failure
from catalog.feed.snapshot import FeedEntry, Snapshot, SnapshotRefused
from catalog.models import CostTable
from catalog.publishing import LEAD
from pricing.cost_changes import CostChange
from pricing.exact import exact_product
from pricing.tokens import PIECE_CLASSES

MOST_SHOWN = 50
MILLION = 1_000_000
COUNTS = {
    "new": "new",
    "changed": "changed",
    "unchanged": "unchanged",
    "quarantined": "wait for a decision",
    "quarantined_before": "decided or waiting before",
    "withdrawn": "withdrawn by the list",
    "missing": "missing from the list",
    "described": "described anew",
    "sold_elsewhere": "sold from another table",
    "left_out": "left out",
    "approved": "approved with the list",
}


class Command(BaseCommand):
    help = "Import a price list: the one that PRICE_FEED_URL names, or a file. Exits 1 if it is refused; then no price has changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--file", type=Path, help="a recorded list (OpenRouter's JSON) or a CSV, instead of fetching"
        )
        parser.add_argument("--table", help="slug of the cost table that a file fills; without it the feed's own")
        parser.add_argument(
            "--at", type=_moment, help="with --file: from when its prices hold (ISO 8601); else from now on"
        )
        parser.add_argument("--dry-run", action="store_true", help="show what would happen and change nothing")
        parser.add_argument(
            "--approve-quarantined",
            action="store_true",
            help="with --file: put in force what would wait for a decision",
        )
        parser.add_argument(
            "--yes",
            action="store_true",
            help="with --file: do not ask before importing; needed where no terminal can be asked",
        )

    def handle(self, *args: Any, file: Path | None, **options: Any) -> None:
        try:
            imported = self._import_file(file, options) if file else self._fetch(options)
        except (SnapshotRefused, Unreachable, running.NoFeed) as fault:
            raise CommandError(f"Not imported; the prices stay as they were. {fault}") from None
        if imported is None:
            self.stdout.write("The source says that nothing changed since the last import.")
        elif not options["dry_run"]:
            self._show(imported)

    def _fetch(self, options: dict[str, Any]) -> Imported | None:
        wrong = [name for name in ("table", "at", "approve_quarantined") if options[name]]
        if wrong:
            raise CommandError(f"--{wrong[0].replace('_', '-')} goes with --file only.")
        if not options["dry_run"]:
            return running.import_feed(clock=timezone.now)
        preview = running.preview_feed(clock=timezone.now)
        self._show(preview)
        return preview

    def _import_file(self, file: Path, options: dict[str, Any]) -> Imported:
        if not (options["yes"] or options["dry_run"] or sys.stdin.isatty()):
            raise CommandError(
                "Nobody can be asked here: give --yes to import the file, or --dry-run to see what it would do."
            )
        now, at = timezone.now(), options["at"]
        cost_table = _cost_table(options["table"])
        try:
            snapshot = files.read_price_file(_content(file), name=file.name)
        except SnapshotRefused as refusal:
            if not options["dry_run"]:
                remember_failure(cost_table=cost_table, reason=str(refusal), outcome=Outcome.REFUSED, now=now)
            raise
        if options["dry_run"] or not options["yes"]:
            preview = preview_snapshot(cost_table=cost_table, snapshot=snapshot, at=at or now + LEAD)
            self._show(preview)
            if options["dry_run"]:
                return preview
            self._ask(cost_table)
        return self._import(cost_table, snapshot, file, options)

    def _import(self, cost_table: CostTable, snapshot: Snapshot, file: Path, options: dict[str, Any]) -> Imported:
        return import_snapshot(
            cost_table=cost_table,
            snapshot=snapshot,
            origin=f"file {file.name}"[:100],
            clock=timezone.now,
            effective_from=options["at"],
            approve=options["approve_quarantined"],
        )

    def _ask(self, cost_table: CostTable) -> None:
        if input(f"Import this into {cost_table.name}? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Not imported.")

    def _show(self, imported: Imported) -> None:
        found = imported.comparison
        for change in found.first[:MOST_SHOWN]:
            self.stdout.write(f"  new      {change.entry.slug}: {_prices(change.entry)}")
        for change in found.changed[:MOST_SHOWN]:
            self.stdout.write(f"  changed  {change.entry.slug}: {_told(change.changes)}")
        for doubtful in found.doubtful[:MOST_SHOWN]:
            fault = doubtful.entry.fault if doubtful.entry else ""
            why = _told(doubtful.changes) or fault or ("" if doubtful.before else _prices(doubtful.entry))
            self.stdout.write(f"  waits    {doubtful.slug}: {doubtful.doubt}{f' ({why})' if why else ''}")
        for name, text in COUNTS.items():
            count = imported.counts[name]
            if count or name in ("new", "changed", "unchanged", "quarantined"):
                self.stdout.write(f"{count:>6}  {text}")
        if found.first or found.changed:
            self.stdout.write(f"In force from {imported.effective_from.isoformat(timespec='seconds')}.")


def _told(changes: Sequence[CostChange]) -> str:
    return ", ".join(
        f"{one.token_class.value} {_cost(one.before)} → {_cost(one.after)}{_percent(one)}" for one in changes
    )


def _prices(entry: FeedEntry | None) -> str:
    """A model's first prices, per million tokens, so that a decimal point in the wrong place shows."""
    if entry is None or entry.sheet is None:
        return ""
    return ", ".join(
        f"{token_class.value} ${_cost(cost)} each"
        if token_class in PIECE_CLASSES
        else f"{token_class.value} ${_cost(exact_product(cost, MILLION))} / 1M"
        for token_class, cost in entry.sheet.base.items()
    )


def _cost(cost: Any) -> str:
    return "–" if cost is None else format(cost.normalize(), "f")


def _percent(change: CostChange) -> str:
    return "" if change.share is None else f" ({float(change.share):+.0%})"


def _cost_table(slug: str | None) -> CostTable:
    if slug is None:
        return running.feed_table()
    cost_table = CostTable.objects.using("system").filter(slug=slug).first()
    if cost_table is None:
        known = ", ".join(CostTable.objects.using("system").order_by("slug").values_list("slug", flat=True))
        raise CommandError(f"There is no cost table {slug!r}. There are: {known or 'none yet'}.")
    return cost_table


def _content(file: Path) -> bytes:
    """No more of it than can be imported."""
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    except OSError as fault:
        raise CommandError(f"{file} cannot be read: {fault.strerror}.") from None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
