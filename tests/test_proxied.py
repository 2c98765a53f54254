"""The PROXY protocol: who the client is, said in front by a proxy, and nonsense in its place."""

import struct
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport

from chordme_daemon.proxied import ProxiedFactory

PROXY = IPv4Address("TCP", "10.0.0.2", 40000)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


class Site(Protocol):
    """What is behind: it keeps what it reads, and of whom."""

    def __init__(self) -> None:
        self.data = b""
        self.peers: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        assert self.transport is not None
        self.peers.append(getattr(self.transport.getPeer(), "host", "?"))


def connected() -> tuple[Any, Site, StringTransport]:
    site = Site()
    factory = ProxiedFactory(Factory.forProtocol(lambda: site))  # type: ignore[arg-type] # it is called
    protocol = factory.buildProtocol(PROXY)
    transport = StringTransport(peerAddress=PROXY)
    protocol.makeConnection(transport)
    return protocol, site, transport


def version_2(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(rest)) + rest


def tcp(source: str) -> bytes:
    address = ip_address(source)
    family = 0x11 if address.version == 4 else 0x21
    nowhere = b"\0" * len(address.packed)
    return version_2(1, family, address.packed + nowhere + struct.pack("!HH", 5, 80))


@pytest.mark.parametrize(
    ("said", "peer"),
    [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 56324 443\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "10.0.0.2"),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "10.0.0.2"),
        (tcp("192.0.2.7"), "192.0.2.7"),
        (tcp("2001:db8::7"), "2001:db8:0:0:0:0:0:7"),
        (version_2(0, 0, b""), "10.0.0.2"),
        (version_2(1, 0, b""), "10.0.0.2"),
        (version_2(1, 0x31, b"/tmp/a".ljust(108, b"\0") * 2), "10.0.0.2"),
        # A name where an address belongs is nobody's.
        (b"PROXY TCP4 localhost 10.0.0.1 1 2\r\n", "10.0.0.2"),
        (b"PROXY TCP4 \x1b[31m 10.0.0.1 1 2\r\n", "10.0.0.2"),
    ],
)
def test_who_is_named_in_front_is_the_client(said: bytes, peer: str) -> None:
    protocol, site, transport = connected()
    protocol.dataReceived(said + b"GET / HTTP/1.1\r\n")
    protocol.dataReceived(b"Host: x\r\n\r\n")
    assert site.data == b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert site.peers == [peer, peer]
    assert not transport.disconnecting


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 many 443\r\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 \xff\xff 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        b"P",
        SIGNATURE + b"\x31\x11\x00\x00",
        version_2(1, 0x11, b"short"),
        version_2(1, 0x99, b"x" * 12),
        version_2(7, 0x11, b"x" * 12),
    ],
)
def test_nonsense_in_front_ends_the_connection_and_nothing_else(said: bytes) -> None:
    protocol, site, transport = connected()
    protocol.dataReceived(said)
    assert transport.disconnecting
    assert site.data == b""


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE]))
def test_no_bytes_in_front_are_an_error(said: bytes, begins: bytes) -> None:
    protocol, _, _ = connected()
    protocol.dataReceived(begins + said)


def test_what_fails_behind_is_not_taken_for_nonsense_in_front() -> None:
    protocol, site, _ = connected()

    def fail(data: bytes) -> None:
        raise ValueError("it is ours")

    site.dataReceived = fail  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="it is ours"):
        protocol.dataReceived(b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\nGET")
