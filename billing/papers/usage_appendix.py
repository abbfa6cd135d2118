"""What an invoice's usage was, by model, by API key and by day: tables whose amounts each add up to what usage was charged at.

Made of the rollups of the closed period, which never change any more, and of the names of keys, which are given once. A model's
amount is that of its lines; those of keys and days are shares of the same sum, by largest remainder.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.models import ApiKey
from billing.models import Invoice, InvoiceLine
from billing.papers import document_texts as texts
from billing.papers.document_texts import word
from catalog.models import LanguageModel
from metering.models import UsageRollup
from pricing.exact import ZERO, exact_sum
from pricing.tokens import FIELD_OF, PROMPT_CLASSES, TokenClass
from pricing.totals import allocate

INPUT = tuple(FIELD_OF[one] for one in PROMPT_CLASSES)
OUTPUT = tuple(FIELD_OF[one] for one in (TokenClass.OUTPUT, TokenClass.AUDIO_OUTPUT, TokenClass.IMAGE_OUTPUT))
"""Reasoning is inside of output, in rollups."""
Table = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one model, key or day used; `amount` exact, before tax."""

    name: str
    requests: int
    input_tokens: int
    output_tokens: int
    amount: Decimal


def usage_appendix(invoice: Invoice, lines: Sequence[InvoiceLine]) -> list[Table]:
    """The tables, in the invoice's language; none for an invoice without usage. Needs the tenant's scope."""
    usage = UsageRollup.objects.for_organization(invoice.organization_id).filter(period_id=invoice.period_id)
    models = _by_model(usage)
    of_models: dict[str, Decimal] = {}
    for line in lines:
        of_models[line.model] = exact_sum((of_models.get(line.model, ZERO), line.amount))
    charged = exact_sum(of_models.get(row.name, ZERO) for row in models)
    exact = exact_sum(row.amount for row in models)
    if not models or (charged and not exact):
        return []

    def shared(rows: Sequence[Row]) -> list[Decimal]:
        return allocate(charged, [row.amount for row in rows], invoice.currency)

    keys, days = _by_key(invoice, usage), _by_day(invoice, usage)
    parts = (
        ("by_model", "model", models, [of_models.get(row.name, ZERO) for row in models]),
        ("by_key", "api_key", keys, shared(keys)),
        ("by_day", "date", days, shared(days)),
    )
    return [
        table(title, heading, rows, amounts, currency=invoice.currency, language=invoice.language)
        for title, heading, rows, amounts in parts
    ]


def table(
    title: str, heading: str, rows: Sequence[Row], amounts: Sequence[Decimal], *, currency: str, language: str
) -> Table:
    """`title` and `heading` are words of documents; `amounts` are rounded."""
    return {
        "title": word(title, language),
        "columns": [word(name, language) for name in (heading, "requests", "input_tokens", "output_tokens", "amount")],
        "rows": [
            [row.name, *map(_count, (row.requests, row.input_tokens, row.output_tokens)), texts.money(amount, currency)]
            for row, amount in zip(rows, amounts, strict=True)
        ],
        "total": [
            word("sum", language),
            _count(sum(row.requests for row in rows)),
            _count(sum(row.input_tokens for row in rows)),
            _count(sum(row.output_tokens for row in rows)),
            texts.money(exact_sum(amounts), currency),
        ],
    }


def _by_model(usage: "QuerySet[UsageRollup]") -> list[Row]:
    found = _sums(usage.values(of=F("model_id")))
    slugs = dict(LanguageModel.objects.filter(pk__in=[row["of"] for row in found]).values_list("pk", "slug"))
    return sorted((_row(row, slugs[row["of"]]) for row in found), key=lambda row: row.name)


def _by_key(invoice: Invoice, usage: "QuerySet[UsageRollup]") -> list[Row]:
    found = _sums(usage.values(of=F("api_key_id")))
    keys = ApiKey.objects.for_organization(invoice.organization_id).in_bulk([row["of"] for row in found])
    name = _names_of_keys(keys, invoice.language)
    return [_row(row, name(row["of"])) for row in sorted(found, key=lambda row: (not row["of"], name(row["of"])))]


def _by_day(invoice: Invoice, usage: "QuerySet[UsageRollup]") -> list[Row]:
    found = _sums(usage.annotate(of=TruncDate("hour", tzinfo=ZoneInfo(invoice.period.zone))).values("of"))
    days: list[Mapping[str, Any]] = sorted(found, key=lambda row: date.toordinal(row["of"]))
    return [_row(row, texts.day(row["of"], invoice.language)) for row in days]


def _names_of_keys(keys: Mapping[int, ApiKey], language: str) -> Callable[[int], str]:
    """Keys of the same name are told apart by their numbers; so is one that is none of the organization's (any more)."""
    known = Counter(key.name for key in keys.values())

    def name(number: int) -> str:
        if not number:
            return word("no_key", language)
        own = keys[number].name if number in keys else word("api_key", language)
        return own if known[own] == 1 else word("numbered_key", language, key=own, number=str(number))

    return name


def _sums(usage: Any) -> Iterable[Mapping[str, Any]]:
    names = (*INPUT, *OUTPUT, "requests", "amount")
    return list(usage.annotate(**{f"sum_{name}": Sum(name) for name in names}).order_by())


def _row(sums: Mapping[str, Any], name: str) -> Row:
    return Row(
        name=name,
        requests=int(sums["sum_requests"]),
        input_tokens=sum(int(sums[f"sum_{field}"]) for field in INPUT),
        output_tokens=sum(int(sums[f"sum_{field}"]) for field in OUTPUT),
        amount=sums["sum_amount"],
    )


def _count(number: int) -> str:
    return texts.quantity(Decimal(number), TokenClass.INPUT.value, "")
