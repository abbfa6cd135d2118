"""The connections to one server, kept open between calls: who needs one gets the latest that rests, else a new one."""

import asyncio
import socket
import ssl
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from gateway.upstreams.exchange import Connection

SECONDS_TO_TRY_NEXT = 0.25
"""A name may have several addresses. Where one does not answer so soon, the next is tried beside it (RFC 8305)."""


class NotConnected(Exception):
    """No connection was made, so nothing was sent."""


class Pool:
    """At most `most` connections in use at a time; who comes beyond them waits. To be used on one event loop."""

    def __init__(self, base_url: str, *, most: int, connect_seconds: float, idle_seconds: float) -> None:
        self._base_url = base_url
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._room = asyncio.Semaphore(most)
        self._resting: dict[Connection, float] = {}
        self._open: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def take(self, *, by: float) -> Connection:
        """A connection that carries nothing else until it is given back. Raises NotConnected, also if there is none by then."""
        if self._room.locked():
            try:
                async with asyncio.timeout_at(by):
                    await self._room.acquire()
            except TimeoutError:
                raise NotConnected("all connections are in use") from None
        else:
            await self._room.acquire()
        while self._resting:
            connection, _since = self._resting.popitem()
            if connection.is_reusable and connection.is_quiet:
                return connection
            connection.abort()
        try:
            return await self._connect()
        except BaseException:
            self._room.release()
            raise

    def give_back(self, connection: Connection) -> None:
        """It rests, if its answer is complete and it may carry another; else it is ended."""
        self._room.release()
        if not connection.is_reusable:
            connection.abort()
            return
        connection.rest()
        loop = asyncio.get_running_loop()
        self._resting[connection] = loop.time()
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_seconds, self._sweep)

    def close(self) -> None:
        """End all connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._resting.clear()
        for connection in tuple(self._open):
            connection.abort()

    def _sweep(self) -> None:
        """End what has rested too long: those that came first stand first."""
        loop = asyncio.get_running_loop()
        self._sweeper = None
        for connection, since in tuple(self._resting.items()):
            ends = since + self._idle_seconds
            if ends > loop.time():
                self._sweeper = loop.call_at(ends, self._sweep)
                return
            del self._resting[connection]
            connection.abort()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._resting.pop(connection, None)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(when_lost=self._forget)
        try:
            async with asyncio.timeout(self._connect_seconds):
                url = urlsplit(self._base_url)
                host, secure = url.hostname or "", url.scheme == "https"
                addresses = await loop.getaddrinfo(
                    host, url.port or (443 if secure else 80), type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
                )
                plain = await start_connection(addresses, happy_eyeballs_delay=SECONDS_TO_TRY_NEXT)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                try:
                    await loop.create_connection(
                        lambda: connection,
                        sock=plain,
                        ssl=self._context() if secure else None,
                        server_hostname=host if secure else None,
                    )
                except BaseException:
                    plain.close()
                    raise
        except (OSError, ValueError) as error:  # a time that is over is an OSError, a name that is none a ValueError
            raise NotConnected(type(error).__name__) from None
        self._open.add(connection)
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
