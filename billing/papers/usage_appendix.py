"""What an invoice's usage was, by model, by API key and by day: tables whose amounts each add up to what usage was charged at.

Made of the rollups of the closed period, which never change any more, and of the names of keys, which are given once. A model's
amount is that of its lines; those of keys and days are shares of the same sum, by largest remainder.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from accounts.models import ApiKey
from accounts.round_trips import Statement, run
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
SUMS = Statement(
    f"""
SELECT sums.*, model.slug, key.name
FROM (
    SELECT model_id, api_key_id, day, SUM(requests), SUM({" + ".join(INPUT)}), SUM({" + ".join(OUTPUT)}), SUM(amount)
    FROM (
        SELECT *, (hour AT TIME ZONE %s::text)::date AS day FROM {UsageRollup._meta.db_table}
        WHERE organization_id = %s AND period_id = %s
    ) AS usage
    GROUP BY GROUPING SETS ((model_id), (api_key_id), (day))
) AS sums
LEFT JOIN {LanguageModel._meta.db_table} AS model ON model.id = sums.model_id
LEFT JOIN {ApiKey._meta.db_table} AS key ON key.id = sums.api_key_id AND key.organization_id = %s
"""  # noqa: S608  (names of our own columns)
)
"""One look at the rollups for all tables; of a row two of the first three are null. At last what models and keys are called."""
Table = dict[str, Any]
Sums = dict[Any, tuple[Any, ...]]
"""Requests, input and output tokens, amount, slug of the model, name of the key, by what they are of."""


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
    of_model, of_key, of_day = _sums(invoice)
    models = _by_model(of_model)
    of_models: dict[str, Decimal] = {}
    for line in lines:
        of_models[line.model] = exact_sum((of_models.get(line.model, ZERO), line.amount))
    charged = exact_sum(of_models.get(row.name, ZERO) for row in models)
    exact = exact_sum(row.amount for row in models)
    if not models or (charged and not exact):
        return []

    def shared(rows: Sequence[Row]) -> list[Decimal]:
        return allocate(charged, [row.amount for row in rows], invoice.currency)

    keys, days = _by_key(invoice, of_key), _by_day(invoice, of_day)
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


def _sums(invoice: Invoice) -> tuple[Sums, Sums, Sums]:
    """By model, by key, and by day of the period's zone."""
    found: tuple[Sums, Sums, Sums] = ({}, {}, {})
    [rows] = run([(SUMS, [invoice.period.zone, invoice.organization_id, invoice.period_id, invoice.organization_id])])
    for model, key, day, *sums in rows:
        sort, of = next((sort, of) for sort, of in enumerate((model, key, day)) if of is not None)
        found[sort][of] = tuple(sums)
    return found


def _by_model(sums: Sums) -> list[Row]:
    return sorted((_row(slug, of) for *of, slug, _name in sums.values()), key=lambda row: row.name)


def _by_key(invoice: Invoice, sums: Sums) -> list[Row]:
    name = _names_of_keys({key: name for key, (*_of, name) in sums.items() if name is not None}, invoice.language)
    return [_row(name(key), sums[key]) for key in sorted(sums, key=lambda key: (not key, name(key)))]


def _by_day(invoice: Invoice, sums: Sums) -> list[Row]:
    return [_row(texts.day(day, invoice.language), sums[day]) for day in sorted(sums)]


def _names_of_keys(names: Mapping[int, str], language: str) -> Callable[[int], str]:
    """Keys of the same name are told apart by their numbers; so is one that is none of the organization's (any more)."""
    known = Counter(names.values())

    def name(number: int) -> str:
        if not number:
            return word("no_key", language)
        own = names[number] if number in names else word("api_key", language)
        return own if known[own] == 1 else word("numbered_key", language, key=own, number=str(number))

    return name


def _row(name: str, sums: Sequence[Any]) -> Row:
    requests, input_tokens, output_tokens, amount, *_names = sums
    return Row(
        name=name,
        requests=int(requests),
        input_tokens=int(input_tokens),
        output_tokens=int(output_tokens),
        amount=amount,
    )


def _count(number: int) -> str:
    return texts.quantity(Decimal(number), TokenClass.INPUT.value, "")
