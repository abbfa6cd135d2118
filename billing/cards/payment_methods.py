"""The cards of an organization: which one it pays with, whether invoices are charged to it by themselves, and taking one away.

A card that is removed is never charged from that commit on; the processor is told to forget it afterwards, until it answers.
"""

import logging
from dataclasses import dataclass
from datetime import datetime

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.models import AutomaticTopUp, CollectionSetting, Payment, PaymentMethod
from billing.payments.asking import MOST_IN_VAIN
from billing.processors.interface import ProcessorRefused, ProcessorUnreachable, StoredMethod
from billing.processors.selection import processors

logger = logging.getLogger(__name__)
MOST = 200


class MethodNeeded(Exception):
    """Automatic payment or automatic top-ups use the card; another has to take its place first, or they are switched off."""


class MethodInUse(Exception):
    """A payment with the card is under way."""


class NoMethod(Exception):
    """There is no card that could be charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card on file as people see it."""

    method: PaymentMethod
    is_default: bool
    is_expired: bool


def cards_of(organization: Organization, *, now: datetime) -> list[Card]:
    """Its cards, the default one first, then the newest. Needs the tenant scope."""
    default = setting_of(organization).default_method_id
    today = now.date()
    methods = (
        PaymentMethod.objects.for_organization(organization).filter(removed_at=None).order_by("-created_at", "-pk")
    )
    cards = [
        Card(
            method=method,
            is_default=method.pk == default,
            is_expired=method.expires_on is not None and method.expires_on < today,
        )
        for method in methods
    ]
    return sorted(cards, key=lambda card: not card.is_default)


def setting_of(organization: Organization) -> CollectionSetting:
    """How the organization pays, as it stands. Needs the tenant scope."""
    settings = CollectionSetting.objects.for_organization(organization).select_related("default_method")
    return settings.first() or CollectionSetting(organization=organization)


def choose_default(*, organization: Organization, method_id: int, actor: User | None, now: datetime) -> PaymentMethod:
    """Pay with this card from now on. Raises PaymentMethod.DoesNotExist."""
    with tenant_scope([organization.pk]):
        setting, method = lock_setting(organization), _lock_method(organization, method_id)
        if setting.default_method_id != method.pk:
            setting.default_method = method
            setting.save()
            _note("payment_method.default", method.label, organization, actor, now, payment_method=method.pk)
    return method


def set_automatic(
    *, organization: Organization, on: bool, open_ones: bool = True, actor: User | None, now: datetime
) -> CollectionSetting:
    """Charge invoices to the default card by themselves, those that are open by now too or (not `open_ones`) only those that
    come; or no more. Raises NoMethod."""
    with tenant_scope([organization.pk]):
        setting = lock_setting(organization)
        if on and setting.default_method_id is None:
            raise NoMethod(organization.slug)
        if setting.is_automatic != on:
            setting.is_automatic, setting.automatic_from = on, None if open_ones or not on else now
            setting.save()
            detail = {"on": True, "open_ones": open_ones} if on else {"on": False}
            _note("automatic_payment.set", "organization", organization, actor, now, **detail)
    return setting


def remove_method(*, organization: Organization, method_id: int, actor: User | None, now: datetime) -> PaymentMethod:
    """Never charge this card again. Raises PaymentMethod.DoesNotExist, MethodNeeded, MethodInUse."""
    with tenant_scope([organization.pk]):
        setting, method = lock_setting(organization), _lock_method(organization, method_id)
        payments = Payment.objects.for_organization(organization)
        if payments.filter(method=method, status__in=Payment.OPEN_STATUSES).exists():
            raise MethodInUse(method.label)
        if setting.default_method_id == method.pk:
            if setting.is_automatic or _tops_up(organization):
                raise MethodNeeded(method.label)
            others = PaymentMethod.objects.for_organization(organization).filter(removed_at=None).exclude(pk=method.pk)
            setting.default_method = others.order_by("-created_at", "-pk").first()
            setting.save()
        method.removed_at = now
        method.save(update_fields=["removed_at"])
        _note("payment_method.removed", method.label, organization, actor, now, payment_method=method.pk)
    forget(method, now=now)
    return method


def remove_all_methods(organization: Organization, *, now: datetime) -> None:
    """An organization is closed: nothing is charged by itself any more, and every card is removed; a sweep has them forgotten."""
    setting = lock_setting(organization)
    setting.is_automatic, setting.default_method = False, None
    setting.save()
    for method in PaymentMethod.objects.select_for_update().for_organization(organization).filter(removed_at=None):
        method.removed_at = now
        method.save(update_fields=["removed_at"])
        _note("payment_method.removed", method.label, organization, None, now, payment_method=method.pk)


def forget(method: PaymentMethod, *, now: datetime) -> bool:
    """Have the processor forget a removed card; False if it has to be asked again."""
    processor = processors().get(method.processor)
    stored = StoredMethod(customer_reference=method.customer_reference, reference=method.reference)
    try:
        if processor is None:
            raise ProcessorUnreachable(f"{method.processor} is not set up")
        processor.forget(stored)
    except (ProcessorUnreachable, ProcessorRefused) as error:
        logger.warning("a card is not forgotten yet", extra={"payment_method": method.pk, "reason": str(error)})
        return False
    PaymentMethod.objects.using("system").filter(pk=method.pk, detached_at=None).update(detached_at=now)
    return True


def forget_removed(*, now: datetime) -> int:
    """Have every removed card forgotten that still is not, the latest first; stops while the processor does not answer.

    One that is refused, or whose processor is not set up any more, keeps no other waiting.
    """
    removed = PaymentMethod.objects.using("system").filter(removed_at__isnull=False, detached_at=None)
    done = in_vain = 0
    for method in removed.filter(processor__in=list(processors())).order_by("-removed_at")[:MOST]:
        if in_vain >= MOST_IN_VAIN:
            break
        forgotten = forget(method, now=now)
        done, in_vain = done + forgotten, in_vain + (not forgotten)
    return done


def _tops_up(organization: Organization) -> bool:
    setting = AutomaticTopUp.objects.for_organization(organization).first()
    return setting is not None and setting.is_on


def lock_setting(organization: Organization) -> CollectionSetting:
    """How the organization pays; nobody changes that, or takes its card away, until the transaction ends."""
    CollectionSetting.objects.get_or_create(organization=organization)
    return CollectionSetting.objects.select_for_update().for_organization(organization).get()


def _lock_method(organization: Organization, method_id: int) -> PaymentMethod:
    methods = PaymentMethod.objects.select_for_update().for_organization(organization)
    return methods.get(pk=method_id, removed_at=None)


def _note(
    action: str, target: str, organization: Organization, actor: User | None, now: datetime, **detail: object
) -> None:
    write_audit_entry(action=action, target=target, organization=organization, actor=actor, now=now, detail=detail)
