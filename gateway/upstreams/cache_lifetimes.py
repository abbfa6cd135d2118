"""Prompt caches that a caller asks for live five minutes: an hour has another price, and no usage tells the two apart."""

from collections.abc import Callable
from typing import Any

MARK, LIFETIME = "cache_control", "ttl"
MARKED = ("messages", "input", "tools")
"""Lists of things that carry the mark themselves, or in the parts of their content."""


def usual_lifetimes(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of a body that ask for another lifetime, without it."""
    changed = {name: _each(body[name], _thing) for name in MARKED if isinstance(body.get(name), list)}
    found = {name: value for name, value in changed.items() if value is not body[name]}
    usual = _unmarked(body)
    return found if usual is body else {**found, MARK: usual[MARK]}


def _each(things: list[Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> list[Any]:
    """The list itself if nothing in it had to change."""
    changed = [change(thing) if isinstance(thing, dict) else thing for thing in things]
    return things if all(new is old for new, old in zip(changed, things, strict=True)) else changed


def _thing(thing: dict[str, Any]) -> dict[str, Any]:
    thing = _unmarked(thing)
    for name in ("content", "output"):
        parts = thing.get(name)
        if isinstance(parts, list) and (usual := _each(parts, _unmarked)) is not parts:
            thing = {**thing, name: usual}
    function = thing.get("function")
    if isinstance(function, dict) and (plain := _unmarked(function)) is not function:
        thing = {**thing, "function": plain}
    return thing


def _unmarked(thing: dict[str, Any]) -> dict[str, Any]:
    mark = thing.get(MARK)
    if not isinstance(mark, dict) or LIFETIME not in mark:
        return thing
    return {**thing, MARK: {name: value for name, value in mark.items() if name != LIFETIME}}
