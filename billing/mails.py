"""Put a mail into the outbox, in the transaction of what it tells."""

from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

from accounts.models import Organization
from billing.models import Invoice, OutboxMail

MESSAGE_ID_DOMAIN = "mail.invoicedream.example"


def enqueue(
    *,
    kind: str,
    key: str,
    organization: Organization,
    recipient: str,
    language: str,
    now: datetime,
    invoice: Invoice | None = None,
    context: Mapping[str, object] | None = None,
) -> OutboxMail:
    """Queue a mail once per `key`; its Message-ID stays the same however often it must be sent."""
    mail_id = uuid4()
    mail, _made = OutboxMail.objects.get_or_create(
        organization=organization,
        key=key,
        defaults={
            "id": mail_id,
            "kind": kind,
            "recipient": recipient,
            "language": language,
            "invoice": invoice,
            "context": dict(context or {}),
            "message_id": f"<{mail_id}@{MESSAGE_ID_DOMAIN}>",
            "next_attempt_at": now,
            "created_at": now,
        },
    )
    return mail
