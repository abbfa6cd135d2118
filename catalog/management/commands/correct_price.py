"""`manage.py correct_price --since 2026-11-01T00:00+09:00 --price mistralai/devstral-small=0.04:0.04 --reason "…"`."""

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from accounts.models import Organization, User
from catalog import price_book
from catalog.correcting import NotACorrection, correct_cost_price, correct_exchange_rate, correct_markup
from catalog.dropped_prices import check_nothing_is_dropped
from catalog.exchange_rates import InvalidRate
from catalog.hypothetical_prices import Implausible
from catalog.markups import SellsBelowCost
from catalog.models import CostPrice, ExchangeRate, LanguageModel, MarkupRule
from catalog.supposed_prices import read_prices
from pricing.exact import parse_decimal


class Command(BaseCommand):
    help = (
        "Date a price, a markup or an exchange rate back that should have held since a moment in the past. The wrong one stays, "
        "and so does what was charged by it until `manage.py rerate`. Audited."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since", required=True, metavar="ISO8601", help="from when it should have held, with an offset"
        )
        parser.add_argument("--reason", required=True, help="why; kept in the audit log")
        parser.add_argument(
            "--price",
            metavar="FILE|MODEL=PROMPT:COMPLETION",
            help="USD per 1M tokens, also MODEL=PROMPT:COMPLETION:CACHE_READ:CACHE_WRITE; or a list as of import_prices",
        )
        parser.add_argument(
            "--drop-the-rest",
            action="store_true",
            help="figures of --price are meant to end conditional prices, fees and classes that they do not name",
        )
        parser.add_argument(
            "--markup", metavar="FRACTION", help="such as 0.10, for what the next three name, or for everything"
        )
        parser.add_argument(
            "--exchange-rate",
            metavar="WON",
            help="won for one dollar, as published on the day of --since; it holds from the next day or month on",
        )
        parser.add_argument("--organization", metavar="SLUG")
        parser.add_argument("--model", metavar="MODEL")
        parser.add_argument("--provider", metavar="SLUG", default="")
        parser.add_argument("--below-cost", action="store_true", help="a markup that sells below cost is meant")
        parser.add_argument("--by", metavar="EMAIL", help="the operator who decided it, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        if [options[name] is None for name in ("price", "markup", "exchange_rate")].count(False) != 1:
            raise CommandError("Name one of --price, --markup and --exchange-rate.")
        since = _moment(options["since"])
        common = {"reason": options["reason"], "now": timezone.now(), "actor": _operator(options["by"])}
        try:
            rows = list(self._correct(options, since, common))
        except (Implausible, InvalidRate, NotACorrection, SellsBelowCost) as error:
            raise CommandError(str(error)) from None
        for row in rows:
            told = f"{row._meta.verbose_name} {row.pk}, revision {row.revision}"
            self.stdout.write(f"Dated back to {since.isoformat()}: {told}.")
        if not rows:
            self.stdout.write("That was in force anyway; nothing was changed.")
        else:
            self.stdout.write("What was charged stays until you run `manage.py rerate --period … --reason …`.")

    def _correct(
        self, options: dict[str, Any], since: datetime, common: dict[str, Any]
    ) -> Iterator[CostPrice | MarkupRule | ExchangeRate]:
        if options["exchange_rate"] is not None:
            rate = correct_exchange_rate(
                rate=_number("--exchange-rate", options["exchange_rate"]), published_on=since.date(), **common
            )
            if rate is not None:
                yield rate
            return
        common = common | {"effective_from": since}
        if options["markup"] is not None:
            rule = correct_markup(
                markup=_number("--markup", options["markup"]),
                organization=_organization(options["organization"]),
                language_model=_model(options["model"]) if options["model"] else None,
                provider_slug=options["provider"],
                sell_below_cost=options["below_cost"],
                **common,
            )
            if rule is not None:
                yield rule
            return
        known = dict.fromkeys(LanguageModel.objects.using("system").values_list("slug", flat=True))
        check = partial(check_nothing_is_dropped, book=price_book.refresh(), since=since, until=since)
        checked = {} if options["drop_the_rest"] else {"check_figures": check}
        with transaction.atomic(using="system"):
            for slug, sheet in read_prices([options["price"]], known=known, **checked).items():
                price = correct_cost_price(language_model=_model(slug), sheet=sheet, **common)
                if price is not None:
                    yield price


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--since: {text!r} is not a moment such as 2026-11-01T00:00+09:00") from None
    if moment.tzinfo is None:
        raise CommandError("--since: say the offset from UTC, such as +09:00")
    return moment


def _number(name: str, text: str) -> Decimal:
    try:
        return parse_decimal(text)
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from None


def _model(slug: str) -> LanguageModel:
    model = LanguageModel.objects.using("system").filter(slug=slug).first()
    if model is None:
        raise CommandError(f"unknown model: {slug}")
    return model


def _organization(slug: str | None) -> Organization | None:
    if slug is None:
        return None
    organization = Organization.objects.using("system").filter(slug=slug).first()
    if organization is None:
        raise CommandError(f"unknown organization: {slug}")
    return organization


def _operator(email: str | None) -> User | None:
    if email is None:
        return None
    operator = User.objects.using("system").filter(email=email, is_staff=True, is_active=True).first()
    if operator is None:
        raise CommandError(f"no operator has this address: {email}")
    return operator
