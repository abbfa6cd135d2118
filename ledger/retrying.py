"""Try a transaction again that PostgreSQL ended for a deadlock or a serialization failure, or because the connection died."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections, connections

Result = TypeVar("Result")
TRANSIENT = frozenset({"40P01", "40001", "55P03", "57P01", "57P02", "57P03"})
"""deadlock_detected, serialization_failure, lock_not_available, and the three of a server that stops or starts."""


def is_transient(error: Exception) -> bool:
    """Whether the same transaction may succeed if it is simply run again."""
    code = getattr(error.__cause__, "sqlstate", None)
    return code in TRANSIENT or (code is None and isinstance(error, OperationalError | InterfaceError))


def with_retries(transaction: Callable[[], Result], *, attempts: int = 5, using: str = "default") -> Result:
    """Run `transaction`, which must be harmless to repeat, up to `attempts` times with a growing pause.

    Inside a transaction of the caller it runs once: only the outermost one can be repeated as a whole.
    """
    if connections[using].in_atomic_block:
        return transaction()
    for attempt in range(1, attempts + 1):
        try:
            return transaction()
        except (OperationalError, InterfaceError) as error:
            if attempt == attempts or not is_transient(error):
                raise
            close_old_connections()  # of every role: prices are read by another one than what is written
            time.sleep(random.uniform(0.01, 0.05) * 2**attempt)
    raise AssertionError("unreachable")
