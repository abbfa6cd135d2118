"""Remind of what is owed, charge the card again, suspend: by the days of the policy, for every open invoice that is not paid.

What is due is found by comparing the policy's days with the steps that were taken (rows, once per invoice, kind and number), so a
sweep that did not run is caught up: the latest step of a kind is taken, earlier ones are noted as skipped. An organization gets one
reminder a day at most, by day, and none while a charge of its card is under way. What is owed is looked at under the invoices'
locks, so a payment stops everything at once. Nobody is suspended before a reminder has had some days to be read.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.models import Organization
from accounts.organizations import NotPossible
from accounts.tenancy import tenant_scope
from billing import collection
from billing.cards import automatic
from billing.mail import mails
from billing.models import Invoice, OutboxMail, Payment
from billing.models.cards import CollectionSetting
from billing.models.dunning import DunningStep
from billing.overdue.dunning_plan import DAYS_TO_READ, Planned, due_steps, schedule
from billing.overdue.dunning_policy import Policies, Policy
from billing.overdue.owed_again import owed_again, who_owes_again
from billing.overdue.standings import Standing, day_of, refused_from, standings
from billing.overdue.suspension import suspend_for_invoice, written_off_meanwhile
from ledger.retrying import with_retries
from ledger.sweeping import others_go_on
from pricing.exact import ZERO

logger = logging.getLogger(__name__)
Kind = DunningStep.Kind
FIRST_HOUR, LAST_HOUR = 9, 20
"""Steps are taken from the one to the other hour of the organization's day."""
REMINDERS = (Kind.DUE_SOON, Kind.OVERDUE)
TELLING = (*REMINDERS, Kind.SUSPENSION)
MAILS = {Kind.DUE_SOON: OutboxMail.Kind.DUE_SOON, Kind.OVERDUE: OutboxMail.Kind.OVERDUE}


def dun_all(*, now: datetime) -> list[DunningStep]:
    """Take every step that is due at `now`. Looks at all tenants."""
    policies, taken = Policies(now=now), list[DunningStep]()
    for organization_id in sorted(_concerned(policies, now=now)):
        with others_go_on(organization_id=organization_id):
            taken += dun(organization_id=organization_id, policies=policies, now=now)
    return taken


def dun(*, organization_id: int, policies: Policies, now: datetime) -> list[DunningStep]:
    """Take what is due for one organization: first the card is charged, then what is still owed is reminded of."""
    policy = policies.of(organization_id)
    charges = with_retries(lambda: _note_charges(organization_id, policy, now=now))
    for step, earlier in charges:
        automatic.charge(organization_id=organization_id, invoice_id=step.invoice_id, earlier=earlier, now=now)
    return [step for step, _earlier in charges] + with_retries(lambda: _remind(organization_id, policy, now=now))


def is_by_day(organization: Organization, *, now: datetime) -> bool:
    return FIRST_HOUR <= now.astimezone(ZoneInfo(organization.zone)).hour < LAST_HOUR


def _concerned(policies: Policies, *, now: datetime) -> set[int]:
    """Organizations for which some step may be due, seen without locks: an invoice has a day that came without a step, or a payment
    of it was taken back.
    """
    invoices = Invoice.objects.using("system").filter(status=Invoice.Status.OPEN, amount_due__gt=ZERO)
    told = ("organization", "issued_on", "due_on", "finalized_at", "organization__zone")
    found = list(invoices.select_related("organization").only(*told))
    steps = DunningStep.objects.using("system").filter(invoice__status=Invoice.Status.OPEN)
    taken: dict[UUID, set[tuple[str, int]]] = {}
    for invoice_id, kind, number in steps.values_list("invoice_id", "kind", "number"):
        taken.setdefault(invoice_id, set()).add((kind, number))
    settings = CollectionSetting.objects.using("system").filter(is_automatic=True)
    with_card = {setting.organization_id: setting for setting in settings}
    return who_owes_again() | {
        invoice.organization_id
        for invoice in found
        if is_by_day(invoice.organization, now=now)
        and _has_due(invoice, policies, taken.get(invoice.pk, set()), with_card, now=now)
    }


def _has_due(
    invoice: Invoice,
    policies: Policies,
    taken: set[tuple[str, int]],
    with_card: Mapping[int, CollectionSetting],
    *,
    now: datetime,
) -> bool:
    setting = with_card.get(invoice.organization_id)
    planned = schedule(
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        policy=policies.of(invoice.organization_id),
        has_card=setting is not None and setting.charges(invoice.finalized_at),
    )
    today = now.astimezone(ZoneInfo(invoice.organization.zone)).date()
    due = due_steps(planned, taken=taken, today=today, due_on=invoice.due_on)
    return bool(due.steps or due.overtaken)


def _note_charges(organization_id: int, policy: Policy, *, now: datetime) -> list[tuple[DunningStep, int]]:
    """The charges that are due, each noted before it is made, so that it is made once; with how many came before."""
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        if not is_by_day(organization, now=now):
            return []
        return [
            (_note(standing, step, now=now), collection.charges_of(standing.invoice))
            for standing in standings(organization, policy, now=now, lock=True)
            for step in _of_kinds(standing, (Kind.CHARGE,), now=now)
        ]


def _remind(organization_id: int, policy: Policy, *, now: datetime) -> list[DunningStep]:
    """Send the reminder that is due, or suspend; one of them a day."""
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        if not is_by_day(organization, now=now):
            return []
        taken = []
        for standing in standings(organization, policy, now=now, lock=True):
            if _is_being_charged(standing.invoice):
                continue
            for step in _of_kinds(standing, REMINDERS, now=now):
                if not _was_told_today(organization, now=now):
                    taken.append(_note(standing, step, now=now))
                    _mail(organization, standing, step, now=now)
            for step in _of_kinds(standing, (Kind.SUSPENSION,), now=now):
                if noted := _suspend(organization, standing, step, now=now):
                    taken.append(noted)
        if policy.suspend_after is not None:
            _suspend_over_written_off(organization, now=now)
        return taken


def _of_kinds(standing: Standing, kinds: tuple[str, ...], *, now: datetime) -> Iterator[Planned]:
    """The steps of these kinds that are due; those that a later one has overtaken are noted as skipped."""
    for step in standing.due.overtaken:
        if step.kind in kinds:
            _note(standing, step, now=now, skipped=True)
    yield from (step for step in standing.due.steps if step.kind in kinds)


def _suspend(organization: Organization, standing: Standing, step: Planned, *, now: datetime) -> DunningStep | None:
    """Suspend over an invoice. One that is due while the organization is suspended already suspends nobody later."""
    if organization.status != Organization.Status.ACTIVE:
        _note(standing, step, now=now, skipped=True)
        return None
    if _was_told_today(organization, now=now) or not _could_be_read(standing, organization, now=now):
        return None
    try:
        suspend_for_invoice(organization=organization, invoice=standing.invoice, now=now)
    except NotPossible:
        return None
    organization.refresh_from_db(fields=["status"])
    return _note(standing, step, now=now)


def _suspend_over_written_off(organization: Organization, *, now: datetime) -> None:
    """Suspend again over what was written off during a suspension, if the payment that ended that was taken back.

    Nobody is reminded of what was given up: the mail about the payment has its days to be read.
    """
    again = owed_again(organization)
    invoices = Invoice.objects.for_organization(organization).filter(pk__in=again, status=Invoice.Status.UNCOLLECTIBLE)
    given_up = list(invoices.order_by("pk").select_for_update())
    if not given_up or _was_told_today(organization, now=now):
        return
    owed = {invoice.pk for invoice, _left in written_off_meanwhile(organization)}
    told_by = day_of(now, organization) - timedelta(days=DAYS_TO_READ)
    for invoice in given_up:
        if invoice.pk in owed and day_of(again[invoice.pk], organization) <= told_by:
            with suppress(NotPossible):
                suspend_for_invoice(organization=organization, invoice=invoice, now=now)


def _could_be_read(standing: Standing, organization: Organization, *, now: datetime) -> bool:
    if not standing.policy.overdue_days:
        return True
    if standing.last_reminder is None:
        return False
    read_on = day_of(standing.last_reminder, organization) + timedelta(days=DAYS_TO_READ)
    return day_of(now, organization) >= read_on


def _was_told_today(organization: Organization, *, now: datetime) -> bool:
    today = datetime.combine(day_of(now, organization), time.min, ZoneInfo(organization.zone))
    steps = DunningStep.objects.for_organization(organization).filter(kind__in=TELLING, skipped=False)
    return steps.filter(taken_at__gte=today).exists()


def _is_being_charged(invoice: Invoice) -> bool:
    """A charge whose end nobody knows yet; a page on which somebody may pay keeps nothing waiting."""
    attempts = invoice.payments.filter(status__in=Payment.OPEN_STATUSES)
    return attempts.exclude(status=Payment.Status.REQUIRES_ACTION, method=None).exists()


def _note(standing: Standing, step: Planned, *, now: datetime, skipped: bool = False) -> DunningStep:
    return DunningStep.objects.create(
        organization_id=standing.invoice.organization_id,
        invoice=standing.invoice,
        kind=step.kind,
        number=step.number,
        planned_on=step.on,
        taken_at=now,
        skipped=skipped,
    )


def _mail(organization: Organization, standing: Standing, step: Planned, *, now: datetime) -> None:
    invoice = standing.invoice
    recipient = invoice.buyer.get("contact_email", "")
    if not recipient:
        logger.warning("nobody is reminded: no address", extra={"invoice": invoice.number})
        return
    is_active = organization.status == Organization.Status.ACTIVE
    on = refused_from(standing, organization, reminded_at=now, now=now) if is_active else None
    mails.enqueue(
        kind=MAILS[step.kind],
        key=f"dunning:{invoice.pk}:{step.kind}:{step.number}",
        organization=organization,
        recipient=recipient,
        language=invoice.language,
        invoice=invoice,
        context={"suspension_on": on.isoformat() if on else ""},
        now=now,
    )
