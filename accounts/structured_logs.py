"""One structured line a log record, scrubbed of secrets: JSON for machines, key=value for a console."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

SECRETS = re.compile(r"(i[ds]k_live_\w{4})\w+|(\b(?:Bearer |sk[_-]|whsec_))[\w.-]{8,}")
STANDARD_FIELDS = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}
_encode = msgspec.json.Encoder(enc_hook=str).encode
_encode_odd = json.JSONEncoder(ensure_ascii=False, default=str).encode
NEVER_LOGGED = frozenset({"request", "data", "args", "kwargs"})
"""Extra fields that may hold a prompt, a header or a task's arguments."""


SIGNS = ("k_live_", "Bearer ", "sk_", "sk-", "whsec_")
"""What SECRETS finds contains one of them; most lines contain none, which is quicker to see."""


def scrub(text: str) -> str:
    """`text` with every key and token shortened to its prefix."""
    if not any(sign in text for sign in SIGNS):
        return text
    return SECRETS.sub(lambda match: (match[1] or match[2]) + "…", text)


def _as_json(line: dict[str, Any]) -> str:
    try:
        return _encode(line).decode()
    except (TypeError, ValueError, OverflowError):  # half a surrogate, a key that is no text, an integer of 65 bits
        return _encode_odd(line)


class StructuredFormatter(logging.Formatter):
    """Writes time, level, logger, message and the `extra` fields of a record."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in record.__dict__.items():
            if name not in STANDARD_FIELDS and name not in NEVER_LOGGED:
                line[name] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        if self.as_json:
            return scrub(_as_json(line))
        head = f"{line.pop('time')} {line.pop('level'):<7} {line.pop('logger')}: {line.pop('message')}"
        return scrub(" ".join([head, *(f"{name}={value}" for name, value in line.items())]))
