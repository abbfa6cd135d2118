"""A quotation (견적서): what volumes of a month would cost an organization at the prices of now, written down and never changed.

The rates, the terms that were agreed, and the totals are those of invoices; so the same usage at the same prices is invoiced at
the same won.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.buyers import billing_profile, buyer_details
from billing.estimates import Buyer, buyer_of
from billing.exchange_snapshots import exchange_snapshot
from billing.line_notes import conditions_text
from billing.models import Quotation
from billing.papers.document_texts import word
from billing.sellers import current_seller, snapshot
from billing.terms import in_force, terms_of
from billing.what_if import Answer, Lack, Part, Volume, what_if
from catalog import price_book
from catalog.models import LanguageModel
from pricing.band_conditions import conditions_of
from pricing.bands import BASE
from pricing.conditions import Conditions, charged
from pricing.plain_text import plain

MOST_ITEMS = 20
LONGEST_VALIDITY = timedelta(days=366)
USUAL_VALIDITY = timedelta(days=30)


class NothingToQuote(ValueError):
    """No volume at all, or more than MOST_ITEMS."""


class InvalidValidity(ValueError):
    """A last day that is over, or more than LONGEST_VALIDITY away."""


class NotPriced(ValueError):
    """A model that has no price for its volume; `lack` says why, `model` which."""

    def __init__(self, model: str, lack: Lack) -> None:
        super().__init__(f"{model}: {lack.value}")
        self.model, self.lack = model, lack


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A model, and what is to be used of it in a month."""

    model: LanguageModel
    volume: Volume


def make_quotation(
    *,
    organization: Organization,
    items: Sequence[Item],
    valid_until: date,
    subject: str = "",
    actor: User | None,
    now: datetime,
) -> Quotation:
    """Offer these volumes until the end of `valid_until`, in the organization's language and currency.

    Raises NothingToQuote, InvalidValidity, NotPriced, NoSeller; nothing is written then.
    """
    with tenant_scope([organization.pk]):
        today = now.astimezone(ZoneInfo(organization.zone)).date()
        if not today <= valid_until <= today + LONGEST_VALIDITY:
            raise InvalidValidity(valid_until.isoformat())
        answers = _answers(items, buyer_of(organization, at=now), now)
        quoted = _write(organization, items, answers, today=today, valid_until=valid_until, subject=subject, now=now)
        quoted.created_by = actor
        quoted.save()
        write_audit_entry(
            action="quotation.made",
            target=quoted.number,
            organization=organization,
            actor=actor,
            now=now,
            detail={"total": plain(quoted.total), "currency": quoted.currency, "valid_until": valid_until.isoformat()},
        )
    return quoted


def quotations_of(organization: Organization, *, limit: int, before: int | None = None) -> list[Quotation]:
    """The newest first, from before that id on. Needs the tenant scope."""
    quotations = Quotation.objects.for_organization(organization)
    if before is not None:
        quotations = quotations.filter(pk__lt=before)
    return list(quotations.order_by("-pk")[:limit])


def _answers(items: Sequence[Item], buyer: Buyer, now: datetime) -> list[Answer]:
    if not 0 < len(items) <= MOST_ITEMS:
        raise NothingToQuote(f"{len(items)} items")
    answers = [what_if(model=item.model, volume=item.volume, buyer=buyer, at=now) for item in items]
    for answer in answers:
        if answer.lack is not None:
            raise NotPriced(answer.model.slug, answer.lack)
    if not any(part.lines for answer in answers for part in answer.parts):
        raise NothingToQuote("no volume")
    return answers


def _write(
    organization: Organization,
    items: Sequence[Item],
    answers: Sequence[Answer],
    *,
    today: date,
    valid_until: date,
    subject: str,
    now: datetime,
) -> Quotation:
    profile, buyer = billing_profile(organization), buyer_of(organization, at=now)
    agreed = in_force(terms_of(organization), now)
    rows = [
        (number, item, part, line)
        for number, (item, answer) in enumerate(zip(items, answers, strict=True), start=1)
        for part in answer.parts
        for line in part.lines
    ]
    sums = charged(
        [line.amount for *_place, line in rows],
        conditions=Conditions(discount=agreed.discount, minimum=agreed.minimum_fee),
        currency=organization.billing_currency,
        tax_rate=buyer.tax_rate,
    )
    language = organization.language
    lines = [
        {
            "kind": "usage",
            "item": number,
            "model": item.model.slug,
            "name": item.model.name,
            "volume": _volume_text(item.volume, language),
            "note": _note(part, language, now),
            "token_class": line.token_class.value,
            "quantity": str(line.quantity),
            "unit_price": plain(line.unit_price),
            "exact_amount": plain(line.amount),
            "amount": plain(amount),
        }
        for (number, item, part, line), amount in zip(rows, sums.usage_lines, strict=True)
    ]
    lines += [
        {"kind": line.kind.value, "exact_amount": plain(line.amount), "amount": plain(line.rounded)}
        for line in sums.agreed
    ]
    return Quotation(
        organization=organization,
        language=language,
        currency=organization.billing_currency,
        tax_treatment=profile.tax_treatment,
        tax_rate=buyer.tax_rate,
        zone=organization.zone,
        issued_on=today,
        valid_until=valid_until,
        subject=subject,
        seller=snapshot(current_seller(now=now)),
        buyer=buyer_details(organization, profile),
        exchange_rates=exchange_snapshot(part.rate.exchange for _number, _item, part, _line in rows),
        lines=lines,
        subtotal=sums.totals.subtotal,
        tax=sums.totals.tax,
        total=sums.totals.total,
        created_at=now,
    )


def _volume_text(volume: Volume, language: str) -> str:
    """What was asked for, as it stands behind the model's name."""
    counts = {"input": f"{volume.input_tokens:,}", "output": f"{volume.output_tokens:,}"}
    if not volume.requests:
        return word("volume_of_tokens", language, **counts)
    return word("volume", language, requests=f"{volume.requests:,}", **counts)


def _note(part: Part, language: str, now: datetime) -> str:
    """The condition of a band; nothing where the ordinary price holds."""
    price = price_book.current().price(part.rate.model, now)
    if part.rate.band == BASE or price is None or price.value is None:
        return ""
    return conditions_text(conditions_of(price.value, part.rate.band), language)
