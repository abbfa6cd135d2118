"""`manage.py close_period --period 2026-10`: invoice a month by Celery jobs, with progress; `--dry-run` shows what would be."""

import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from kombu.exceptions import OperationalError

from billing import auditing, cycle, sellers, tasks
from billing.cycle import DuePeriod
from billing.finalizing import is_invoiced
from billing.models import Invoice, InvoiceDraft
from billing.period_charges import PeriodCharges
from ledger.models import BillingPeriod
from pricing.totals import MINOR_UNITS

GLANCE_SECONDS, STALLED_SECONDS, PING_SECONDS = 0.2, 5.0, 1.0
NO_WORKER = (
    "No worker answers. Start one with `celery -A config worker` (`make run` starts one); the jobs wait for it in the queue. "
    "Waiting on; Ctrl-C stops only the waiting."
)
DRAFT = "a draft, which an operator reviews"
NOTHING = "Nothing to close: no organization has an open period in {month}."
NO_INVOICE = "nothing to charge, no invoice"


class Command(BaseCommand):
    help = "Close a month for every organization and finalize its invoices. Running it again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--period", required=True, metavar="YYYY-MM", help="the month, in each organization's time zone"
        )
        parser.add_argument("--dry-run", action="store_true", help="show what would be invoiced, write nothing")
        parser.add_argument(
            "--timeout", type=float, default=600, metavar="SECONDS", help="how long to wait for the workers"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        month: str = options["period"]
        try:
            sellers.current_seller(now=now)
            if options["dry_run"]:
                self._preview(month, now=now)
            else:
                self._close(cycle.periods_of_month(month, now=now), month, timeout=options["timeout"])
        except (cycle.UnknownMonth, sellers.NoSeller) as error:
            raise CommandError(str(error)) from None

    def _preview(self, month: str, *, now: datetime) -> None:
        found = cycle.preview_month(month, now=now)
        for period, charges in found:
            self.stdout.write(f"{period.organization_slug:<30} {_preview_text(charges, period.currency)}")
        told = f"{len(found)} period(s) would be closed; nothing was written."
        self.stdout.write(told if found else NOTHING.format(month=month))

    def _close(self, due: Sequence[DuePeriod], month: str, *, timeout: float) -> None:
        if not due:
            self.stdout.write(NOTHING.format(month=month))
            return
        unclean = self._unclean(due)
        clean = [period for period in due if period not in unclean]
        if clean:
            self._ring(clean)
            self._wait(clean, timeout=timeout)
            self._report(clean)
        if unclean:
            raise CommandError(_refused(unclean, closed=len(clean)))

    def _unclean(self, due: Sequence[DuePeriod]) -> dict[DuePeriod, str]:
        """The jobs look too; here it is said at once."""
        try:
            return cycle.left_open(due, now=timezone.now())
        except auditing.AuditRunning as error:
            raise CommandError(f"Nothing was closed. {error}") from None

    def _ring(self, due: Sequence[DuePeriod]) -> None:
        try:
            for chunk in cycle.chunks(due):
                tasks.close_periods.apply_async(kwargs={"periods": chunk}, retry=False)
        except OperationalError:
            raise CommandError(
                "The broker (REDIS_URL) cannot be reached, so no worker can be asked. Nothing is lost: run this again."
            ) from None

    def _wait(self, due: Sequence[DuePeriod], *, timeout: float) -> None:
        started = progressed = time.monotonic()
        shown, warned = -1, False
        try:
            while (closed := _closed(due)) < len(due):
                now = time.monotonic()
                if closed != shown:
                    self._show(closed, len(due))
                    shown, progressed = closed, now
                if now - progressed > STALLED_SECONDS and not warned:
                    warned = True
                    if not current_app.control.ping(timeout=PING_SECONDS):
                        self.stderr.write(f"\n{NO_WORKER}")
                if now - started > timeout:
                    raise CommandError(_unfinished(due))
                time.sleep(GLANCE_SECONDS)
        except KeyboardInterrupt:
            raise CommandError(
                "Waiting was stopped, the jobs go on. Run this again to see what became of them."
            ) from None
        self._show(len(due), len(due))
        self.stdout.write("")

    def _show(self, closed: int, of: int) -> None:
        """One line that changes on a terminal; elsewhere a line for each change."""
        on_terminal = self.stdout.isatty()
        self.stdout.write(
            f"{chr(13) if on_terminal else ''}closed {closed} of {of}", ending="" if on_terminal else None
        )
        self.stdout.flush()

    def _report(self, due: Sequence[DuePeriod]) -> None:
        invoices = Invoice.objects.using("system").filter(period_id__in=[period.period_id for period in due])
        of_period = {invoice.period_id: invoice for invoice in invoices.exclude(status=Invoice.Status.VOID)}
        waiting = InvoiceDraft.objects.using("system").filter(status=InvoiceDraft.Status.WAITING)
        drafts = set(
            waiting.filter(period_id__in=[period.period_id for period in due]).values_list("period_id", flat=True)
        )
        for period in due:
            invoice = of_period.get(period.period_id)
            what = DRAFT if period.period_id in drafts else NO_INVOICE
            if invoice is not None:
                what = f"{invoice.number:<14} {_money(invoice.total, invoice.currency):>14} {invoice.currency}  {invoice.status}"
            self.stdout.write(f"{period.organization_slug:<30} {what}")


def _refused(unclean: Mapping[DuePeriod, str], *, closed: int) -> str:
    names = ", ".join(dict.fromkeys(period.organization_slug for period in unclean))
    whose = f"Left open: {names}." if closed else "Nothing was closed."
    return " ".join([whose, *dict.fromkeys(unclean.values())])


def _preview_text(found: PeriodCharges, currency: str) -> str:
    if not is_invoiced(found):
        return NO_INVOICE
    totals = found.charged.totals
    named = (("supply", totals.subtotal), ("tax", totals.tax), ("total", totals.total))
    amounts = "  ".join(f"{name} {_money(amount, currency):>14}" for name, amount in named)
    return f"{len(found.lines) + len(found.charged.agreed):>4} lines  {amounts} {currency}"


def _closed(due: Sequence[DuePeriod]) -> int:
    rows = BillingPeriod.objects.using("system").filter(pk__in=[period.period_id for period in due])
    return rows.exclude(status=BillingPeriod.Status.OPEN).count()


def _unfinished(due: Sequence[DuePeriod]) -> str:
    rows = BillingPeriod.objects.using("system").filter(pk__in=[period.period_id for period in due])
    left = set(rows.filter(status=BillingPeriod.Status.OPEN).values_list("pk", flat=True))
    names = ", ".join(period.organization_slug for period in due if period.period_id in left)
    return (
        f"Not closed yet: {names}. Is a worker running, and what does its log say? Nothing is lost and nothing doubled: run this "
        "again, or leave it to beat."
    )


def _money(amount: Decimal, currency: str) -> str:
    return f"{amount:,.{MINOR_UNITS[currency]}f}"
