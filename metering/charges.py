"""Between a report and its row: the terms of its organization and the rate in force at its moment make it a charge, or it waits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from accounts.round_trips import Rows, Statement, run
from catalog import price_book
from ledger.event_ids import new_id
from metering.reports import UsageReport
from metering.rollup_tags import NOTHING_DECLARED, texts_of
from metering.tag_room import Texts
from pricing.rating import AmountTooLarge, MissingUnitPrice, amount_of

COLUMNS = """organization.billing_currency, organization.exchange_policy, organization.zone, balance.tax_rate,
    balance.limited, CASE organization.status WHEN 'closed' THEN to_timestamp(0) ELSE organization.closes_at END,
    (SELECT declaration.keys FROM accounts_tagdeclaration AS declaration
        WHERE declaration.organization_id = organization.id ORDER BY declaration.id DESC LIMIT 1)"""
FINGERPRINT = f"md5(row({COLUMNS})::text)"
"""Another text if any of the terms is another."""
OF_ORGANIZATIONS = (
    "accounts_organization AS organization JOIN ledger_balance AS balance ON balance.organization_id = organization.id"
)
TERMS = Statement(f"SELECT organization.id, {COLUMNS} FROM {OF_ORGANIZATIONS} WHERE organization.id = ANY(%s)")
TERMS_WITH_FINGERPRINT = Statement(
    f"SELECT organization.id, {COLUMNS}, {FINGERPRINT} FROM {OF_ORGANIZATIONS} WHERE organization.id = ANY(%s)"
)


@dataclass(frozen=True, slots=True)
class ChargeTerms:
    """How an organization is charged, whether it has spend limits, the tags by which it wants its usage summed, and its end."""

    pricing: price_book.Terms
    tax_rate: Decimal
    limited: bool = False
    declared_tags: Sequence[str] = ()
    ends_at: datetime | None = None
    """From when on nothing that is reported is taken, because the organization closes; of a closed one long ago."""


class Claim(msgspec.Struct, frozen=True):
    """A report with the id that its event gets, and what the row says that makes it unique."""

    report: UsageReport
    event_id: UUID
    key_digest: str
    payload_digest: str


class Charge(msgspec.Struct, frozen=True):
    """A report with its price: `cost` in USD at the cost table, `amount` in the billing currency before tax, both exact."""

    report: UsageReport
    event_id: UUID
    key_digest: str
    payload_digest: str
    model_id: int
    requested_model_id: int | None
    applied_rate_id: int
    cost: Decimal
    amount: Decimal
    currency: str
    rollup_tags: Texts = NOTHING_DECLARED


class Waiting(msgspec.Struct, frozen=True):
    """A report that has no price yet, and why."""

    report: UsageReport
    event_id: UUID
    key_digest: str
    payload_digest: str
    reason: str


def terms_of(organization_ids: Iterable[int]) -> dict[int, ChargeTerms]:
    """The terms of these organizations, as far as they exist and the running transaction may see them."""
    [rows] = run([(TERMS, [sorted(set(organization_ids))])])
    return terms_in(rows)


def terms_in(rows: Rows) -> dict[int, ChargeTerms]:
    """The terms of an answer to TERMS."""
    return {
        organization_id: ChargeTerms(
            price_book.Terms(
                organization_id=organization_id, currency=currency, exchange_policy=exchange_policy, zone=zone
            ),
            tax_rate,
            limited,
            declared_tags or (),
            ends_at,
        )
        for organization_id, currency, exchange_policy, zone, tax_rate, limited, ends_at, declared_tags in rows
    }


def claims_of(reports: Sequence[UsageReport], *, event_ids: Sequence[UUID] | None = None) -> list[Claim]:
    """What is claimed for these reports, before anything is known of them. `event_ids` are given, in the same order, for reports
    that were waiting already."""
    ids = event_ids or [new_id(report.occurred_at) for report in reports]
    return [
        Claim(report, event_id, report.key_digest(), report.payload_digest())
        for report, event_id in zip(reports, ids, strict=True)
    ]


def price(claims: Iterable[Claim], terms: Mapping[int, ChargeTerms], *, now: datetime) -> list[Charge | Waiting]:
    """Price each report at its own moment. An unknown model or price makes it wait; it never becomes 0."""
    priced: list[Charge | Waiting] = []
    for claim in claims:
        try:
            priced.append(_charge(claim, terms[claim.report.organization_id], now=now))
        except (price_book.NoRate, MissingUnitPrice, AmountTooLarge) as missing:
            digests = (claim.key_digest, claim.payload_digest)
            priced.append(Waiting(claim.report, claim.event_id, *digests, reason=str(missing)))
    return priced


def _charge(claim: Claim, terms: ChargeTerms, *, now: datetime) -> Charge:
    report = claim.report
    model = price_book.find_model(report.model)
    applied = price_book.quote(
        terms=terms.pricing, model=model, prompt_tokens=report.usage.prompt_tokens, at=report.occurred_at
    )
    requested = model if report.requested_model is None else price_book.current().models.get(report.requested_model)
    quantities = report.usage.billable_quantities()
    return Charge(
        report,
        claim.event_id,
        claim.key_digest,
        claim.payload_digest,
        model_id=model.id,
        requested_model_id=requested.id if requested and requested.id != model.id else None,
        applied_rate_id=price_book.stored(applied, now=now),
        cost=amount_of(quantities, applied.unit_costs),
        amount=amount_of(quantities, applied.unit_prices),
        currency=applied.currency,
        rollup_tags=texts_of(report.organization_id, report.tags, terms.declared_tags, day=now.astimezone(UTC).date()),
    )
