"""From what a reporter asks for to corrections that can be made: whose they are, names looked up, and the receipt of a batch."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import InterfaceError, OperationalError

from accounts.authentication import Caller, Reporter
from accounts.models import Source
from metering.correcting_usage import TooContested, correct_usage
from metering.correction_decisions import Asked, AskedBy
from metering.ingestion import UNKNOWN_ORGANIZATION, Receipt, RecordingUnavailable, Verdict
from metering.pushed_corrections import Action, Amendment, PushedCorrection, Voiding
from metering.pushed_events import InvalidEvent
from metering.reporters import key_ids, organization_ids, source_id_of
from metering.reports import Outcome, Status

NO_KEY = "api_key: not the id or prefix of one key of the organization"


def asked_by(reporter: Caller | Reporter) -> AskedBy:
    """The source that a key speaks for: a program's own key never for a gateway, ours or a foreign one."""
    if isinstance(reporter, Reporter):
        return AskedBy(source_id=reporter.identity.source_id, service_key_id=reporter.identity.service_key_id)
    assert reporter.key is not None, "sessions do not get here"
    return AskedBy(source_id=source_id_of(Source.API), api_key_id=reporter.key.api_key_id)


def asked_of(body: Voiding | Amendment, organization_id: int, *, call: UUID | str, action: Action) -> Asked | str:
    """The correction with its names looked up, or why that is not possible."""
    amendment = body if isinstance(body, Amendment) and action is Action.AMEND else None
    api_key_id = None
    if amendment is not None and isinstance(amendment.api_key, str):
        name = (organization_id, amendment.api_key)
        api_key_id = key_ids({name}).get(name)
        if api_key_id is None:
            return NO_KEY
    return Asked(
        organization_id=organization_id,
        call=call,
        action=action,
        amendment=amendment,
        api_key_id=api_key_id,
        reason=body.reason,
    )


def make_corrections(asked: Sequence[Asked], *, by: AskedBy, now: datetime) -> list[Outcome]:
    """Make them and say of each what is committed. Raises RecordingUnavailable."""
    try:
        return correct_usage(asked, by=by, now=now)
    except (OperationalError, InterfaceError, TooContested) as error:
        raise RecordingUnavailable from error


def receipt_of(
    corrections: Sequence[PushedCorrection | InvalidEvent], *, reporter: Caller | Reporter, now: datetime
) -> Receipt:
    """Make the corrections of a batch and answer what is committed, in order. Raises RecordingUnavailable."""
    by = asked_by(reporter)
    organizations = organization_ids(
        {one.organization for one in corrections if isinstance(one, PushedCorrection) and one.organization is not None},
        reporter=reporter,
    )

    def resolve(one: PushedCorrection | InvalidEvent) -> Asked | str:
        if isinstance(one, InvalidEvent):
            return str(one)
        organization_id = organizations.get(one.organization)
        if organization_id is None:
            return UNKNOWN_ORGANIZATION
        return asked_of(one, organization_id, call=one.id, action=one.action)

    resolved = [resolve(one) for one in corrections]
    made = iter(make_corrections([one for one in resolved if isinstance(one, Asked)], by=by, now=now))
    outcomes = [next(made) if isinstance(one, Asked) else Outcome(Status.REJECTED, one) for one in resolved]
    results = [
        Verdict(index, one.id, outcome.status, outcome.reason, outcome.event_id)
        for index, (one, outcome) in enumerate(zip(corrections, outcomes, strict=True))
    ]
    counts = Counter(outcome.status for outcome in outcomes)
    return Receipt(**{status.value: counts[status] for status in Status}, results=results)
