"""A card is left on the processor's page: the attempt's row first, then the page, then what became of it – however it is told.

The customer may close the tab, come back before the webhook, or never; the page's return, the webhook and a sweep all end in
`finish_setup`, which asks the processor. The card is written down once, by the processor's own name of it.
"""

import logging
from datetime import datetime
from uuid import UUID

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.buyers import billing_profile, buyer_details
from billing.cards.payment_methods import lock_setting, remove_all_methods
from billing.models import CardSetup, CollectionSetting, PaymentMethod, ProcessorCustomer
from billing.payments.asking import MOST_IN_VAIN, waiting
from billing.payments.attempts import PAGE_LIFE
from billing.payments.unresolved import PAGE_CERTAIN
from billing.processors.interface import (
    Processor,
    ProcessorRefused,
    ProcessorUnreachable,
    Setup,
    SetupAttempt,
    Status,
    StoredMethod,
)
from billing.processors.selection import card_processor, processors
from billing.site_addresses import payment_methods_page
from ledger.retrying import with_retries
from ledger.sweeping import others_go_on

logger = logging.getLogger(__name__)


def start_setup(*, organization_id: int, user: User | None, now: datetime) -> CardSetup:
    """Begin to leave a card; the setup's `action_url` is where to send the customer.

    A page that is open is returned again. Without an address the processor did not answer. Raises NoCardProcessor.
    """
    processor = card_processor()
    for _turn in range(2):
        setup, made = _open_setup(processor, organization_id, user=user, now=now)
        setup = finish_setup(organization_id=organization_id, setup_id=setup.pk, now=now)
        if made or setup.status in CardSetup.OPEN_STATUSES:
            break
    return setup


def finish_setup(*, organization_id: int, setup_id: UUID, now: datetime, hint: str = "") -> CardSetup:
    """Ask what became of an open setup and write it down; one that ended, or is not answered about, is returned as it is.

    `hint` is a reference that a webhook told before our own call was answered. Raises CardSetup.DoesNotExist.
    """
    setup = _load(organization_id, setup_id)
    if setup.status not in CardSetup.OPEN_STATUSES:
        return setup
    return _finish(setup, hint=hint, now=now) or setup


def look_again(*, organization_id: int, now: datetime) -> CardSetup | None:
    """Ask about the open setup, if there is one: the customer is back from the page."""
    with tenant_scope([organization_id]):
        setups = CardSetup.objects.for_organization(organization_id)
        setup = setups.filter(status__in=CardSetup.OPEN_STATUSES).first()
    return setup and finish_setup(organization_id=organization_id, setup_id=setup.pk, now=now)


def sweep_setups(*, now: datetime) -> int:
    """Ask about every open setup whose time has come, with growing pauses, until its page is over. Returns how many were asked.

    Stops while the processor does not answer: who was asked about in vain stands last next time.
    """
    asked = in_vain = 0
    for row in waiting(CardSetup, now=now):
        if in_vain < MOST_IN_VAIN:
            asked += 1
            with others_go_on(setup_id=str(row.pk)):
                in_vain += _finish(_load(row.organization_id, row.pk), hint="", now=now) is None
    return asked


def _finish(setup: CardSetup, *, hint: str, now: datetime) -> CardSetup | None:
    """Ask about an open setup and write the answer down; None without one."""
    try:
        found = _ask(setup, hint=hint, now=now)
    except (ProcessorUnreachable, ProcessorRefused) as error:
        logger.warning("a card setup stays open", extra={"setup_id": str(setup.pk), "reason": str(error)})
        CardSetup.objects.using("system").filter(pk=setup.pk).update(checked_at=now)
        return None
    return with_retries(lambda: _record(setup, found, now=now))


def _open_setup(
    processor: Processor, organization_id: int, *, user: User | None, now: datetime
) -> tuple[CardSetup, bool]:
    """The open setup of the organization, or a fresh one, committed before anybody is called; and whether it is fresh."""
    with tenant_scope([organization_id]):
        Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
        setups = CardSetup.objects.for_organization(organization_id)
        known = setups.filter(status__in=CardSetup.OPEN_STATUSES).first()
        if known is not None:
            return known, False
        fresh = setups.create(
            organization_id=organization_id, processor=processor.name, started_by=user, created_at=now
        )
        return fresh, True


def _load(organization_id: int, setup_id: UUID) -> CardSetup:
    with tenant_scope([organization_id]):
        setups = CardSetup.objects.for_organization(organization_id).select_related("organization", "started_by")
        return setups.get(pk=setup_id)


def _ask(setup: CardSetup, *, hint: str, now: datetime) -> Setup:
    """Network, so outside of any transaction. A page that was never answered is asked for again, under the same key."""
    processor = processors().get(setup.processor)
    if processor is None:
        raise ProcessorUnreachable(f"{setup.processor} is not set up")
    over = Setup(status=Status.CANCELED, reference=setup.reference)
    reference = setup.reference or hint
    if reference:
        return processor.look_up_setup(reference, setup_id=setup.pk) or over
    if now >= setup.created_at + PAGE_CERTAIN:
        return over  # nobody has the address of a page that was never answered
    return processor.start_setup(_wanted(setup, _customer(setup, processor, now=now)))


def _wanted(setup: CardSetup, customer_reference: str) -> SetupAttempt:
    page = payment_methods_page(organization_slug=setup.organization.slug)
    return SetupAttempt(
        setup_id=setup.pk,
        idempotency_key=f"setup-{setup.pk}",
        customer_reference=customer_reference,
        currency=setup.organization.billing_currency,
        language=setup.organization.language,
        expires_at=setup.created_at + PAGE_LIFE,
        success_url=f"{page}?setup=done",
        cancel_url=f"{page}?setup=canceled",
    )


def _customer(setup: CardSetup, processor: Processor, *, now: datetime) -> str:
    """The processor's name of the organization: the one that its other cards belong to, else a new one."""
    organization = setup.organization
    with tenant_scope([organization.pk]):
        customers = ProcessorCustomer.objects.for_organization(organization)
        known = customers.filter(processor=processor.name).first()
        email = buyer_details(organization, billing_profile(organization))["contact_email"]
    if known is not None:
        return known.reference
    made = processor.make_customer(organization=organization.slug, email=email, idempotency_key=f"customer-{setup.pk}")
    with tenant_scope([organization.pk]):
        kept, _made = ProcessorCustomer.objects.get_or_create(
            organization=organization, processor=processor.name, defaults={"reference": made, "created_at": now}
        )
    return kept.reference


def _record(setup: CardSetup, found: Setup, *, now: datetime) -> CardSetup:
    with tenant_scope([setup.organization_id]):
        locked = CardSetup.objects.select_for_update().for_organization(setup.organization_id).get(pk=setup.pk)
        if locked.status not in CardSetup.OPEN_STATUSES:
            return locked
        locked.checked_at, locked.reference = now, locked.reference or found.reference
        if found.status == Status.SUCCEEDED and found.method:
            locked.method = _keep_while_open(locked, found.method, now=now)
            locked.status = CardSetup.Status.SUCCEEDED
        elif found.status == Status.CANCELED:
            locked.status = CardSetup.Status.ENDED
        else:
            locked.status, locked.action_url = CardSetup.Status.OPEN, found.url
        if locked.status not in CardSetup.OPEN_STATUSES:
            locked.action_url, locked.ended_at = "", now
        locked.save()
    return locked


def _keep_while_open(setup: CardSetup, card: StoredMethod, *, now: datetime) -> PaymentMethod:
    """The card as a payment method; if the organization was closed meanwhile it is removed at once, and a sweep has it forgotten.

    A closing removes all cards under the same lock, so it comes before or after.
    """
    lock_setting(setup.organization)
    method = _keep(setup, card, now=now)
    organization = Organization.objects.get(pk=setup.organization_id)
    if organization.status == Organization.Status.CLOSED:
        remove_all_methods(organization, now=now)
    return method


def _keep(setup: CardSetup, card: StoredMethod, *, now: datetime) -> PaymentMethod:
    """The card as a payment method; the first one is what the organization pays with."""
    method, made = PaymentMethod.objects.get_or_create(
        processor=setup.processor,
        reference=card.reference,
        defaults={
            "organization_id": setup.organization_id,
            "customer_reference": card.customer_reference,
            "label": card.label[:50],
            "expires_on": card.expires_on,
            "added_by": setup.started_by,
            "created_at": now,
        },
    )
    if made:
        write_audit_entry(
            action="payment_method.added",
            target=method.label,
            organization=setup.organization,
            actor=setup.started_by,
            now=now,
            detail={"payment_method": method.pk, "processor": method.processor},
        )
        CollectionSetting.objects.get_or_create(organization_id=setup.organization_id)
        settings = CollectionSetting.objects.for_organization(setup.organization_id)
        settings.filter(default_method=None).update(default_method=method)
    return method
