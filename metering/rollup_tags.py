"""What stands in the three tag columns of an event and of its rollup, for the keys that its organization had declared.

Each text names its key, so that what is declared later cannot change what it says: `team=search` is a value, `team` alone means
that the call had no such tag, `team*` stands for all values that get no sums of their own, '' (NULL in events) for "not declared".
The event keeps the texts; a rollup can therefore be made anew from its events alone, and a reversal lands where its event did.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum

from django.db.models import Case, F, Q, TextField, Value, When

from metering.rollups import TAGS
from metering.tag_room import OTHER, VALUE, Texts, place

LONGEST_VALUE = 100
"""Characters of a value that gets sums of its own: three texts must fit the primary key of a rollup."""
NOTHING_DECLARED: Texts = (None, None, None)


class TagKind(StrEnum):
    """What a sum by a tag is about."""

    VALUE = "value"
    NONE = "none"
    """Calls without this tag."""
    OTHER = "other"
    """Values that got no sums of their own: there were too many, or they are too long."""
    UNDECLARED = "undeclared"
    """What was recorded while the tag was not declared."""


def texts_of(organization_id: int, tags: Mapping[str, str], declared: Sequence[str], *, day: date) -> Texts:
    """The texts of a call, recorded on `day` (UTC), whose organization has `declared` these keys."""
    if not declared:
        return NOTHING_DECLARED
    first, second, third, *_rest = (*(_text(key, tags.get(key)) for key in declared), None, None)
    return place(organization_id, (first, second, third), day=day)


def _text(key: str, value: str | None) -> str:
    if value is None:
        return key
    return f"{key}{VALUE}{value}" if len(value) <= LONGEST_VALUE else f"{key}{OTHER}"


def text_about(key: str) -> Case:
    """As an expression on rollups: the text of the column that is about `key`, '' where none is."""
    return Case(
        *(
            When(Q((name, key)) | Q((name, key + OTHER)) | Q((f"{name}__startswith", key + VALUE)), then=F(name))
            for name in TAGS
        ),
        default=Value(""),
        output_field=TextField(),
    )


def read(text: str, key: str) -> tuple[TagKind, str | None]:
    """What a text about `key` says, and the value if it names one."""
    if not text:
        return TagKind.UNDECLARED, None
    rest = text.removeprefix(key)
    if rest.startswith(VALUE):
        return TagKind.VALUE, rest.removeprefix(VALUE)
    return (TagKind.OTHER if rest else TagKind.NONE), None
