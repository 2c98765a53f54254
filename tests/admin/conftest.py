"""An admin site over a whole house in memory."""

import json
from typing import Any

import attrs
import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.web.server import Site

from chordme_daemon.admin.calls import Parts, routes
from chordme_daemon.admin.door import AdminDoor
from chordme_daemon.admin.site import Calls
from chordme_daemon.app.records import Records
from chordme_daemon.web import Folder
from tests.app.clusters import DistantCluster
from tests.app.conftest import House

KEY = b"an admin key of thirty-two bytes"
HERE = IPv4Address("TCP", "127.0.0.1", 50000)
HERE_TOO = IPv6Address("TCP", "::ffff:127.0.0.1", 50000)
THERE = IPv4Address("TCP", "192.0.2.7", 50000)
SOCKET = UNIXAddress(None)


@attrs.frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def why(self) -> str:
        message: str = self.json["error"]["message"]
        return message


class Operator:
    """Somebody who calls."""

    def __init__(self, house: House, key: bytes = b"") -> None:
        parts = Parts(
            house.app,
            house.rooms,
            Records(house.cluster, house.rooms, house.documents, house.now_ms),
            house.orders,
            house.access.rulings,
            house.wall_s,
            10_240,
        )
        self.key = key
        self.routes = routes(parts)
        calls = Calls(AdminDoor(house.clock, lambda: self.key), self.routes, "sqlite:é")
        self._site: Any = Site(Folder(dict.fromkeys(calls.names, calls)), reactor=house.clock)
        self._house = house

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        peer: Any = HERE,
        host: str = "127.0.0.1:5001",
        kind: str = "application/json",
        headers: tuple[bytes, ...] = (),
    ) -> Answer:
        """Call; a body that is not bytes is sent as JSON."""
        if not isinstance(body, bytes):
            body = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1".encode(),
            f"Host: {host}".encode(),
            f"Content-Type: {kind}".encode(),
            f"Content-Length: {len(body)}".encode(),
            b"Connection: close",
            *headers,
        ]
        channel = self._site.buildProtocol(peer)
        transport = StringTransport(peerAddress=peer)
        channel.makeConnection(transport)
        channel.dataReceived(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self._house.clock.advance(0)
        head, _, found = transport.value().partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in rest)
        return Answer(int(first.split()[1]), fields, found)

    def get(self, path: str, **options: Any) -> Any:
        answer = self.send("GET", path, **options)
        assert answer.status == 200, answer
        return answer.json

    def post(self, path: str, **fields: object) -> Any:
        answer = self.send("POST", path, fields)
        assert answer.status == 200, answer
        return answer.json


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def operator(house: House) -> Operator:
    """On this machine, and without a key."""
    return Operator(house)


@pytest.fixture
def cluster() -> DistantCluster:
    return DistantCluster()


@pytest.fixture
def far_house(cluster: DistantCluster) -> House:
    """A house whose cluster is some way off."""
    return House(cluster)
