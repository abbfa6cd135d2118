"""What becomes of a correction that a reporter asks for: it is carried out, or answered as a duplicate, a conflict or refused.

Nothing is written here; `correcting_usage` carries out what is decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from ledger.event_ids import moment_of
from metering.charges import Charge, Waiting, claims_of, price, terms_of
from metering.correction_rows import replacement_id
from metering.credited_usage import Charged
from metering.pushed_corrections import Action, Amendment, amended
from metering.pushed_events import InvalidEvent
from metering.reported_calls import ReportedCall, same_content
from metering.reports import Outcome, Status, UsageReport
from metering.stored_events import is_archived

UNKNOWN_CALL = "no call of this id was reported by this source"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedBy:
    """The key that asks, and the source whose calls it may correct."""

    source_id: int
    service_key_id: int | None = None
    api_key_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A correction of the call that `call` leads to: the reporter's id of it (text), or the id of an event."""

    organization_id: int
    call: str | UUID
    action: Action
    amendment: Amendment | None = None
    api_key_id: int | None = None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A decision that is still to be carried out: the call is voided, or becomes `item`."""

    asked: Asked
    call: ReportedCall
    item: Charge | Waiting | None = None

    @property
    def event_id(self) -> UUID:
        """What is corrected."""
        return self.call.head.id if self.call.events else self.call.id

    @property
    def made_id(self) -> UUID:
        """What a verdict names: what the call is charged by afterwards, or the event that was taken back."""
        return self.item.event_id if self.item else self.event_id


def decide(
    asked: Asked, call: ReportedCall | None, *, by: AskedBy, credited: Mapping[Charged, str], now: datetime
) -> Outcome | Change:
    """`credited`: the documents that gave charges back already, by period and rate."""
    if call is None or call.source_id != by.source_id:
        return Outcome(Status.REJECTED, UNKNOWN_CALL)
    if call.is_reversal:
        return Outcome(Status.REJECTED, "a reversal cannot be corrected: report the call under another id", call.id)
    if asked.action is Action.VOID:
        return _known_void(call) or _fixed(call, credited, now) or Change(asked=asked, call=call)
    wanted = _wanted(asked, call)
    if isinstance(wanted, Outcome):
        return wanted
    return _fixed(call, credited, now) or _repriced(asked, call, wanted, now=now)


def _known_void(call: ReportedCall) -> Outcome | None:
    if not call.is_void:
        return None
    return Outcome(Status.DUPLICATE, "", call.head.id if call.events else call.id)


def _wanted(asked: Asked, call: ReportedCall) -> Outcome | UsageReport:
    """What the call would be told as, or why it is not amended so."""
    assert asked.amendment is not None
    told = call.reports[0]
    try:
        wanted = amended(told, asked.amendment, api_key_id=asked.api_key_id)
    except InvalidEvent as fault:
        return Outcome(Status.REJECTED, str(fault), call.id)
    stands = call.head.id if call.events else call.id
    if any(same_content(wanted, later) for later in call.reports[1:]):
        return Outcome(Status.DUPLICATE, "", stands)
    if call.is_void:
        return Outcome(Status.REJECTED, "the call was voided: report it under another id", stands)
    if not same_content(call.reports[-1], told):
        how = f"amend {stands} to correct that" if call.events else "void it and report it under another id"
        return Outcome(Status.CONFLICT, f"it was amended otherwise before; that stays: {how}", stands)
    if same_content(wanted, told):
        return Outcome(Status.DUPLICATE, "it says so already", stands)
    return wanted


def _fixed(call: ReportedCall, credited: Mapping[Charged, str], now: datetime) -> Outcome | None:
    """Why the call stays as it is."""
    days = settings.USAGE_CORRECTION_DAYS
    if moment_of(call.id) < now - timedelta(days=days):
        return Outcome(Status.REJECTED, f"it occurred more than {days} days ago", call.id)
    if call.events and is_archived(call.head):
        return Outcome(Status.REJECTED, "the usage of its month is archived", call.id)
    document = credited.get((call.head.period_id, call.head.applied_rate_id)) if call.events else None
    if document:
        how = "ask the operator for another credit note if that was not all"
        return Outcome(Status.REJECTED, f"what it was charged with was credited by {document} already: {how}", call.id)
    return None


def _repriced(asked: Asked, call: ReportedCall, wanted: UsageReport, *, now: datetime) -> Outcome | Change:
    """The call at the price of its own moment. A charge never gives way to usage that has no price."""
    terms = terms_of([wanted.organization_id])
    event_id = replacement_id(call.head.id) if call.events else call.id
    [item] = price(claims_of([wanted], event_ids=[event_id]), terms, now=now)
    if isinstance(item, Waiting) and call.events:
        return Outcome(Status.REJECTED, f"not amended, because what it would be has no price: {item.reason}", call.id)
    return Change(asked=asked, call=call, item=item)
