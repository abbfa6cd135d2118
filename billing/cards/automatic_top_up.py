"""Credit that runs low is bought anew by itself: so much, whenever less than so much is left, at most so much a month.

Who needs some is found by looking at rows (a sweep of beat). Whether it is bought is decided under locks on the balance of that
moment, so sweeps that meet buy once for one fall; while a top-up is open, or its answer unknown, none is made. A refusal stops it,
in the transaction that records the refusal (`top_up_settlement`).
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.db import connections
from django.db.models import Sum

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.cards.payment_methods import NoMethod, lock_setting
from billing.models import AutomaticTopUp, CollectionSetting, Payment, PaymentMethod
from billing.payments.asking import MOST_IN_VAIN
from billing.payments.attempts import lock_method, new_attempt
from billing.payments.starting import first_call
from billing.payments.top_ups import TopUpNotPossible, bounds_of, lock_top_ups, open_top_up
from billing.processors.selection import NoCardProcessor, card_processor
from ledger.balances import UNSPENT, unspent
from ledger.models import Balance
from ledger.sweeping import others_go_on
from pricing.exact import ZERO, exact_sum
from pricing.plain_text import plain
from pricing.totals import round_to_minor

logger = logging.getLogger(__name__)
MOST = 500
LOW = f"""
SELECT setting.organization_id FROM billing_automatictopup AS setting
JOIN accounts_organization AS organization ON organization.id = setting.organization_id AND organization.status = 'active'
JOIN ledger_balance AS balance USING (organization_id)
JOIN billing_collectionsetting AS collection USING (organization_id)
LEFT JOIN LATERAL (SELECT coalesce(sum(payment.amount), 0) AS amount FROM billing_payment AS payment
    WHERE payment.organization_id = setting.organization_id AND payment.invoice_id IS NULL AND payment.started_by_id IS NULL
        AND payment.method_id IS NOT NULL AND payment.status = 'succeeded'
        AND payment.created_at >= date_trunc('month', %s::timestamptz AT TIME ZONE organization.zone) AT TIME ZONE organization.zone
) AS bought ON true
WHERE setting.is_on AND setting.stopped_at IS NULL AND collection.default_method_id IS NOT NULL AND {UNSPENT} < setting.threshold
    AND bought.amount + setting.amount <= setting.monthly_cap
    AND NOT EXISTS (SELECT FROM billing_payment AS payment WHERE payment.organization_id = setting.organization_id
        AND payment.invoice_id IS NULL AND payment.status IN ('pending', 'requires_action', 'unknown'))
ORDER BY 1 LIMIT %s
"""  # noqa: S608  (names of our own columns)


class InvalidAmounts(ValueError):
    """The threshold is not above zero, or the month's cap is below the amount."""


class State(StrEnum):
    """What automatic top-ups do at the moment."""

    OFF = "off"
    ON = "on"
    STOPPED = "stopped"
    CAP_REACHED = "cap_reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The setting, what it does, and what it bought this month (open ones included)."""

    setting: AutomaticTopUp | None
    state: State
    bought: Decimal


def standing_of(organization: Organization, *, now: datetime) -> Standing:
    """Needs the tenant scope."""
    setting = AutomaticTopUp.objects.for_organization(organization).first()
    bought = _bought_this_month(organization, now=now)
    if setting is None or not setting.is_on:
        state = State.OFF
    elif setting.stopped_at is not None:
        state = State.STOPPED
    else:
        state = State.ON if _fits_cap(setting, bought) else State.CAP_REACHED
    return Standing(setting=setting, state=state, bought=bought)


def set_automatic_top_up(
    *,
    organization: Organization,
    on: bool,
    threshold: Decimal,
    amount: Decimal,
    monthly_cap: Decimal,
    actor: User | None,
    now: datetime,
) -> AutomaticTopUp:
    """Say when to buy how much, and start it (again). Raises InvalidAmounts, TopUpNotPossible, NoMethod, NoCardProcessor."""
    currency = organization.billing_currency
    if not bounds_of(currency).hold(amount, currency):
        raise TopUpNotPossible(f"{amount} {currency}")
    if (
        threshold <= ZERO
        or monthly_cap < amount
        or any(one != round_to_minor(one, currency) for one in (threshold, monthly_cap))
    ):
        raise InvalidAmounts(f"below {threshold}, at most {monthly_cap}")
    with tenant_scope([organization.pk]):
        if on and lock_setting(organization).default_method_id is None:
            raise NoMethod(organization.slug)
        setting, _made = AutomaticTopUp.objects.update_or_create(
            organization=organization,
            defaults={
                "is_on": on,
                "threshold": threshold,
                "amount": amount,
                "monthly_cap": monthly_cap,
                "stopped_at": None,
                "failure": "",
            },
        )
        write_audit_entry(
            action="automatic_top_up.set",
            target="organization",
            organization=organization,
            actor=actor,
            now=now,
            detail={
                "on": on,
                "threshold": plain(threshold),
                "amount": plain(amount),
                "monthly_cap": plain(monthly_cap),
            },
        )
    return setting


def top_up_all(*, now: datetime) -> int:
    """Buy credit for everybody who has too little; how many top-ups were made. Stops while the processor does not answer."""
    made = in_vain = 0
    for organization_id in low_organizations(now=now):
        if in_vain >= MOST_IN_VAIN:
            break
        with others_go_on(organization_id=organization_id):
            payment = top_up(organization_id=organization_id, now=now)
            made += payment is not None
            in_vain += payment is not None and payment.status == Payment.Status.UNKNOWN
    return made


def low_organizations(*, now: datetime) -> list[int]:
    """Whose credit has fallen below what they set, of all tenants, and who may buy more this month; nothing is under way.

    Whom nothing can be bought for is left out here already: else they would stand in everybody's way in each sweep.
    """
    with connections["system"].cursor() as cursor:
        cursor.execute(LOW, [now, MOST])
        return [organization_id for (organization_id,) in cursor.fetchall()]


def top_up(*, organization_id: int, now: datetime) -> Payment | None:
    """Buy credit for one organization if it still has too little; None if it does not need or may not have any."""
    try:
        processor = card_processor()
        with tenant_scope([organization_id]):
            lock_top_ups(organization_id)
            setting = AutomaticTopUp.objects.for_organization(organization_id).select_for_update().get()
            if not _is_needed(setting, now=now):
                return None
            method_id = CollectionSetting.objects.for_organization(organization_id).get().default_method_id
            payment = new_attempt(
                organization_id=organization_id,
                processor=processor,
                amount=setting.amount,
                currency=setting.organization.billing_currency,
                key=f"top-up-{uuid4()}",
                now=now,
                method=lock_method(processor, organization_id, method_id or 0),
            )
    except (NoCardProcessor, PaymentMethod.DoesNotExist) as reason:
        logger.info("no top-up", extra={"organization_id": organization_id, "reason": str(reason)})
        return None
    return first_call(processor, payment, now=now)


def _is_needed(setting: AutomaticTopUp, *, now: datetime) -> bool:
    """Decided anew under the lock: whoever was faster has bought some, is at it, or was refused, or calls are refused by now."""
    organization = setting.organization
    if organization.status != Organization.Status.ACTIVE:
        return False
    if not setting.runs or open_top_up(organization.pk) is not None:
        return False
    if unspent(Balance.objects.for_organization(organization).get()) >= setting.threshold:
        return False
    return _fits_cap(setting, _bought_this_month(organization, now=now))


def _fits_cap(setting: AutomaticTopUp, bought: Decimal) -> bool:
    fits: bool = exact_sum((bought, setting.amount)) <= setting.monthly_cap
    return fits


def _bought_this_month(organization: Organization, *, now: datetime) -> Decimal:
    """By automatic top-ups that were paid or may still be, since the month began in the organization's zone."""
    start = now.astimezone(ZoneInfo(organization.zone)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    payments = Payment.objects.for_organization(organization).filter(
        invoice=None,
        started_by=None,
        method__isnull=False,
        status__in=(*Payment.OPEN_STATUSES, Payment.Status.SUCCEEDED),
        created_at__gte=start,
    )
    return payments.aggregate(sum=Sum("amount"))["sum"] or ZERO
