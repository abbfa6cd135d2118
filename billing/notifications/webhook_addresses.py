"""Where webhooks may go: a name is resolved once, every address it has must be public, and the call goes to those addresses.

So a name that answers differently a moment later (DNS rebinding) leads nowhere else. The demo may call itself.
"""

import asyncio
import socket
from errno import EACCES
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings

NAT64 = IPv6Network("64:ff9b::/96")


class NotPublic(OSError):
    """The host has an address that is not for the internet."""

    def __init__(self, host: str) -> None:
        super().__init__(EACCES, f"{host} has an address that is not on the internet")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it leads to the internet and nowhere else: what an IPv6 address carries of IPv4 counts, too."""
    if isinstance(address, IPv6Address):
        teredo = address.teredo
        inner = address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
        if inner is None and address in NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:  # deprecated, and global to Python; some networks still use it inside
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def refuse_private(host: str) -> None:
    """For a host that is an address itself, which nobody resolves. Raises NotPublic."""
    try:
        address = ip_address(host)
    except ValueError:
        return
    if not settings.DEMO and not is_public(address):
        raise NotPublic(host)


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses; a name with any other one is refused. Raises NotPublic, OSError."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        for _family, _type, _protocol, _name, address in found:
            if not settings.DEMO and not is_public(ip_address(str(address[0]).partition("%")[0])):
                raise NotPublic(host)
        return [_result(host, port, entry) for entry in found]

    async def close(self) -> None:
        """Nothing is kept open."""


def _result(host: str, port: int, entry: Any) -> ResolveResult:
    family, _type, protocol, _name, address = entry
    return ResolveResult(
        hostname=host, host=str(address[0]), port=port, family=family, proto=protocol, flags=socket.AI_NUMERICHOST
    )
