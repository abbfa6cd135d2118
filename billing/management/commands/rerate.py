"""`manage.py rerate --period 2026-11 --reason "…"`: charge a month anew where a price was dated back or corrected."""

import time
from argparse import ArgumentParser
from decimal import Decimal
from math import ceil
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Organization, User
from billing import cycle
from billing.cycle import DuePeriod
from billing.replay import rerating
from billing.replay.rerating import Rerated
from catalog import price_book
from catalog.last_change import time_until_seen
from catalog.publishing import LEAD
from metering.rerating import PricesTooNew
from pricing.exact import EXACT
from pricing.plain_text import plain


class Command(BaseCommand):
    help = (
        "Charge a month anew where the price book says something else by now. In open periods each request concerned gets a "
        "reversal and a new charge; for closed ones a credit note is proposed. Running it again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--period", required=True, metavar="YYYY-MM", help="the month, in each organization's time zone"
        )
        parser.add_argument("--organization", metavar="SLUG", help="only this customer")
        parser.add_argument(
            "--model", metavar="MODEL", help="only requests to this model (a proposal is always for the whole invoice)"
        )
        parser.add_argument("--reason", default="", help="why; kept with every correction, customers can read it")
        parser.add_argument("--by", metavar="EMAIL", help="the operator who decided it, for the audit log")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["reason"].strip() and not options["dry_run"]:
            raise CommandError("Say why: --reason.")
        actor, model_id = _operator(options["by"]), _model(options["model"])
        periods = _periods(options["period"], options["organization"])
        if not periods:
            self.stdout.write(f"Nothing was charged in {options['period']}.")
        elif not options["dry_run"]:
            self._wait_until_seen()
        for period in periods:
            organization = Organization.objects.using("system").get(pk=period.organization_id)
            if options["dry_run"]:
                found = rerating.preview(
                    organization=organization, period_id=period.period_id, model_id=model_id, progress=self._show
                )
            else:
                found = self._rerate(organization, period, model_id, options["reason"].strip(), actor)
            self.stdout.write(_told(organization, found, dry_run=options["dry_run"]))
        if options["dry_run"]:
            self.stdout.write("Nothing was written.")

    def _rerate(
        self, organization: Organization, period: DuePeriod, model_id: int | None, reason: str, actor: User | None
    ) -> Rerated:
        try:
            return rerating.rerate(
                organization=organization,
                period_id=period.period_id,
                model_id=model_id,
                reason=reason,
                actor=actor,
                now=timezone.now(),
                progress=self._show,
            )
        except PricesTooNew as error:
            raise CommandError(f"{organization.slug}: {error}") from None

    def _wait_until_seen(self) -> None:
        """Until no process charges without the correction any more, which it never does for longer than the lead."""
        left = min(time_until_seen(now=timezone.now()), LEAD)
        if left:
            self.stderr.write(
                f"waiting {ceil(left.total_seconds())} s until every process has seen the newest price", style_func=str
            )
            time.sleep(left.total_seconds())

    def _show(self, looked_at: int, of: int) -> None:
        """On a terminal, one line that changes."""
        if self.stderr.isatty():
            ending = "\n" if looked_at >= of else ""
            self.stderr.write(f"{chr(13)}looked at {min(looked_at, of):,} of {of:,}", style_func=str, ending=ending)


def _told(organization: Organization, found: Rerated, *, dry_run: bool) -> str:
    outcome, currency = found.outcome, organization.billing_currency
    change = plain(EXACT.subtract(outcome.after, outcome.before))
    parts = [f"{organization.slug:<30} {outcome.corrected:>8,} corrected  {change} {currency} before VAT"]
    if found.closed:
        parts = [f"{organization.slug:<30} closed; {outcome.corrected:,} would differ, {change} {currency} before VAT"]
    if found.proposal is not None:
        total = f"{_plus(found.proposal.total_change)} {currency}"
        parts.append(f"credit note proposed for {found.proposal.invoice.number}: {total} with VAT")
    elif found.closed and outcome.corrected and not dry_run:
        parts.append("no credit note: the period has no live invoice")
    if outcome.unpriced:
        parts.append(f"{outcome.unpriced:,} have no price any more and stay as they were charged")
    return "; ".join(parts)


def _plus(amount: Decimal) -> str:
    return f"+{plain(amount)}" if amount > 0 else plain(amount)


def _periods(month: str, slug: str | None) -> list[DuePeriod]:
    if slug is not None and not Organization.objects.using("system").filter(slug=slug).exists():
        raise CommandError(f"unknown organization: {slug}")
    try:
        periods = cycle.every_period_of_month(month)
    except cycle.UnknownMonth as error:
        raise CommandError(str(error)) from None
    return [period for period in periods if slug in (None, period.organization_slug)]


def _model(slug: str | None) -> int | None:
    if slug is None:
        return None
    model = price_book.current().models.get(slug)
    if model is None:
        raise CommandError(f"unknown model: {slug}")
    return model.id


def _operator(email: str | None) -> User | None:
    if email is None:
        return None
    operator = User.objects.using("system").filter(email=email, is_staff=True, is_active=True).first()
    if operator is None:
        raise CommandError(f"no operator has this address: {email}")
    return operator
