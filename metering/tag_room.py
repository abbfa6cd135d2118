"""A bound on how many rollups declared tags may make: somebody will put an id that never repeats into one.

In a process, an organization has room for 1,000 combinations of values a day (UTC). What comes after them gives up values, first
those of the tag that has had the most different ones, and is summed as "other" there; tags with few values stay exact. The event
keeps what was decided, so nothing depends on how long a process remembers it: this protects the tables, not the figures, which add
up either way (docs/decisions/0016-declared-tags.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from threading import Lock

VALUE, OTHER = "=", "*"
"""What stands between a key and its value, or behind a key whose value was given up."""
ROOM = (1_000, 1_500, 2_000)
"""Combinations that an organization may have in a day, by how many values the newcomer has given up; without any it always fits."""
MOST_REMEMBERED = 100_000
"""Combinations of all organizations together; beyond it, those that began first start anew."""

Texts = tuple[str | None, str | None, str | None]


@dataclass(slots=True)
class _Room:
    """The combinations of an organization on a day, and the different texts of each column."""

    day: date
    placed: set[Texts] = field(default_factory=set)
    different: tuple[set[str | None], ...] = field(default_factory=lambda: (set(), set(), set()))


_rooms: dict[int, _Room] = {}
_lock = Lock()


def place(organization_id: int, texts: Texts, *, day: date) -> Texts:
    """These texts if they were there today or there is room for them, else the nearest combination for which there is."""
    room = _rooms.get(organization_id)
    if room is not None and room.day == day and texts in room.placed:
        return texts
    with _lock:
        room = _room_of(organization_id, day)
        for given_up, candidate in enumerate(_candidates(texts, room)):
            if candidate in room.placed:
                return candidate
            if given_up >= len(ROOM) or len(room.placed) < ROOM[given_up]:
                break
        room.placed.add(candidate)
        for different, text in zip(room.different, candidate, strict=True):
            different.add(text)
        return candidate


def forget() -> None:
    """For tests: the memory of another database."""
    _rooms.clear()


def _room_of(organization_id: int, day: date) -> _Room:
    room = _rooms.get(organization_id)
    if room is None or room.day != day:
        _rooms.pop(organization_id, None)
        remembered = sum(len(other.placed) for other in _rooms.values())
        while remembered > MOST_REMEMBERED:
            remembered -= len(_rooms.pop(next(iter(_rooms))).placed)
        room = _rooms[organization_id] = _Room(day)
    return room


def _candidates(texts: Texts, room: _Room) -> Iterator[Texts]:
    """The texts, then with one value less each time, of the tag with the most different ones first."""
    yield texts
    given = list(texts)
    for column in sorted(range(3), key=lambda number: -len(room.different[number])):
        key, separator, _value = (given[column] or "").partition(VALUE)
        if separator:
            given[column] = key + OTHER
            yield given[0], given[1], given[2]
