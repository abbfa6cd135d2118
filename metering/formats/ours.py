"""Our own format: a JSON array of events, or one event a line (NDJSON)."""

from metering.event_decoding import decode_event, decode_events
from metering.formats.format import Convention, Format
from metering.formats.reading import Decoded, lines_of


def decode_lines(body: bytes, *, at_most: int) -> Decoded:
    """One event a line; blank lines are skipped."""
    return [decode_event(line) for line in lines_of(body, at_most=at_most)]


ARRAY = Format("JSON array", ("application/json",), Convention.DISJOINT, decode_events)
LINES = Format(
    "NDJSON", ("application/x-ndjson", "application/ndjson", "application/jsonl"), Convention.DISJOINT, decode_lines
)
