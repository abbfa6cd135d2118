"""A call that nobody saw end is charged by what was learned of it later, or waived; either is an event under its hold's own key.

So whoever comes first is heard: the process that made the call, if it lives after all; the sweeper, which asked the upstream; an
operator with the upstream's bill in his hand. Whoever comes later changes nothing. How it is known stands on the event (evidence).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, Source, User
from accounts.tenancy import tenant_scope
from catalog import price_book
from catalog.models import LanguageModel
from ledger import balances, holds, questions
from ledger.questions import Question
from metering import recording
from metering.charges import terms_of
from metering.models import Evidence
from metering.reports import Outcome, Status, UsageReport
from pricing.rating import rate
from pricing.tokens import TokenUsage

UNTIL_A_PRICE_COMES = timedelta(days=1)
NOTHING_KNOWN = TokenUsage(requests=0)


class MoreThanHeld(ValueError):
    """What is said of a call would cost more than was reserved for it."""


class NotAQuestion(LookupError):
    """The hold is settled already, or its call still runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What an upstream told of a call afterwards: `model` is the one to price, `cost` its own charge in USD."""

    model: str
    usage: TokenUsage
    cost: Decimal | None
    streamed: bool | None = None
    finish_reason: str | None = None

    @property
    def is_free(self) -> bool:
        """The zero-completion rule, as for an answer that was seen."""
        return not self.usage.completion_tokens and self.finish_reason in (None, "", "error")


def recover(question: Question, learned: Learned, *, now: datetime) -> bool:
    """Charge what the upstream says; what it did for nothing is given back. False if the call is recorded already."""
    if learned.is_free:
        return holds.release(organization_id=question.organization_id, hold_id=question.hold_id, now=now)
    requested = _model_of(question).slug
    report = _report(
        question,
        evidence=Evidence.RECOVERED,
        model=learned.model,
        requested_model=requested if requested != learned.model else None,
        usage=learned.usage,
        cost=learned.cost,
        streamed=learned.streamed,
        finish_reason=learned.finish_reason,
    )
    return _record(question, report, now=now)


def waive(question: Question, *, now: datetime) -> bool:
    """Charge nothing, and say so: an event without counts, at no charge. False if the call is recorded already.

    A router has no price that such an event could name, so its hold is given back without one, and the audit log keeps that.
    """
    model = _model_of(question)
    if model.is_router:
        given_back = holds.release(organization_id=question.organization_id, hold_id=question.hold_id, now=now)
        if given_back:
            _note(question, "hold.waived", {"why": "a router has no price"}, actor=None, now=now)
        return given_back
    report = _report(question, evidence=Evidence.WAIVED, model=model.slug, usage=NOTHING_KNOWN)
    return _record(question, report, now=now)


def waive_by_hand(question: Question, *, reason: str, actor: User, now: datetime) -> None:
    """An operator decides that the call costs nothing. Raises NotAQuestion if somebody was earlier."""
    if not waive(question, now=now):
        raise NotAQuestion(str(question.hold_id))
    _note(question, "hold.waived", {"reason": reason}, actor=actor, now=now)


def charge_by_hand(question: Question, usage: TokenUsage, *, reason: str, actor: User, now: datetime) -> None:
    """An operator says what was used, by the upstream's bill: an estimate, which can never pass what was held.

    Raises MoreThanHeld, NotAQuestion, and price_book.NoRate for a model without a price of its own.
    """
    if worth(question, usage) > question.amount:
        raise MoreThanHeld
    report = _report(question, evidence=Evidence.ESTIMATED, model=_model_of(question).slug, usage=usage)
    if not _record(question, report, now=now):
        raise NotAQuestion(str(question.hold_id))
    counts = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    _note(question, "hold.estimated", {"reason": reason, **counts}, actor=actor, now=now)


def worth(question: Question, usage: TokenUsage) -> Decimal:
    """What `usage` would cost by the prices of the call's moment, tax included. Raises price_book.NoRate."""
    with tenant_scope([question.organization_id]):
        terms = terms_of([question.organization_id])[question.organization_id]
    model = price_book.find_model(_model_of(question).slug)
    applied = price_book.quote(
        terms=terms.pricing, model=model, prompt_tokens=usage.prompt_tokens, at=question.created_at
    )
    return balances.with_tax(rate(usage, applied.unit_prices), terms.tax_rate)


def _report(
    question: Question,
    *,
    evidence: Evidence,
    model: str,
    usage: TokenUsage,
    requested_model: str | None = None,
    cost: Decimal | None = None,
    streamed: bool | None = None,
    finish_reason: str | None = None,
) -> UsageReport:
    source_id = Source.objects.using("system").values_list("pk", flat=True).get(slug=Source.GATEWAY)
    return UsageReport(
        organization_id=question.organization_id,
        source_id=source_id,
        key=str(question.hold_id),
        model=model,
        requested_model=requested_model,
        occurred_at=question.created_at,
        usage=usage,
        api_key_id=question.api_key_id,
        upstream=question.upstream,
        reported_cost=cost,
        evidence=evidence,
        request_id=question.request_id,
        generation_id=question.generation_id,
        attempt=question.attempt,
        streamed=streamed,
        finish_reason=finish_reason,
        end_user=question.end_user,
        tags=question.tags,
        hold_id=question.hold_id,
    )


def _record(question: Question, report: UsageReport, *, now: datetime) -> bool:
    """Whether this report is the one that counts. One that waits for a price keeps its hold, and is not asked about for a day."""
    [outcome] = recording.record([report], now=now)
    if _waits(outcome) or outcome.status in (Status.DUPLICATE, Status.CONFLICT):
        questions.put_off(
            organization_id=question.organization_id, hold_id=question.hold_id, until=now + UNTIL_A_PRICE_COMES
        )
    return outcome.status is Status.ACCEPTED


def _waits(outcome: Outcome) -> bool:
    return outcome.status is Status.ACCEPTED and outcome.amount is None


def _model_of(question: Question) -> LanguageModel:
    return LanguageModel.objects.using("system").get(pk=question.model_id)


def _note(question: Question, action: str, detail: dict[str, object], *, actor: User | None, now: datetime) -> None:
    write_audit_entry(
        action=action,
        target=question.request_id,
        organization=Organization.objects.using("system").get(pk=question.organization_id),
        actor=actor,
        now=now,
        detail={"hold": str(question.hold_id), **detail},
        using="system",
    )
