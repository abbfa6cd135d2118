"""SMTP in: everything is accepted and kept, unless a fault was ordered."""

import asyncio
import logging
from collections.abc import Callable

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from sandbox.faults import FaultQueue
from sandbox.mailbox.store import Store
from sandbox.process import log

MAX_MAIL_BYTES = 25 * 1024 * 1024
FAULTS = ("refuse-recipient", "temporary-451", "drop-after-data", "slow-after-data")
SLOW_SECONDS = 2.0


class Receiver:
    """aiosmtpd's hooks: what it asks at each step of the conversation."""

    def __init__(self, *, store: Store, queue: FaultQueue) -> None:
        self._store = store
        self._queue = queue

    async def handle_RCPT(  # noqa: N802 (the name is aiosmtpd's)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._queue.take("refuse-recipient", where=address):
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        recipients = tuple(envelope.rcpt_tos)
        if self._queue.take("temporary-451", where=" ".join(recipients)):
            return "451 4.3.0 Try again later"
        content = envelope.original_content or b""
        kept = self._store.keep(sender=envelope.mail_from or "", recipients=recipients, content=content)
        if self._queue.take("drop-after-data", where=" ".join(recipients)):
            # The mail is kept, and the sender never learns of it: what SMTP allows and what makes mails come twice.
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
            raise asyncio.CancelledError
        if slow := self._queue.take("slow-after-data", where=" ".join(recipients)):
            await asyncio.sleep(slow.seconds(SLOW_SECONDS))
        return f"250 OK kept as {kept.id}"

    async def handle_exception(self, error: Exception) -> str:
        log("sandbox_error", error=type(error).__name__)
        return "451 4.3.0 The mailbox failed"


def protocol_factory(*, store: Store, queue: FaultQueue) -> Callable[[], SMTP]:
    """What asyncio's server calls for every connection. Any user name and password is accepted, and none is needed."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    receiver = Receiver(store=store, queue=queue)
    loop = asyncio.get_running_loop()
    return lambda: SMTP(
        receiver,
        loop=loop,
        hostname="mailbox.sandbox",
        ident="sandbox",
        data_size_limit=MAX_MAIL_BYTES,
        enable_SMTPUTF8=True,
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=True),
    )
