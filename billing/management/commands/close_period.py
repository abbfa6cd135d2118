"""`manage.py close_period --period 2026-10`: invoice a month by Celery jobs, with progress; `--dry-run` shows what would be."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing import cycle, invoicing, sellers, tasks
from billing.models import Invoice
from ledger.models import BillingPeriod


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
        try:
            due = cycle.periods_of_month(options["period"], now=now)
            sellers.current_seller(now=now)
        except (cycle.UnknownMonth, sellers.NoSeller) as error:
            raise CommandError(str(error)) from None
        if options["dry_run"]:
            self._preview(due)
            return
        for period in due:
            tasks.close_period.delay(organization_id=period.organization_id, period_id=period.period_id)
        self._wait(due, timeout=options["timeout"])
        self._report(due)

    def _preview(self, due: list[cycle.DuePeriod]) -> None:
        for period in due:
            found = invoicing.preview(organization_id=period.organization_id, period_id=period.period_id)
            totals = found.totals
            self.stdout.write(
                f"{period.organization_slug:<30} {len(found.lines):>4} lines"
                f"  supply {totals.subtotal:>14,}  tax {totals.tax:>12,}  total {totals.total:>14,}"
            )
        self.stdout.write(f"{len(due)} organization(s) would be invoiced; nothing was written.")

    def _wait(self, due: list[cycle.DuePeriod], *, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        ids = [period.period_id for period in due]
        closed = 0
        while closed < len(ids):
            rows = BillingPeriod.objects.using("system").filter(pk__in=ids, status=BillingPeriod.Status.CLOSED)
            closed = rows.count()
            self.stdout.write(f"\rclosed {closed} of {len(ids)}", ending="")
            self.stdout.flush()
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{len(ids) - closed} period(s) are not closed yet: is a worker running? Nothing is lost; run this again."
                )
            time.sleep(0.2 if closed < len(ids) else 0)
        self.stdout.write("")

    def _report(self, due: list[cycle.DuePeriod]) -> None:
        invoices = Invoice.objects.using("system").filter(period_id__in=[period.period_id for period in due])
        for invoice in invoices.exclude(status=Invoice.Status.VOID).select_related("organization").order_by("number"):
            self.stdout.write(
                f"{invoice.number}  {invoice.organization.slug:<30} {invoice.total:>14,} {invoice.currency}"
            )
        if not due:
            self.stdout.write("Nothing to close: every organization's period of that month is closed, or had no usage.")
