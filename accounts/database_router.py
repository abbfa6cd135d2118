"""All connections lead to one database under different roles, so rows read as one role may refer to rows read as another."""

from typing import Any


class OneDatabaseRouter:
    """Allows relations between connections; migrations run as the `owner` role only."""

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "owner"
