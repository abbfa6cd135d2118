"""How an organization's unpaid invoices stand: what is left of each, what was done about it, what is ahead, when calls are refused.

Where a payment was taken back (`owed_again`), the customer is reminded once more, and a suspension that seemed paid comes back. One
that an operator ended does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.models import Organization
from billing.cards.payment_methods import setting_of
from billing.models import Invoice
from billing.models.dunning import DunningStep
from billing.overdue.dunning_plan import DAYS_TO_READ, Due, Planned, Taken, due_steps, plan_again, schedule
from billing.overdue.dunning_policy import Policy
from billing.overdue.owed_again import let_call_at, owed_again
from billing.settlement import outstanding_by_invoice
from pricing.exact import ZERO

Kind = DunningStep.Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An open invoice that is not paid, what is left of it, and its steps: all, those taken, those due now."""

    invoice: Invoice
    owed: Decimal
    policy: Policy
    planned: list[Planned]
    taken: list[DunningStep]
    due: Due
    last_reminder: datetime | None
    """One that came before a payment was taken back counts no longer."""


def standings(organization: Organization, policy: Policy, *, now: datetime, lock: bool = False) -> list[Standing]:
    """The organization's unpaid invoices, the oldest due first. Needs the tenant scope; locks in one order for all."""
    rows = Invoice.objects.for_organization(organization).filter(status=Invoice.Status.OPEN).order_by("pk")
    invoices = list(rows.select_for_update() if lock else rows)
    owed = outstanding_by_invoice(invoices)
    taken: dict[UUID, list[DunningStep]] = {}
    for step in (
        DunningStep.objects.for_organization(organization).filter(invoice__in=invoices).order_by("taken_at", "pk")
    ):
        taken.setdefault(step.invoice_id, []).append(step)
    setting = setting_of(organization)
    again = owed_again(organization)
    let_call = let_call_at(organization) if again else None
    today = day_of(now, organization)
    found = []
    for invoice in sorted(invoices, key=lambda one: (one.due_on, one.sequence)):
        if owed[invoice.pk] <= ZERO:
            continue
        has_card = setting.charges(invoice.finalized_at)
        planned = schedule(issued_on=invoice.issued_on, due_on=invoice.due_on, policy=policy, has_card=has_card)
        steps, since = taken.get(invoice.pk, []), again.get(invoice.pk)
        last_reminder = _last_reminder(steps, since=since)
        if since is not None:
            planned = plan_again(
                planned,
                taken=_numbers(steps),
                since=day_of(since, organization),
                remind_after=policy.overdue_days[0] if policy.overdue_days and last_reminder is None else None,
                suspend=_seemed_paid(steps, let_call=let_call),
            )
        due = due_steps(planned, taken=_numbers(steps), today=today, due_on=invoice.due_on)
        found.append(
            Standing(
                invoice=invoice,
                owed=owed[invoice.pk],
                policy=policy,
                planned=planned,
                taken=steps,
                due=due,
                last_reminder=last_reminder,
            )
        )
    return found


def refused_from(
    standing: Standing, organization: Organization, *, reminded_at: datetime | None, now: datetime
) -> date | None:
    """On which day calls are refused at the earliest if the invoice stays unpaid; None if nobody is suspended over it any more.

    `reminded_at` is when it was reminded of last; without that a reminder has yet to come. Never a day that is over.
    """
    suspensions = (step for step in standing.planned if step.kind == Kind.SUSPENSION)
    taken = _numbers(standing.taken)
    on = next((step.on for step in suspensions if (step.kind, step.number) not in taken), None)
    if on is None:
        return None
    earliest = max(on, day_of(now, organization))
    if not standing.policy.overdue_days:
        return earliest
    return max(earliest, day_of(reminded_at or now, organization) + timedelta(days=DAYS_TO_READ))


def day_of(moment: datetime, organization: Organization) -> date:
    return moment.astimezone(ZoneInfo(organization.zone)).date()


def _numbers(steps: Sequence[DunningStep]) -> Taken:
    return {(step.kind, step.number) for step in steps}


def _last_reminder(steps: Sequence[DunningStep], *, since: datetime | None) -> datetime | None:
    sent = (step.taken_at for step in steps if step.kind == Kind.OVERDUE and not step.skipped)
    return max((at for at in sent if since is None or at >= since), default=None)


def _seemed_paid(steps: Sequence[DunningStep], *, let_call: datetime | None) -> bool:
    """Whether the suspension over an invoice, or the one that was running in its place, ended because nothing seemed overdue."""
    last = max((step.taken_at for step in steps if step.kind == Kind.SUSPENSION), default=None)
    return last is not None and let_call is not None and last <= let_call
