"""Which format a body at /usage/events has, by its media type. LiteLLM and OTLP have addresses of their own."""

from collections.abc import Mapping

from metering.formats import cloudevents, ours
from metering.formats.format import Format

FORMATS = (ours.ARRAY, ours.LINES, cloudevents.SINGLE, cloudevents.BATCH)
BY_MEDIA_TYPE: Mapping[str, Format] = {media_type: one for one in FORMATS for media_type in one.media_types}


class UnknownFormat(ValueError):
    """A media type that no format has. The message names those there are."""

    def __init__(self, media_type: str, known: tuple[str, ...] = tuple(BY_MEDIA_TYPE)) -> None:
        super().__init__(f"Content-Type {media_type[:100]!r} is not known here: send {', '.join(known)}")


def format_of(media_type: str) -> Format:
    """The format of that media type, its parameters aside; our array where none is said. Raises UnknownFormat."""
    plain = media_type.partition(";")[0].strip().lower() or ours.ARRAY.media_types[0]
    found = BY_MEDIA_TYPE.get(plain)
    if found is None:
        raise UnknownFormat(plain)
    return found
