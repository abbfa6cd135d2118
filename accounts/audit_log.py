"""The audit log: who did what to whom, written in the transaction of the deed itself."""

from collections.abc import Mapping
from datetime import datetime

from accounts.models import AuditEntry, Organization, User


def write_audit_entry(
    *,
    action: str,
    now: datetime,
    target: str = "",
    organization: Organization | None = None,
    actor: User | None = None,
    detail: Mapping[str, object] | None = None,
    using: str = "default",
) -> None:
    """Note `action` ("api_key.issued") on `target`; `detail` holds plain JSON values, never a secret."""
    AuditEntry.objects.using(using).create(
        at=now, actor=actor, organization=organization, action=action, target=target, detail=dict(detail or {})
    )
