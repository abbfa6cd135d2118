"""Corrected prices reach what was charged already: an open period by reversals and new charges, a closed one by a proposal."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connections, transaction

from accounts.models import Organization, User
from accounts.tenancy import set_visible_organizations
from billing.corrections.credit_proposals import gather, propose_credit_note
from billing.models import CreditNoteProposal
from ledger.models import BillingPeriod
from metering.repricing import Progress, differences
from metering.rerating import Outcome, PeriodClosed, rerate_period


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerated:
    """What became of a period. `proposal`: only of a closed one that has a live invoice and differs."""

    closed: bool
    outcome: Outcome
    proposal: CreditNoteProposal | None = None


def rerate(
    *,
    organization: Organization,
    period_id: int,
    model_id: int | None = None,
    reason: str,
    actor: User | None,
    now: datetime,
    progress: Progress = lambda looked_at, of: None,
) -> Rerated:
    """Correct the period by the price book of now. `model_id` narrows an open one; a proposal is for the whole invoice.

    Again, or twice at once, it changes nothing. A period that closes meanwhile is proposed for the rest.
    Raises PricesTooNew.
    """
    try:
        outcome = rerate_period(
            organization=organization,
            period_id=period_id,
            model_id=model_id,
            reason=reason,
            actor=actor,
            now=now,
            progress=progress,
        )
        return Rerated(closed=False, outcome=outcome)
    except PeriodClosed:
        outcome, proposal = propose_credit_note(
            organization=organization, period_id=period_id, reason=reason, actor=actor, now=now, progress=progress
        )
        return Rerated(closed=True, outcome=outcome, proposal=proposal)


def preview(
    *,
    organization: Organization,
    period_id: int,
    model_id: int | None = None,
    progress: Progress = lambda looked_at, of: None,
) -> Rerated:
    """What `rerate` would find, in a transaction that cannot write."""
    with transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        set_visible_organizations([organization.pk])
        period = BillingPeriod.objects.for_organization(organization).get(pk=period_id)
        pages = differences(organization_id=organization.pk, period_id=period_id, model_id=model_id, progress=progress)
        outcome, _changes = gather(period, pages)
    return Rerated(closed=period.status != BillingPeriod.Status.OPEN, outcome=outcome)
