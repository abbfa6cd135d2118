"""Which steps an unpaid invoice has ahead, which are due, and which a later one has overtaken. Pure: no database, no clock."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from billing.models.dunning import DunningStep
from billing.overdue.dunning_policy import Policy

Kind = DunningStep.Kind
Taken = Collection[tuple[str, int]]
"""(kind, number) of the steps that were taken or skipped."""
DAYS_TO_READ = 3
"""So many days after a reminder a suspension comes at the earliest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A step of an invoice and its day."""

    kind: DunningStep.Kind
    number: int
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done today, and what is not done any more: after days without a sweep only the latest of a kind is."""

    steps: list[Planned]
    overtaken: list[Planned]


def schedule(*, issued_on: date, due_on: date, policy: Policy, has_card: bool) -> list[Planned]:
    """All steps of an invoice, in the order of their days. A reminder that would go out with the invoice is none."""
    found = list(_steps(issued_on, due_on, policy, has_card))
    return sorted(found, key=lambda step: step.on)


def plan_again(
    planned: Sequence[Planned], *, taken: Taken, since: date, remind_after: int | None, suspend: bool
) -> list[Planned]:
    """The steps of an invoice of which a payment was taken back on the day `since`, out of those that `schedule` gives.

    If all its reminders are over, one more follows after `remind_after` days (None: there was one since, or none is ever sent);
    with `suspend` the suspension does once more. Nobody is suspended before the days to read what was sent last.
    """
    found, told_on = list(planned), since
    reminders = {(step.kind, step.number) for step in planned if step.kind == Kind.OVERDUE}
    if remind_after is not None and reminders <= set(taken):
        told_on += timedelta(days=remind_after)
        found.append(Planned(kind=Kind.OVERDUE, number=_next_number(Kind.OVERDUE, taken), on=told_on))
    if suspend:
        number = _next_number(Kind.SUSPENSION, taken)
        found += [replace(step, number=number) for step in planned if step.kind == Kind.SUSPENSION]
    earliest = told_on + timedelta(days=DAYS_TO_READ)
    moved = (replace(step, on=max(step.on, earliest)) if step.kind == Kind.SUSPENSION else step for step in found)
    return sorted(moved, key=lambda step: step.on)


def due_steps(planned: Sequence[Planned], *, taken: Taken, today: date, due_on: date) -> Due:
    """What of `planned` is due on `today` and was not taken."""
    waiting = [step for step in planned if step.on <= today and (step.kind, step.number) not in taken]
    latest = {step.kind: step for step in waiting}
    steps = [step for step in latest.values() if step.kind != Kind.DUE_SOON or today <= due_on]
    return Due(steps=steps, overtaken=[step for step in waiting if step not in steps])


def next_step(planned: Sequence[Planned], *, taken: Taken, today: date, due_on: date) -> Planned | None:
    """What is due and not taken yet, else the first step of a day to come."""
    due = due_steps(planned, taken=taken, today=today, due_on=due_on).steps
    return next((step for step in planned if step in due or step.on > today), None)


def _next_number(kind: DunningStep.Kind, taken: Taken) -> int:
    return max(number for taken_kind, number in taken if taken_kind == kind) + 1


def _steps(issued_on: date, due_on: date, policy: Policy, has_card: bool) -> Iterator[Planned]:
    if policy.days_before_due is not None:
        on = due_on - timedelta(days=policy.days_before_due)
        if on > issued_on:
            yield Planned(kind=Kind.DUE_SOON, number=1, on=on)
    for kind, days in ((Kind.CHARGE, policy.charge_days if has_card else ()), (Kind.OVERDUE, policy.overdue_days)):
        for number, day in enumerate(days, start=1):
            yield Planned(kind=kind, number=number, on=due_on + timedelta(days=day))
    if policy.suspend_after is not None:
        yield Planned(kind=Kind.SUSPENSION, number=1, on=due_on + timedelta(days=policy.suspend_after))
