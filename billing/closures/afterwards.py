"""Money that a closed organization holds or owes: what came too late, or turned out to be somebody else's (decision 0033).

What a card brought goes back to it by itself, gifts and fractions of a won lapse. The rest is an operator's to send back, to
collect or to write off, and an alarm says so until it is done; members can read for as long as that takes. Invariant 59 reports
what is forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from django.conf import settings
from django.db import connections
from django.db.models import Sum
from django.utils import timezone

from accounts.alarms import clear_alarm, raise_alarm
from accounts.closing import keep_readable, lock_organization
from accounts.invariants import LIMIT, Violations
from accounts.models import Alarm, Organization
from accounts.tenancy import tenant_scope
from billing.closures.remaining import Remaining, Step, remaining
from billing.corrections.credit_payouts import (
    InvalidPayout,
    NothingUnused,
    Unused,
    refund_unused_credit,
    unused_credit,
)
from billing.models import CreditPayout, Refund
from billing.processors import bank_transfer
from ledger.credit_expiry import lapse
from ledger.settling import lock_balance
from ledger.sweeping import others_go_on
from pricing.exact import EXACT, ZERO
from pricing.plain_text import plain

ALARM = "closed_money"
REASON = "Came after the organization was closed"
UNWATCHED = timedelta(days=1)
"""An alarm is raised within seconds; money without one for so long is watched by nobody."""
MONEY = """
SELECT held.*, greatest(held.closed_at, since.at) AS since FROM (
    SELECT organization.id, organization.slug, organization.billing_currency, closure.closed_at, balance.prepaid,
        balance.receivable, refundable.amount AS refundable
    FROM accounts_organization AS organization
    JOIN billing_closure AS closure ON closure.organization_id = organization.id AND closure.status = 'closed'
    JOIN ledger_balance AS balance ON balance.organization_id = organization.id
    CROSS JOIN LATERAL (SELECT
        coalesce((SELECT sum(note.to_refund) FROM billing_creditnote AS note WHERE note.organization_id = organization.id), 0)
        + coalesce((SELECT sum(used.amount) FROM billing_creditpayout AS payout
            JOIN ledger_credituse AS used ON used.id = payout.credit_use_id
            WHERE payout.organization_id = organization.id), 0)
        - coalesce((SELECT sum(refund.amount - refund.excess) FROM billing_refund AS refund
            WHERE refund.organization_id = organization.id AND refund.status = 'succeeded'), 0) AS amount
    ) AS refundable
    WHERE (balance.prepaid, balance.receivable, refundable.amount) <> (0, 0, 0)
) AS held
CROSS JOIN LATERAL (
    SELECT min(state.at) FILTER (WHERE NOT state.is_even_later) AS at FROM (
        SELECT moved.at, bool_or((moved.prepaid, moved.receivable, moved.refundable) = (0, 0, 0))
            OVER (ORDER BY moved.id DESC) AS is_even_later
        FROM (
            SELECT posted.id, posted.at,
                sum(coalesce(sum(entry.amount) FILTER (WHERE account = 'prepaid'), 0)) OVER (ORDER BY posted.id) AS prepaid,
                sum(coalesce(sum(entry.amount) FILTER (WHERE account = 'receivable'), 0)) OVER (ORDER BY posted.id) AS receivable,
                sum(coalesce(sum(entry.amount) FILTER (WHERE account = 'refundable'), 0)) OVER (ORDER BY posted.id) AS refundable
            FROM ledger_ledgertransaction AS posted
            JOIN ledger_ledgerentry AS entry
                ON entry.organization_id = posted.organization_id AND entry.transaction_id = posted.id
            WHERE posted.organization_id = held.id AND entry.account IN ('prepaid', 'receivable', 'refundable')
            GROUP BY posted.id, posted.at
        ) AS moved
    ) AS state
) AS since
ORDER BY since, held.id
"""
"""Since the movement after the last moment at which nothing was held and nothing was owed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedMoney:
    """A closed organization's credit, invoices and refunds that are not over, tax included, and since when there are any."""

    organization_id: int
    slug: str
    currency: str
    closed_at: datetime
    prepaid: Decimal
    receivable: Decimal
    refundable: Decimal
    since: datetime


def closed_money() -> list[ClosedMoney]:
    """Of every closed organization that holds or owes something, the longest first. Looks at all tenants."""
    with connections["system"].cursor() as cursor:
        cursor.execute(MONEY)
        names = ("organization_id", "slug", "currency", "closed_at", "prepaid", "receivable", "refundable", "since")
        return [ClosedMoney(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def watch_closed(*, now: datetime) -> list[str]:
    """Send back, let lapse and alarm what is to be; returns the slugs of those that wait for an operator. Looks at all tenants."""
    found, waiting = closed_money(), []
    for money in found:
        with others_go_on(organization_id=money.organization_id):
            if see_to(money, now=now):
                waiting.append(money.slug)
    alarms = Alarm.objects.using("system").filter(kind=ALARM, cleared_at=None)
    for subject in alarms.exclude(subject__in=[money.slug for money in found]).values_list("subject", flat=True):
        clear_alarm(kind=ALARM, subject=subject, now=now)
    return waiting


def see_to(money: ClosedMoney, *, now: datetime) -> bool:
    """Do for one of them what is done by itself; whether the rest waits for an operator, who is alarmed then."""
    _return_by_card(money.organization_id, now=now)
    _lapse_rest(money.organization_id, now=now)
    summary = _what_waits(money, now=now)
    if not summary:
        clear_alarm(kind=ALARM, subject=money.slug, now=now)
        return False
    detail = {"organization": money.slug, "since": money.since.isoformat()}
    raise_alarm(kind=ALARM, subject=money.slug, summary=summary, now=now, detail=detail)
    return True


def forgotten_money() -> Violations:
    """Money of closed organizations that nobody was alarmed about, or that waits longer than CLOSED_MONEY_DAYS."""
    now = timezone.now()
    told = set(Alarm.objects.using("system").filter(kind=ALARM, cleared_at=None).values_list("subject", flat=True))
    return [
        f"organization {money.slug}, prepaid {plain(money.prepaid)}, receivable {plain(money.receivable)}, "
        f"refundable {plain(money.refundable)}, since {money.since.isoformat()}"
        for money in closed_money()
        if money.since <= now - timedelta(days=settings.CLOSED_MONEY_DAYS)
        or (money.slug not in told and money.since <= now - UNWATCHED)
    ][:LIMIT]


def _return_by_card(organization_id: int, *, now: datetime) -> list[CreditPayout]:
    """What cards brought; a transfer may be another customer's, so somebody looks at it first."""
    with tenant_scope([organization_id]):
        unused = unused_credit(organization_id=organization_id, now=now)
    amounts = {one.grant.pk: one.left for one in unused if _is_of_cards(one)}
    if not amounts:
        return []
    try:
        return refund_unused_credit(
            organization_id=organization_id,
            request_key=uuid4(),
            reason=REASON,
            now=now,
            actor=None,
            amounts=amounts,
        )
    except (NothingUnused, InvalidPayout):
        return []  # an operator was faster


def _is_of_cards(one: Unused) -> bool:
    return bool(one.payments) and all(payment.processor != bank_transfer.NAME for payment in one.payments)


def _lapse_rest(organization_id: int, *, now: datetime) -> None:
    """Credit that is nobody's money, once nothing else is left: as when the organization was closed."""
    with tenant_scope([organization_id]):
        balance = lock_balance(organization_id)
        if balance.prepaid and not remaining(Organization.objects.get(pk=organization_id), now=now):
            lapse(balance, now=now)


def _what_waits(money: ClosedMoney, *, now: datetime) -> str:
    """What an operator must see to, in our English; empty if nothing. Whose it is can read until that is done."""
    with tenant_scope([money.organization_id]):
        organization = lock_organization(money.organization_id)
        rows = remaining(organization, now=now)
        held, owed = _held(organization, rows), _amount(rows, Step.PAYMENT)
        if not held and not owed:
            return ""
        keep_readable(organization, days=settings.CLOSED_DAYS, now=now)
    parts = [f"{money.slug} is closed and holds {plain(held)} {money.currency} of its customer's."] if held else []
    return " ".join(parts + ([f"{money.slug} is closed and owes {plain(owed)} {money.currency}."] if owed else []))


def _held(organization: Organization, rows: Sequence[Remaining]) -> Decimal:
    """Credit to be sent back, and what was set aside and no refund is sending back now."""
    refunds = Refund.objects.for_organization(organization).filter(status__in=Refund.OPEN_STATUSES)
    under_way = refunds.aggregate(sum=Sum("amount"))["sum"] or ZERO
    return EXACT.add(_amount(rows, Step.CREDIT), max(EXACT.subtract(_amount(rows, Step.REFUND), under_way), ZERO))


def _amount(rows: Sequence[Remaining], step: Step) -> Decimal:
    return next((row.amount for row in rows if row.step == step), ZERO)
