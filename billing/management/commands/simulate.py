"""`manage.py simulate --period 2026-10 --markup 0.25`: what the month would have brought under other prices. Writes nothing."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organization
from billing import cycle
from billing.cycle import DuePeriod
from billing.replay import simulation_texts
from billing.replay.replaying import NotPriced
from billing.replay.simulation import Simulation, simulate_period
from catalog import price_book
from catalog.dropped_prices import check_nothing_is_dropped
from catalog.hypothetical_prices import Hypothesis, Implausible
from catalog.price_snapshot import Target
from catalog.supposed_prices import read_prices
from pricing.exact import parse_decimal


class Command(BaseCommand):
    help = (
        "Replay a month from its hourly sums under other markups, prices or another exchange rate, and show the difference by "
        "customer and line, in the won of the invoice. What is not supposed stays as it was charged. Nothing is written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--period", required=True, metavar="YYYY-MM", help="the month, in each organization's time zone"
        )
        parser.add_argument("--organization", metavar="SLUG", help="only this customer; a --markup is then its own")
        parser.add_argument(
            "--markup",
            metavar="FRACTION",
            help="such as 0.25, for everything or for what --organization, --model and --provider name; "
            "rules that are more specific keep winning",
        )
        parser.add_argument("--model", metavar="MODEL", help="the model that --markup is for")
        parser.add_argument("--provider", metavar="SLUG", help="the provider that --markup is for")
        parser.add_argument(
            "--price",
            action="append",
            default=[],
            metavar="FILE|MODEL=PROMPT:COMPLETION",
            help="USD per 1M tokens, also MODEL=PROMPT:COMPLETION:CACHE_READ:CACHE_WRITE; or a list as import_prices --file reads "
            "it. May be given again",
        )
        parser.add_argument(
            "--drop-the-rest",
            action="store_true",
            help="figures of --price are meant to end conditional prices, fees and classes that they do not name",
        )
        parser.add_argument("--exchange-rate", metavar="WON", help="won for one dollar, such as 1400")
        parser.add_argument("--format", choices=("text", "json", "csv"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            periods = _periods(options["period"], options["organization"])
            hypothesis = self._hypothesis(options, periods)
            found = list(self._simulate(periods, hypothesis))
        except (cycle.UnknownMonth, Implausible, NotPriced) as error:
            raise CommandError(str(error)) from None
        self._print(found, options)

    def _hypothesis(self, options: dict[str, Any], periods: Sequence[DuePeriod]) -> Hypothesis:
        book = price_book.current()
        checked = {}
        if periods and not options["drop_the_rest"]:
            since, until = min(period.starts_at for period in periods), max(period.ends_at for period in periods)
            checked["check_figures"] = partial(check_nothing_is_dropped, book=book, since=since, until=until)
        markups = {}
        if options["markup"] is not None:
            markups[_target(options)] = _number("--markup", options["markup"])
        elif options["model"] or options["provider"]:
            raise CommandError("--model and --provider say what a --markup is for.")
        rate = options["exchange_rate"]
        return Hypothesis(
            prices=read_prices(options["price"], known=book.models, **checked),
            markups=markups,
            exchange_rate=None if rate is None else _number("--exchange-rate", rate),
        )

    def _simulate(self, periods: Sequence[DuePeriod], hypothesis: Hypothesis) -> Iterator[Simulation]:
        for number, period in enumerate(periods, start=1):
            yield simulate_period(
                organization_id=period.organization_id, period_id=period.period_id, hypothesis=hypothesis
            )
            self._show(number, len(periods))

    def _show(self, done: int, of: int) -> None:
        """Beside the result, so that JSON and CSV can be piped. One line that changes on a terminal, elsewhere a line each."""
        on_terminal = self.stderr.isatty()
        ending = "" if on_terminal and done < of else "\n"
        self.stderr.write(f"{chr(13) if on_terminal else ''}replayed {done} of {of}", style_func=str, ending=ending)

    def _print(self, found: Sequence[Simulation], options: dict[str, Any]) -> None:
        if options["format"] == "json":
            self.stdout.write(simulation_texts.as_json(found))
            return
        if options["format"] == "csv":
            self.stdout.write(simulation_texts.as_csv(found), ending="")
            return
        for one in found:
            for line in simulation_texts.text_lines(one):
                self.stdout.write(line)
        for line in simulation_texts.summary_lines(found):
            self.stdout.write(line)
        self.stdout.write(f"{len(found)} customer(s), totals with VAT; nothing was written.")


def _periods(month: str, slug: str | None) -> list[DuePeriod]:
    if slug is not None and not Organization.objects.using("system").filter(slug=slug).exists():
        raise CommandError(f"unknown organization: {slug}")
    return [period for period in cycle.every_period_of_month(month) if slug in (None, period.organization_slug)]


def _target(options: dict[str, Any]) -> Target:
    if options["provider"] and (options["model"] or options["organization"]):
        raise CommandError("A provider's markup is for all customers: --provider stands alone.")
    organization = None
    if options["organization"]:
        organization = Organization.objects.using("system").filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"unknown organization: {options['organization']}")
    model = None
    if options["model"]:
        model = price_book.current().models.get(options["model"])
        if model is None:
            raise CommandError(f"unknown model: {options['model']}")
    return (organization.pk if organization else None, model.id if model else None, options["provider"] or "")


def _number(name: str, text: str) -> Decimal:
    try:
        return parse_decimal(text)
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from None
