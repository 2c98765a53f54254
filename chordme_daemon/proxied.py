"""Connections that a proxy hands on with the PROXY protocol: who the client is, said in front.

Twisted's `haproxy:` endpoints speak it, in both versions. Here what stands in front is looked at
before it is believed: what is nonsense ends the connection, and nothing else.
"""

from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper, HAProxyWrappingFactory

PREFIX: Final = "haproxy:"
UNKNOWN: Final = b"PROXY UNKNOWN\r\n"


class Proxied(HAProxyProtocolWrapper):
    """One connection."""

    def dataReceived(self, data: bytes) -> None:
        """Read on, first what is said in front."""
        if self._proxyInfo is None and data.startswith(UNKNOWN):
            # As the protocol has it, and HAProxy asks for our health; Twisted wants more behind it.
            data = UNKNOWN[:-2] + b" " + data[len(UNKNOWN) - 2 :]
        try:
            super().dataReceived(data)
        except (ValueError, KeyError):
            if self._proxyInfo is not None:
                raise  # it is not about that
            self.loseConnection()  # type: ignore[no-untyped-call] # Twisted has no types here

    def getPeer(self) -> IAddress:
        """The client, or whoever has connected if nobody else is named by an address."""
        peer = super().getPeer()
        if isinstance(peer, IPv4Address | IPv6Address) and _is_address(peer.host):
            return peer
        assert self.transport is not None  # noqa: S101 - as long as it is asked
        connected: IAddress = self.transport.getPeer()
        return connected


class ProxiedFactory(HAProxyWrappingFactory):
    """Makes them, around the connections of another factory."""

    protocol: Any = Proxied
    noisy = False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
