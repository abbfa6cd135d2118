"""Buy prepaid credit, on the processor's page or with a stored card: a payment without an invoice, found again like any other.

One at a time: while a top-up is open no other can be made (a unique index guards it), and a form that is sent twice finds the
top-up that it made by its own key. What the money becomes: `top_up_settlement`.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.conf import settings

from accounts.models import Organization, User
from accounts.organizations import keep_from_ending
from accounts.tenancy import tenant_scope
from billing.models import Payment
from billing.payments.attempts import lock_method, new_attempt
from billing.payments.starting import begin_on_page, first_call
from billing.payments.unresolved import resolve_payment
from billing.processors.interface import Processor
from billing.processors.selection import card_processor
from pricing.totals import round_to_minor


class TopUpNotPossible(ValueError):
    """Less or more than can be bought at once, or with a fraction of a won or cent."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much credit can be bought at once, in whole minor units, tax included."""

    least: Decimal
    most: Decimal

    def hold(self, amount: Decimal, currency: str) -> bool:
        return self.least <= amount <= self.most and amount == round_to_minor(amount, currency)


def bounds_of(currency: str) -> Bounds:
    """What the settings and the card processor both allow. Raises NoCardProcessor."""
    able = card_processor().capabilities
    return Bounds(
        max(settings.TOP_UP_MINIMUM[currency], able.minimum[currency]),
        min(settings.TOP_UP_MAXIMUM[currency], able.maximum[currency]),
    )


def start_top_up(
    *,
    organization: Organization,
    amount: Decimal,
    request_key: UUID,
    user: User,
    now: datetime,
    method_id: int | None = None,
) -> Payment:
    """Begin to buy `amount` of credit: on the page at the payment's `action_url` or, with a method, at once.

    A top-up that is open already is returned instead; only the page of another amount is closed first. `request_key` is the
    form's. Raises TopUpNotPossible, PaymentMethod.DoesNotExist, NoCardProcessor.
    """
    processor = card_processor()
    if not bounds_of(organization.billing_currency).hold(amount, organization.billing_currency):
        raise TopUpNotPossible(f"{amount} {organization.billing_currency}")
    _close_other_page(organization, amount=amount, with_method=method_id is not None, now=now)

    def open_attempt() -> tuple[Payment, bool]:
        return _open_attempt(
            processor, organization, amount=amount, request_key=request_key, user=user, method_id=method_id, now=now
        )

    if method_id is None:
        return begin_on_page(open_attempt, processor=processor, now=now)
    payment, made = open_attempt()
    return first_call(processor, payment, now=now) if made else payment


def look_again(*, organization_id: int, now: datetime, wanted: bool = True) -> Payment | None:
    """Ask about the open top-up now, say because the customer is back from the page; one that is not `wanted` is ended."""
    with tenant_scope([organization_id]):
        payment = open_top_up(organization_id)
    if payment is None:
        return None
    return resolve_payment(organization_id=organization_id, payment_id=payment.pk, wanted=wanted, now=now)


def open_top_up(organization_id: int) -> Payment | None:
    """The top-up that is under way. Needs the tenant scope."""
    payments = Payment.objects.for_organization(organization_id).filter(invoice=None)
    return payments.filter(status__in=Payment.OPEN_STATUSES).first()


def lock_top_ups(organization_id: int) -> None:
    """Others who would start one wait until the transaction ends."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization_id)


def _close_other_page(organization: Organization, *, amount: Decimal, with_method: bool, now: datetime) -> None:
    with tenant_scope([organization.pk]):
        known = open_top_up(organization.pk)
    if known is None or known.method_id is not None or known.status != Payment.Status.REQUIRES_ACTION:
        return
    if with_method or known.amount != amount:
        resolve_payment(organization_id=organization.pk, payment_id=known.pk, wanted=False, now=now)


def _open_attempt(
    processor: Processor,
    organization: Organization,
    *,
    amount: Decimal,
    request_key: UUID,
    user: User,
    method_id: int | None,
    now: datetime,
) -> tuple[Payment, bool]:
    """The form's own top-up, the open one, or a fresh one, committed before anybody is called; and whether it is fresh."""
    key = f"top-up-{organization.pk}-{request_key}"
    with tenant_scope([organization.pk]):
        lock_top_ups(organization.pk)
        keep_from_ending(organization.pk)
        known = Payment.objects.for_organization(organization).filter(idempotency_key=key).first()
        known = known or open_top_up(organization.pk)
        if known is not None:
            return known, False
        method = None if method_id is None else lock_method(processor, organization.pk, method_id)
        payment = new_attempt(
            organization_id=organization.pk,
            processor=processor,
            amount=amount,
            currency=organization.billing_currency,
            key=key,
            now=now,
            method=method,
            user=user,
        )
        return payment, True
