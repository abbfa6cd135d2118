"""Faults that a test orders in advance: each waits in a queue for the next call that it fits."""

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

QUEUE_LIMIT = 10_000


class UnknownFaultError(ValueError):
    """The ordered fault is not one that this stand-in can play."""


@dataclass(slots=True)
class Fault:
    """One ordered fault: its name, its argument after a colon, and where it applies ("" is anywhere)."""

    name: str
    argument: str = ""
    where: str = ""

    def seconds(self, default: float) -> float:
        """The argument read as seconds, within ten minutes."""
        try:
            return min(max(float(self.argument), 0.0), 600.0) if self.argument else default
        except ValueError:
            return default


class FaultQueue:
    """First in, first out among the faults that fit a call; safe to use from several threads."""

    def __init__(self, *, known: Collection[str], prefixes: tuple[str, ...] = ()) -> None:
        self.known = sorted(known)
        self._prefixes = prefixes
        self._waiting: deque[Fault] = deque()
        self._lock = threading.Lock()

    def parse(self, text: str, *, where: str = "") -> Fault:
        name, _, argument = str(text).strip().partition(":")
        if name not in self.known and not name.startswith(self._prefixes or ("\0",)):
            raise UnknownFaultError(f"unknown fault {name!r}; known: {', '.join(self.known)}")
        return Fault(name=name, argument=argument, where=where)

    def order(self, wish: object) -> int:
        """Queue `"name"`, `{"fault": "name", "times": 2, "where": "…"}`, or a list of either.

        Returns how many wait now."""
        wishes = wish if isinstance(wish, list) else [wish]
        faults: list[Fault] = []
        for entry in wishes:
            form: dict[str, Any] = entry if isinstance(entry, dict) else {"fault": entry}
            fault = self.parse(str(form.get("fault", "")), where=str(form.get("where", "")))
            try:
                times = int(form.get("times", 1))
            except (TypeError, ValueError):
                raise UnknownFaultError("times is a whole number") from None
            faults.extend([fault] * max(0, min(times, QUEUE_LIMIT)))
        with self._lock:
            if len(self._waiting) + len(faults) > QUEUE_LIMIT:
                raise UnknownFaultError(f"at most {QUEUE_LIMIT} faults can wait")
            self._waiting.extend(faults)
            return len(self._waiting)

    def take(self, *names: str, where: str = "", named_only: bool = False) -> Fault | None:
        """Remove and return the first waiting fault that fits: one of `names` (any, when none is given), ordered for
        a part of `where` or, unless `named_only`, for anywhere."""
        if not self._waiting:
            return None
        with self._lock:
            for fault in self._waiting:
                if (not names or fault.name in names) and fault.where in where and (fault.where or not named_only):
                    self._waiting.remove(fault)
                    return fault
        return None

    def waiting(self) -> list[dict[str, str]]:
        return [{"fault": f"{f.name}:{f.argument}" if f.argument else f.name, "where": f.where} for f in self._waiting]

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
