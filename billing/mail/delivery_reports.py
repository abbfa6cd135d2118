"""What a mail server reports about a mail of ours (RFC 3464), read from the bytes of the report; nothing here touches rows.

A server may take a mail and find only later that nobody reads it: it then sends a report to the envelope's sender. Which mail it is
about is told by that address (`envelope_sender`), else by the Message-ID of the original that the report quotes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses
from enum import StrEnum
from uuid import UUID

LARGEST = 5_000_000
"""Bytes; servers quote our attachments back, but nothing of ours is as large."""
ADDRESSED = ("X-Original-To", "Delivered-To", "To")
MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,148}>")


class NotAReport(ValueError):
    """Something that somebody wrote, or a notice of another kind; the message says which."""


class Outcome(StrEnum):
    REFUSED = "refused"
    """For good: no such mailbox, or it takes nothing from us (5.x.x)."""
    GIVEN_UP = "given_up"
    """The server tried for days and stopped (4.x.x): the address may work another time."""
    DELAYED = "delayed"
    """It goes on trying."""
    ARRIVED = "arrived"


WORST = tuple(Outcome)
"""Worst first: where a report names several recipients, what became of the worst counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """`mail_id` and `message_id`: of the mail that it is about, whichever it tells. `reason` is the server's own words."""

    outcome: Outcome
    mail_id: UUID | None
    message_id: str
    reason: str


def envelope_sender(address: str, mail_id: UUID) -> str:
    """The address to which reports about that mail go: `bounces+<32 hex digits>@example.com`."""
    local, _at, domain = address.rpartition("@")
    return f"{local}+{mail_id.hex}@{domain}"


def read_report(raw: bytes, *, address: str) -> DeliveryReport:
    """The report in these bytes; `address` is the setting whose forms `envelope_sender` makes, or empty. Raises NotAReport."""
    if len(raw) > LARGEST:
        raise NotAReport(f"longer than {LARGEST} bytes")
    message = message_from_bytes(raw)
    parts = list(message.walk())
    status = next((part for part in parts if part.get_content_type() == "message/delivery-status"), None)
    if status is None:
        raise NotAReport("no message/delivery-status in it")
    told = sorted((_recipient(block) for block in _blocks(status)), key=lambda one: WORST.index(one[0]))
    if not told:
        raise NotAReport("it names no recipient")
    outcome, reason = told[0]
    return DeliveryReport(
        outcome=outcome, reason=reason, mail_id=_addressed(message, address), message_id=_original_id(parts, status)
    )


def _blocks(status: Message) -> Iterator[Message]:
    """One for each recipient; the first block, about the report itself, has no Action."""
    payload = status.get_payload()
    yield from (block for block in payload if isinstance(block, Message) and "Action" in block)


def _recipient(block: Message) -> tuple[Outcome, str]:
    action, code = _field(block, "Action").lower(), _field(block, "Status")
    said = _field(block, "Diagnostic-Code").partition(";")[2].strip()
    reason = " ".join(part for part in (code, said) if part) or action
    if action == "failed":
        return (Outcome.GIVEN_UP if code.startswith("4") else Outcome.REFUSED), reason
    return (Outcome.DELAYED if action == "delayed" else Outcome.ARRIVED), reason


def _field(block: Message, name: str) -> str:
    return " ".join(str(block.get(name, "")).split())


def _addressed(message: Message, address: str) -> UUID | None:
    """The mail whose envelope had the address that the report came to."""
    local, _at, domain = address.lower().rpartition("@")
    form = re.compile(rf"{re.escape(local)}\+([0-9a-f]{{32}})@{re.escape(domain)}")
    written = [str(value) for name in ADDRESSED for value in message.get_all(name, [])]
    found = (form.fullmatch(one.lower()) for _name, one in getaddresses(written)) if local else ()
    return next((UUID(match[1]) for match in found if match), None)


def _original_id(parts: list[Message], status: Message) -> str:
    """The Message-ID of the original, which follows the status whole or as its header alone."""
    for part in parts[parts.index(status) + 1 :]:
        if part.get_content_type() == "text/rfc822-headers":
            part = message_from_bytes(part.get_payload(decode=True) or b"")  # type: ignore[arg-type]
        if found := MESSAGE_ID.search(str(part.get("Message-ID", ""))):
            return found[0]
    return ""
