"""A sweep looks after many customers: one whose turn fails stops no other's, and is found in the log with its traceback."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def others_go_on(**whose: object) -> Iterator[None]:
    """Around one turn: whatever it raises ends this turn only. What it had not committed is as before."""
    try:
        yield
    except Exception:
        logger.exception("one of a sweep failed", extra=whose)
